package dummy

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
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
	link, err := c.find(ctx, op, name)
	if err != nil {
		return 0, err
	}
	return uint32(link.Attrs().Index), nil
}

// list yields what a link holds by one means in one family, and reports whether
// to go on.
func (c *Conn) list(ctx context.Context, link string, index uint32, family uint8, means Means, yield func(Address, error) bool) bool {
	b := c.batch()
	defer c.requests.Put(b)
	appendList(b, index, family, means)
	for m, err := range c.nl.Query(ctx, b) {
		if errno := syscall.Errno(0); family == unix.AF_INET6 && errors.As(err, &errno) && noFamily(errno) {
			return true
		}
		if err != nil {
			yield(Address{}, listError(ctx, link, means, err))
			return false
		}
		if a, ok := parse(m, index, family); ok && a.Means == means && !yield(a, nil) {
			return false
		}
	}
	return true
}

// listError gives an error of a dump its kind. The context's own stays as it is.
func listError(ctx context.Context, link string, means Means, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return err
	}
	object := "ip addr show dev " + link
	if means == ByRoute {
		object = "ip route show dev " + link + " table local proto static"
	}
	e := &vipkit.OpError{Op: "dummy list", Object: object, Err: err}
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		e.Kind, e.Detail = classify(list, errno)
	case errors.Is(err, vipkit.ErrInterrupted):
		e.Kind = vipkit.ErrInterrupted
	case errors.Is(err, vipkit.ErrReplyLost):
		e.Kind = vipkit.ErrReplyLost
	}
	return e
}

// Apply implements [Client]. It costs one request to find the link, and one
// message a change, many a send.
func (c *Conn) Apply(ctx context.Context, link string, changes []Change) []error {
	if len(changes) == 0 {
		return nil
	}
	w := writer{link: link, changes: changes}
	index, err := c.index(ctx, "dummy apply", link)
	if err != nil {
		return w.failAll(err)
	}
	b := c.batch()
	defer c.requests.Put(b)
	for i, change := range changes {
		if err := change.Validate(); err != nil {
			w.fail(i, &vipkit.OpError{Kind: fs.ErrInvalid, Err: err})
			continue
		}
		appendChange(b, index, change)
		w.sent = append(w.sent, i)
	}
	if b.Len() == 0 {
		return w.errs
	}
	err = c.nl.Exec(ctx, b, func(f nl.Failure) { w.refused(ctx, f) })
	if err != nil && (ctx.Err() == nil || !errors.Is(err, ctx.Err())) {
		// The socket broke: nobody knows what became of the rest.
		for _, i := range w.sent {
			if w.errs == nil || w.errs[i] == nil {
				w.fail(i, &vipkit.OpError{Kind: vipkit.ErrReplyLost, Err: err})
			}
		}
	}
	return w.errs
}

// writer keeps the errors of one Apply. sent has the index of the change of each
// message.
type writer struct {
	link    string
	changes []Change
	sent    []int
	errs    []error
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
	e := &vipkit.OpError{Err: f.Errno, Detail: f.Message}
	switch {
	case f.Lost:
		e.Kind, e.Err = vipkit.ErrReplyLost, nil
	case f.Errno == unix.ECANCELED && ctx.Err() != nil:
		e.Err = ctx.Err()
	default:
		kind, detail := classify(operationOf(w.changes[i]), f.Errno)
		e.Kind = kind
		if e.Detail == "" {
			e.Detail = detail
		}
	}
	w.fail(i, e)
}

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
