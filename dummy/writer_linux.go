package dummy

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
)

// writer carries out one Apply.
type writer struct {
	conn    *Conn
	link    string
	index   uint32
	changes []Change
	errs    []error
	sent    []int // the index of the change of each message under way
	// routes are the IPv4 routes that the link should hold, where changes can
	// lose them.
	routes map[Address]bool
}

// fail records the error of a change, of which the Op and the Object are filled
// in here.
func (w *writer) fail(i int, e *vipkit.OpError) {
	if w.errs == nil {
		w.errs = make([]error, len(w.changes))
	}
	e.Op, e.Object = "dummy apply", w.changes[i].String(w.link)
	w.errs[i] = e
}

// failAll records one error for every change that is valid.
func (w *writer) failAll(err error) []error {
	for i, change := range w.changes {
		e := &vipkit.OpError{Err: err}
		var op *vipkit.OpError
		switch fault := change.Validate(); {
		case fault != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded):
			e.Kind, e.Err = fs.ErrInvalid, fault
		case errors.As(err, &op):
			e.Kind, e.Err, e.Detail = op.Kind, op.Err, op.Detail
		}
		w.fail(i, e)
	}
	return w.errs
}

// refused records the kernel's refusal of one message.
func (w *writer) refused(ctx context.Context, f nl.Failure) {
	i := w.sent[f.Index]
	if f.Errno == unix.ECANCELED && ctx.Err() != nil {
		w.fail(i, &vipkit.OpError{Err: ctx.Err()})
		return
	}
	w.fail(i, refusal("", "", operationOf(w.changes[i]), f))
}

func (w *writer) failed(i int) bool { return w.errs != nil && w.errs[i] != nil }

// operationOf returns what a change asks of the kernel.
func operationOf(c Change) operation {
	op := addAddress
	if c.Address.Means == ByRoute {
		op = addRoute
	}
	if c.Op == DeleteAddress {
		op++
	}
	return op
}

// mayFlush reports whether a change can take the last IPv4 address off its link.
func mayFlush(c Change) bool {
	return c.Op == DeleteAddress && c.Address.Means == ByAddress && c.Address.Addr.Is4()
}

// route4 reports whether a change is about an IPv4 route.
func (c Change) route4() bool { return c.Address.Means == ByRoute && c.Address.Addr.Is4() }

// run returns the end of the run of changes that go into one batch with the
// first: all, unless routes may have to be looked after; then deletions of IPv4
// addresses go by themselves.
func (w *writer) run(first int) (last int) {
	if w.routes == nil {
		return len(w.changes)
	}
	last = first + 1
	for last < len(w.changes) && mayFlush(w.changes[last]) == mayFlush(w.changes[first]) {
		last++
	}
	return last
}

// exec sends changes[first:last].
func (w *writer) exec(ctx context.Context, first, last int) {
	b := w.conn.batch()
	defer w.conn.requests.Put(b)
	w.sent = slices.Grow(w.sent[:0], last-first)
	for i := first; i < last; i++ {
		if err := w.changes[i].Validate(); err != nil {
			w.fail(i, &vipkit.OpError{Kind: fs.ErrInvalid, Err: err})
			continue
		}
		appendChange(b, w.index, w.changes[i])
		w.sent = append(w.sent, i)
	}
	if b.Len() == 0 {
		return
	}
	err := w.conn.nl.Exec(ctx, b, func(f nl.Failure) { w.refused(ctx, f) })
	for _, i := range w.sent {
		if err != nil && !w.failed(i) && (ctx.Err() == nil || !errors.Is(err, ctx.Err())) {
			// The socket broke: nobody knows what became of the rest.
			w.fail(i, &vipkit.OpError{Kind: vipkit.ErrReplyLost, Err: err})
		}
		if w.routes != nil && !w.failed(i) {
			w.note(w.changes[i])
		}
	}
}

// note keeps routes up to date with a change that was carried out.
func (w *writer) note(c Change) {
	if !c.route4() {
		return
	}
	if c.Op == AddAddress {
		w.routes[c.Address] = true
	} else {
		delete(w.routes, c.Address)
	}
}

// routes4 returns the IPv4 routes of ours on a link.
func (c *Conn) routes4(ctx context.Context, link string, index uint32) (map[Address]bool, error) {
	routes := map[Address]bool{}
	var failure error
	c.list(ctx, link, index, unix.AF_INET, ByRoute, func(a Address, err error) bool {
		if err != nil {
			failure = err
			return false
		}
		routes[a] = true
		return true
	})
	return routes, failure
}

// restoreRoutes puts back what the kernel dropped: when the last IPv4 address
// leaves a link, it flushes every IPv4 route of the link, whoever made it
// (net/ipv4/fib_frontend.c, fib_inetaddr_event: "Last address was deleted from
// this interface. Disable IP."). A route that cannot be put back is an error of
// the last of the deletions, the change before index end. The contract's case "both means" pins it.
func (w *writer) restoreRoutes(ctx context.Context, end int) {
	have, err := w.conn.routes4(ctx, w.link, w.index)
	if err == nil {
		b := w.conn.batch()
		defer w.conn.requests.Put(b)
		for a := range w.routes {
			if !have[a] {
				appendChange(b, w.index, Change{AddAddress, a})
			}
		}
		if b.Len() == 0 {
			return
		}
		var refused error
		err = w.conn.nl.Exec(ctx, b, func(f nl.Failure) {
			if f.Lost || f.Errno != unix.EEXIST {
				refused = errors.Join(refused, f.Errno)
			}
		})
		err = errors.Join(err, refused)
	}
	if err != nil && !w.failed(end-1) {
		w.fail(end-1, &vipkit.OpError{Kind: vipkit.ErrReplyLost, Err: err, Detail: "the link's routes went with its last address"})
	}
}
