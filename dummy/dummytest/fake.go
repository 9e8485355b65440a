package dummytest

import (
	"context"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/dummy"
)

// Call is one use of a Fake, as its hooks see it.
type Call struct {
	// Op is "link", "create link", "update link", "delete link", "list",
	// "apply" or "watch".
	Op   string
	Link string
	// Changes are those of Apply, a copy.
	Changes []dummy.Change
}

// Fake is a host's links and their addresses in memory. It refuses what the
// kernel refuses. The zero value is a host with the link lo. It is safe for
// concurrent use; its fields are set before the first call.
type Fake struct {
	// Before is called before anything is done: an error from it is returned
	// (by Apply for every change) and nothing happens. After is called when
	// all is done, and an error from it is returned although it is: the
	// reply is lost. They are called with the Fake unlocked. Nil: nothing.
	Before, After func(Call) error

	mu    sync.Mutex
	links map[string]*link
	last  int // the index of the newest link
	// changed is closed when something changes; overflows counts calls of
	// Overflow.
	changed   chan struct{}
	overflows int
}

// link is a link and what it holds.
type link struct {
	dummy.Link
	index  int
	addrs  map[dummy.Address]bool
	others map[dummy.HostKey]dummy.HostAddress // that are no virtual addresses of ours
}

var (
	_ dummy.Client  = (*Fake)(nil)
	_ dummy.Watcher = (*Fake)(nil)
)

// Link implements [dummy.Client].
func (f *Fake) Link(ctx context.Context, name string) (found dummy.Link, err error) {
	err = f.call(ctx, Call{Op: "link", Link: name}, func() error {
		l, err := f.find("dummy link", "ip link show "+name, name)
		if err != nil {
			return err
		}
		found = l.Link
		return nil
	})
	return found, err
}

// CreateLink implements [dummy.Client].
func (f *Fake) CreateLink(ctx context.Context, l dummy.Link) error {
	return f.call(ctx, Call{Op: "create link", Link: l.Name}, func() error {
		if err := l.Validate(); err != nil {
			return &vipkit.OpError{Op: "dummy create link", Object: l.String(), Kind: fs.ErrInvalid, Err: err}
		}
		if _, ok := f.all()[l.Name]; ok {
			return &vipkit.OpError{Op: "dummy create link", Object: l.String(), Kind: fs.ErrExist}
		}
		l.Kind = dummy.Kind
		if l.MTU == 0 {
			l.MTU = 1500
		}
		f.addLink(l)
		return nil
	})
}

// UpdateLink implements [dummy.Client].
func (f *Fake) UpdateLink(ctx context.Context, want dummy.Link) error {
	const op = "dummy update link"
	return f.call(ctx, Call{Op: "update link", Link: want.Name}, func() error {
		if err := want.Validate(); err != nil {
			return &vipkit.OpError{Op: op, Object: want.UpdateString(), Kind: fs.ErrInvalid, Err: err}
		}
		l, err := f.findDummy(op, want.UpdateString(), want.Name)
		if err != nil {
			return err
		}
		if want.MTU != 0 {
			l.MTU = want.MTU
		}
		if want.Group != 0 {
			l.Group = want.Group
		}
		if l.Up && !want.Up {
			maps.DeleteFunc(l.addrs, func(a dummy.Address, _ bool) bool { return a.Addr.Is6() })
			maps.DeleteFunc(l.others, func(k dummy.HostKey, _ dummy.HostAddress) bool { return k.Prefix.Addr().Is6() })
		}
		l.Up = want.Up
		f.wake()
		return nil
	})
}

// DeleteLink implements [dummy.Client].
func (f *Fake) DeleteLink(ctx context.Context, name string) error {
	return f.call(ctx, Call{Op: "delete link", Link: name}, func() error {
		if _, err := f.findDummy("dummy delete link", "ip link del "+name, name); err != nil {
			return err
		}
		delete(f.links, name)
		f.wake()
		return nil
	})
}

// Addresses implements [dummy.Client]. It yields in an order that differs from
// call to call.
func (f *Fake) Addresses(ctx context.Context, name string) iter.Seq2[dummy.Address, error] {
	return func(yield func(dummy.Address, error) bool) {
		var addrs []dummy.Address
		err := f.call(ctx, Call{Op: "list", Link: name}, func() error {
			l, err := f.find("dummy list", "ip link show "+name, name)
			if err != nil {
				return err
			}
			addrs = slices.Collect(maps.Keys(l.addrs))
			return nil
		})
		if err != nil {
			yield(dummy.Address{}, err)
			return
		}
		for _, a := range addrs {
			if err := ctx.Err(); err != nil {
				yield(dummy.Address{}, err)
				return
			}
			if !yield(a, nil) {
				return
			}
		}
	}
}

// Apply implements [dummy.Client].
func (f *Fake) Apply(ctx context.Context, name string, changes []dummy.Change) []error {
	if len(changes) == 0 {
		return nil
	}
	var errs []error
	fail := func(i int, e *vipkit.OpError) {
		if errs == nil {
			errs = make([]error, len(changes))
		}
		e.Op, e.Object = "dummy apply", changes[i].String(name)
		errs[i] = e
	}
	err := f.call(ctx, Call{Op: "apply", Link: name, Changes: slices.Clone(changes)}, func() error {
		l, missing := f.find("dummy apply", "", name)
		for i, c := range changes {
			if err := c.Validate(); err != nil {
				fail(i, &vipkit.OpError{Kind: fs.ErrInvalid, Err: err})
			} else if missing != nil {
				fail(i, &vipkit.OpError{Kind: missing.Kind, Err: missing.Err})
			} else if kind := f.change(l, c); kind != nil {
				fail(i, &vipkit.OpError{Kind: kind})
			}
		}
		f.wake()
		return nil
	})
	if err != nil {
		for i := range changes {
			if errs == nil || errs[i] == nil {
				fail(i, &vipkit.OpError{Err: err})
			}
		}
	}
	return errs
}

// change carries out one change and returns the kind of its refusal.
func (f *Fake) change(l *link, c dummy.Change) error {
	a := c.Address
	switch {
	case c.Op == dummy.DeleteAddress && !l.addrs[a]:
		return fs.ErrNotExist
	case c.Op == dummy.DeleteAddress:
		delete(l.addrs, a)
		return nil
	case l.addrs[a]:
		return fs.ErrExist
	case a.Means == dummy.ByRoute && a.Addr.Is6() && !l.Up:
		return fs.ErrInvalid
	case a.Means == dummy.ByRoute && f.routed(a):
		return fs.ErrExist
	}
	l.addrs[a] = true
	return nil
}

// routed reports whether table local has no room for a route of ours: IPv4 keeps
// one to an address, the kernel's own for an address of any link included; IPv6
// one of ours.
func (f *Fake) routed(a dummy.Address) bool {
	for _, l := range f.links {
		if l.addrs[a] || a.Addr.Is4() && l.addrs[dummy.Address{Addr: a.Addr}] {
			return true
		}
		for k := range l.others {
			if a.Addr.Is4() && k.Prefix.Addr() == a.Addr {
				return true
			}
		}
	}
	return false
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

// find returns a link, or an error that is not nil.
func (f *Fake) find(op, object, name string) (*link, *vipkit.OpError) {
	if err := dummy.CheckName(name); err != nil {
		return nil, &vipkit.OpError{Op: op, Object: object, Kind: fs.ErrInvalid, Err: err}
	}
	if l := f.all()[name]; l != nil {
		return l, nil
	}
	return nil, &vipkit.OpError{Op: op, Object: object, Kind: fs.ErrNotExist}
}

// findDummy returns a dummy link.
func (f *Fake) findDummy(op, object, name string) (*link, error) {
	l, err := f.find(op, object, name)
	if err != nil {
		return nil, err
	}
	if l.Kind != dummy.Kind {
		return nil, &vipkit.OpError{Op: op, Object: object, Kind: fs.ErrInvalid, Detail: "a link of kind " + l.Kind}
	}
	return l, nil
}
