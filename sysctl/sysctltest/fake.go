// Package sysctltest has a fake of package sysctl, and the contract that the
// fake and the real thing must both pass.
package sysctltest

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/sysctl"
)

// Fake is a kernel's parameters in memory. It has those that were loaded and no
// others. The zero value has none. It is safe for concurrent use.
//
// A parameter whose value is made of whole numbers takes only such, each of 32 bits
// with a sign, as the kernel does; the kernel's own limits on single parameters
// are not modelled.
type Fake struct {
	// Before is called before anything is done, with "get" or "set" and the
	// name; an error from it is returned and nothing happens. Nil: nothing.
	Before func(op, name string) error

	mu     sync.Mutex
	values map[string]string // by path with slashes
}

var _ sysctl.Client = (*Fake)(nil)

// Get implements [sysctl.Client].
func (f *Fake) Get(ctx context.Context, name string) (string, error) {
	path, err := f.begin(ctx, "get", name)
	if err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	value, ok := f.values[path]
	if !ok {
		return "", &vipkit.OpError{Op: "sysctl get", Object: name, Kind: fs.ErrNotExist}
	}
	return value, nil
}

// Set implements [sysctl.Client].
func (f *Fake) Set(ctx context.Context, name, value string) error {
	object := name + " = " + value
	path, err := f.begin(ctx, "set", name)
	if err != nil {
		return err
	}
	if err := sysctl.CheckValue(value); err != nil {
		return &vipkit.OpError{Op: "sysctl set", Object: object, Kind: fs.ErrInvalid, Err: err}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	old, ok := f.values[path]
	if !ok {
		return &vipkit.OpError{Op: "sysctl set", Object: object, Kind: fs.ErrNotExist}
	}
	f.values[path], err = settle(old, value)
	if err != nil {
		return &vipkit.OpError{Op: "sysctl set", Object: object, Kind: fs.ErrInvalid, Err: err}
	}
	return nil
}

// begin looks at the context, the hook and the name.
func (f *Fake) begin(ctx context.Context, op, name string) (path string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if f.Before != nil {
		if err := f.Before(op, name); err != nil {
			return "", err
		}
	}
	path, err = sysctl.Path(name)
	if err != nil {
		return "", &vipkit.OpError{Op: "sysctl " + op, Object: name, Kind: fs.ErrInvalid, Err: err}
	}
	return path, nil
}

// settle returns what a parameter reads as after value was written to it, and why it
// was refused (kernel/sysctl.c, do_proc_dointvec): numbers before one that is none
// are taken, fewer than there are leave the rest, and what is behind the last is
// not looked at.
func settle(old, value string) (string, error) {
	have, ok := numbers(strings.Fields(old))
	if !ok {
		return strings.TrimSpace(value), nil
	}
	words := strings.Fields(value)
	want, ok := numbers(words[:min(len(words), len(have))])
	copy(have, want)
	parts := make([]string, len(have))
	for i, n := range have {
		parts[i] = strconv.FormatInt(n, 10)
	}
	settled := strings.Join(parts, "\t")
	if !ok {
		return settled, fmt.Errorf("value %q in place of %q", value, old)
	}
	return settled, nil
}

// numbers reads words as far as they are numbers of 32 bits as the kernel takes
// them: decimal, 0x1f or 017, with or without a minus sign.
func numbers(words []string) (list []int64, ok bool) {
	for _, w := range words {
		digits := strings.TrimPrefix(w, "-")
		n, err := strconv.ParseInt(w, 0, 32)
		if err != nil || digits[0] == '+' || len(digits) > 1 && strings.ContainsRune("bBoO", rune(digits[1])) || strings.Contains(digits, "_") {
			return list, false
		}
		list = append(list, n)
	}
	return list, len(list) > 0
}

// Load adds parameters as sysctl -a prints them, a line "name = value" each, or
// replaces their values.
func (f *Fake) Load(text string) error {
	loaded := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return fmt.Errorf("sysctl: %q is no name = value", line)
		}
		path, err := sysctl.Path(strings.TrimSpace(name))
		if err != nil {
			return err
		}
		loaded[path] = strings.TrimSpace(value)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.values == nil {
		f.values = map[string]string{}
	}
	maps.Copy(f.values, loaded)
	return nil
}

// Dump returns all parameters as sysctl -a prints them, sorted.
func (f *Fake) Dump() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(f.values)) {
		name := path
		if !strings.Contains(path, ".") {
			name = strings.ReplaceAll(path, "/", ".")
		}
		fmt.Fprintf(&b, "%s = %s\n", name, f.values[path])
	}
	return b.String()
}
