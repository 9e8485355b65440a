package dummytest

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/vipkit/vipkit/dummy"
)

// Dump returns all dummy links and the virtual addresses of any link, sorted, as
// commands that ip -batch would take to make them. What SetHostAddress gave is not
// among them.
func (f *Fake) Dump() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(f.all())) {
		l := f.links[name]
		if l.Kind == dummy.Kind {
			b.WriteString(strings.TrimPrefix(l.String(), "ip ") + "\n")
		}
		for _, c := range dummy.Diff(nil, slices.Collect(maps.Keys(l.addrs))) {
			b.WriteString(strings.TrimPrefix(c.String(name), "ip ") + "\n")
		}
	}
	return b.String()
}

// Load replaces everything by what Dump returned.
func (f *Fake) Load(text string) error {
	var loaded Fake
	ctx := context.Background()
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 0 {
			continue
		}
		if l, ok := parseLink(words); ok {
			if err := loaded.CreateLink(ctx, l); err != nil {
				return err
			}
			continue
		}
		c, name, ok := parseChange(words)
		if !ok || c.Op != dummy.AddAddress {
			return fmt.Errorf("ip -batch: cannot read %q", lines.Text())
		}
		if errs := loaded.Apply(ctx, name, []dummy.Change{c}); errs != nil {
			return errs[0]
		}
	}
	loaded.all()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.links, f.last = loaded.links, loaded.last
	f.wake()
	return lines.Err()
}

// parseLink reads "link add NAME [mtu N] [group N] [up] type dummy".
func parseLink(words []string) (l dummy.Link, ok bool) {
	if len(words) < 5 || words[0] != "link" || words[1] != "add" {
		return l, false
	}
	l.Name, words = words[2], words[3:]
	for len(words) > 2 {
		n, err := strconv.ParseUint(words[1], 10, 32)
		switch {
		case words[0] == "up":
			l.Up, words = true, words[1:]
			continue
		case words[0] == "mtu" && err == nil:
			l.MTU = int(n)
		case words[0] == "group" && err == nil:
			l.Group = uint32(n)
		default:
			return l, false
		}
		words = words[2:]
	}
	return l, slices.Equal(words, []string{"type", dummy.Kind})
}

// parseChange reads a change as dummy.Change writes it.
func parseChange(words []string) (c dummy.Change, name string, ok bool) {
	if len(words) < 5 {
		return c, "", false
	}
	c.Op = dummy.AddAddress
	if words[1] == "del" {
		c.Op = dummy.DeleteAddress
	}
	text := "inet " + words[2]
	name = words[4]
	if strings.Contains(words[2], ":") {
		text = "inet6 " + words[2]
	}
	if words[0] == "route" && len(words) > 5 {
		text, name = words[2]+" "+words[3], words[5]
	}
	err := c.Address.UnmarshalText([]byte(text))
	return c, name, err == nil && c.String(name) == "ip "+strings.Join(words, " ")
}
