package dummy

import (
	"context"
	"errors"
	"iter"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit/internal/nl"
)

func (c *Conn) batch() *nl.Batch {
	b := c.requests.Get().(*nl.Batch)
	b.Reset()
	return b
}

// Addresses implements [Client]. It reads everything before it yields.
func (c *Conn) Addresses(ctx context.Context, link string) iter.Seq2[Address, error] {
	return func(yield func(Address, error) bool) {
		index, err := c.index(ctx, "dummy list", link)
		if err != nil {
			yield(Address{}, err)
			return
		}
		for _, family := range families {
			for _, means := range []Means{ByAddress, ByRoute} {
				if !c.list(ctx, link, index, family, means, yield) {
					return
				}
			}
		}
	}
}

// index returns the number of a link.
func (c *Conn) index(ctx context.Context, op, name string) (uint32, error) {
	_, index, err := c.find(ctx, op, "ip link show "+name, name)
	return index, err
}

// list yields what a link holds by one means in one family, and reports whether
// to go on.
func (c *Conn) list(ctx context.Context, link string, index uint32, family uint8, means Means, yield func(Address, error) bool) bool {
	b := c.batch()
	defer c.requests.Put(b)
	appendList(b, index, family, means)
	for m, err := range c.nl.Query(ctx, b) {
		var a Address
		ok := false
		if err == nil {
			a, ok, err = parse(m, index, family)
		}
		if err != nil {
			var errno syscall.Errno
			if family == unix.AF_INET6 && errors.As(err, &errno) && noFamily(errno) {
				return true
			}
			yield(Address{}, listError(ctx, link, means, err))
			return false
		}
		if ok && a.Means == means && !yield(a, nil) {
			return false
		}
	}
	return true
}

// listError gives an error of a dump its kind. The context's own stays as it is.
func listError(ctx context.Context, link string, means Means, err error) error {
	object := "ip addr show dev " + link
	if means == ByRoute {
		object = "ip route show dev " + link + " table local proto static"
	}
	return linkError(ctx, "dummy list", object, list, err)
}

// Apply implements [Client]. It costs one request to find the link and one
// message a change, many a send; and one more to read the link's routes if IPv4
// addresses are deleted, see restoreRoutes.
func (c *Conn) Apply(ctx context.Context, link string, changes []Change) []error {
	if len(changes) == 0 {
		return nil
	}
	w := writer{conn: c, link: link, changes: changes}
	var err error
	if w.index, err = c.index(ctx, "dummy apply", link); err != nil {
		return w.failAll(err)
	}
	if slices.ContainsFunc(changes, mayFlush) {
		if w.routes, err = c.routes4(ctx, link, w.index); err != nil {
			return w.failAll(err)
		}
		if len(w.routes) == 0 && !slices.ContainsFunc(changes, Change.route4) {
			w.routes = nil
		}
	}
	for first := 0; first < len(changes); {
		last := w.run(first)
		w.exec(ctx, first, last)
		if mayFlush(changes[first]) && len(w.routes) > 0 {
			w.restoreRoutes(ctx, last)
		}
		first = last
	}
	return w.errs
}
