package iptablestest

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/iptables"
)

// Call is one use of a Fake, as its hooks see it.
type Call struct {
	// Op is "info", "save" or "restore".
	Op     string
	Family vipkit.Family
	// Tables are those that Save was asked for.
	Tables []string
	// Edits are those of Restore, a copy.
	Edits []iptables.Edit
}

// Fake is a host's iptables in memory. It refuses what the tools and the kernel
// refuse: with a back end in Tool what that one refuses, with none what either
// of them does. The zero value is a host whose tables nobody uses. It is safe
// for concurrent use; its fields are set before the first call.
//
// The back ends differ in this: the legacy one takes a target that is not for
// the table in a rule that is gone at the end of the restore, and loops and
// misplaced targets behind a rule that ends every packet's way (-j RETURN), and
// sets the counters of all policies of a table to zero when it changes the table.
type Fake struct {
	// Tool is what Info returns; the zero value stands for version 1.8.9, the
	// back end nft, and --random-fully.
	Tool iptables.Info
	// Counters has Save and Dump return counters. They are what edits and Load
	// said: nothing passes through a Fake that it could count.
	Counters bool
	// Sets tells whether there is an IP set of a name, for rules that refer to
	// one. Nil: there always is. It is called with the Fake locked and must
	// not call back.
	Sets func(name string) bool
	// Before is called before anything is done: an error from it is returned
	// and nothing happens. After is called when all is done, and an error
	// from it is returned although it is: the reply is lost. They are called
	// with the Fake unlocked. Nil: nothing.
	Before, After func(Call) error

	mu              sync.Mutex
	tables          map[tableKey]*table
	saves, restores int
}

// tableKey names a table of a family.
type tableKey struct {
	family vipkit.Family
	name   string
}

var _ iptables.Client = (*Fake)(nil)

// Info implements [iptables.Client].
func (f *Fake) Info(ctx context.Context, family vipkit.Family) (iptables.Info, error) {
	info := f.Tool
	if info == (iptables.Info{}) {
		info = iptables.Info{Version: [3]int{1, 8, 9}, Backend: "nft", RandomFully: true}
	}
	err := f.call(ctx, Call{Op: "info", Family: family}, func() error {
		if family != vipkit.IPv4 && family != vipkit.IPv6 {
			return &vipkit.OpError{Op: "iptables info", Kind: fs.ErrInvalid, Detail: fmt.Sprintf("address family %d", family)}
		}
		return nil
	})
	if err != nil {
		return iptables.Info{}, err
	}
	return info, nil
}

// Save implements [iptables.Client].
func (f *Fake) Save(ctx context.Context, family vipkit.Family, tables ...string) ([]iptables.Table, error) {
	var saved []iptables.Table
	err := f.call(ctx, Call{Op: "save", Family: family, Tables: slices.Clone(tables)}, func() error {
		f.saves++
		for _, name := range tables {
			if iptables.BuiltinChains(name) == nil {
				return &vipkit.OpError{Op: "iptables save", Object: fmt.Sprintf("%q", name), Kind: fs.ErrInvalid, Detail: "no such table"}
			}
		}
		saved = f.snapshot(family, tables)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return saved, nil
}

// Restore implements [iptables.Client].
func (f *Fake) Restore(ctx context.Context, family vipkit.Family, edits []iptables.Edit) error {
	return f.call(ctx, Call{Op: "restore", Family: family, Edits: slices.Clone(edits)}, func() error {
		if err := iptables.Validate(family, edits); err != nil || len(edits) == 0 {
			return err
		}
		f.restores++
		for _, name := range tablesOf(edits) {
			t := f.table(family, name).clone()
			if t.backend = f.Tool.Backend; t.backend == "legacy" {
				t.forget()
			}
			if err := t.restore(edits, f.Sets); err != nil {
				return err
			}
			f.tables[tableKey{family, name}] = t
		}
		return nil
	})
}

// call does one operation with the hooks around it.
func (f *Fake) call(ctx context.Context, c Call, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if f.Before != nil {
		if err := f.Before(c); err != nil {
			return err
		}
	}
	if err := f.locked(do); err != nil {
		return err
	}
	if f.After != nil {
		return f.After(c)
	}
	return nil
}

func (f *Fake) locked(do func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return do()
}

// Saves and Restores return how often the Fake was asked to save, and to restore
// edits that it could look at: what a Conn starts a process for.
func (f *Fake) Saves() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.saves
}

// Restores returns how many restores were begun; see [Fake.Saves].
func (f *Fake) Restores() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.restores
}

// References reports whether any rule of either family refers to the IP set:
// the kernel does not let go of such a set.
func (f *Fake) References(set string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.tables {
		for _, c := range t.chains {
			for _, r := range c.rules {
				if slices.Contains(r.text.Sets(), set) {
					return true
				}
			}
		}
	}
	return false
}

// Dump returns the tables in use of a family as iptables-save prints them, with
// counters if the Fake keeps them.
func (f *Fake) Dump(family vipkit.Family) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return iptables.Format(f.snapshot(family, nil))
}

// Load replaces all tables of a family by those in text, as iptables-save prints
// them. Tables that it does not mention are unused then.
func (f *Fake) Load(family vipkit.Family, text string) error {
	parsed, err := iptables.ParseCounters(text)
	if err != nil {
		return err
	}
	loaded := map[tableKey]*table{}
	for _, p := range parsed {
		t, err := load(family, p, f.Tool.Backend, f.Sets)
		if err != nil {
			return err
		}
		loaded[tableKey{family, p.Name}] = t
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, t := range f.tables {
		if key.family != family {
			loaded[key] = t
		}
	}
	f.tables = loaded
	return nil
}

// table returns a table, making it as the kernel does when it is first used.
func (f *Fake) table(family vipkit.Family, name string) *table {
	key := tableKey{family, name}
	if f.tables == nil {
		f.tables = map[tableKey]*table{}
	}
	if f.tables[key] == nil {
		f.tables[key] = newTable(family, name)
	}
	return f.tables[key]
}

// snapshot returns what Save does, with the lock held.
func (f *Fake) snapshot(family vipkit.Family, names []string) []iptables.Table {
	var saved []iptables.Table
	for _, name := range []string{"raw", "mangle", "nat", "filter", "security"} {
		named := slices.Contains(names, name)
		t := f.tables[tableKey{family, name}]
		switch {
		case len(names) > 0 && !named:
		case t != nil && t.used():
			saved = append(saved, t.save(f.Counters))
		case named:
			saved = append(saved, iptables.Table{Name: name})
		}
	}
	return saved
}

func tablesOf(edits []iptables.Edit) []string {
	var names []string
	for _, e := range edits {
		if !slices.Contains(names, e.Table) {
			names = append(names, e.Table)
		}
	}
	return names
}
