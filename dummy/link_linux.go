package dummy

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
)

// errMalformed is an answer that the kernel does not give.
var errMalformed = errors.New("the kernel's answer cannot be read")

// Link implements [Client].
func (c *Conn) Link(ctx context.Context, name string) (Link, error) {
	link, _, err := c.find(ctx, "dummy link", "ip link show "+name, name)
	return link, err
}

// find looks a link up.
func (c *Conn) find(ctx context.Context, op, object, name string) (link Link, index uint32, err error) {
	if err := ctx.Err(); err != nil {
		return Link{}, 0, err
	}
	if err := CheckName(name); err != nil {
		return Link{}, 0, &vipkit.OpError{Op: op, Object: object, Kind: fs.ErrInvalid, Err: err}
	}
	b := c.batch()
	defer c.requests.Put(b)
	appendGetLink(b, name)
	missing := &vipkit.OpError{Op: op, Object: object, Kind: fs.ErrNotExist}
	found := false
	for m, err := range c.nl.Query(ctx, b) {
		if err != nil {
			return Link{}, 0, linkError(ctx, op, object, getLink, err)
		}
		number := 0
		if link, number, found = parseLink(m.Data); !found {
			return Link{}, 0, linkError(ctx, op, object, getLink, errMalformed)
		}
		index = uint32(number)
	}
	if !found || link.Name != name {
		return Link{}, 0, missing // the kernel finds links by their alternative names too
	}
	return link, index, nil
}

// findDummy looks up a link that must be of our kind.
func (c *Conn) findDummy(ctx context.Context, op, object, name string) (index uint32, err error) {
	link, index, err := c.find(ctx, op, object, name)
	if err == nil && link.Kind != Kind {
		err = &vipkit.OpError{Op: op, Object: object, Kind: fs.ErrInvalid, Detail: "a link of kind " + link.Kind}
	}
	return index, err
}

// CreateLink implements [Client]. A link that cannot be set up whole is deleted
// again.
func (c *Conn) CreateLink(ctx context.Context, l Link) error {
	const op = "dummy create link"
	object := l.String()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.Validate(); err != nil {
		return &vipkit.OpError{Op: op, Object: object, Kind: fs.ErrInvalid, Err: err}
	}
	if err := c.execLink(ctx, op, object, createLink, func(b *nl.Batch) { appendCreateLink(b, l) }); err != nil {
		return err
	}
	// It is there: what follows it needs an end, whatever becomes of ctx.
	ctx = context.WithoutCancel(ctx)
	index, err := c.findDummy(ctx, op, object, l.Name)
	if err != nil {
		return err
	}
	err = c.execLink(ctx, op, object, createLink, func(b *nl.Batch) { appendUpdateLink(b, index, Link{Up: l.Up}) })
	if err != nil {
		undo := c.execLink(ctx, op, object, deleteLink, func(b *nl.Batch) { appendDeleteLink(b, index) })
		return errors.Join(err, undo)
	}
	return nil
}

// UpdateLink implements [Client]. It switches link-local addresses off too, which a
// link that somebody else made may generate.
func (c *Conn) UpdateLink(ctx context.Context, l Link) error {
	const op = "dummy update link"
	object := l.UpdateString()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.Validate(); err != nil {
		return &vipkit.OpError{Op: op, Object: object, Kind: fs.ErrInvalid, Err: err}
	}
	index, err := c.findDummy(ctx, op, object, l.Name)
	if err != nil {
		return err
	}
	return c.execLink(ctx, op, object, updateLink, func(b *nl.Batch) { appendUpdateLink(b, index, l) })
}

// DeleteLink implements [Client].
func (c *Conn) DeleteLink(ctx context.Context, name string) error {
	const op = "dummy delete link"
	object := "ip link del " + name
	index, err := c.findDummy(ctx, op, object, name)
	if err != nil {
		return err
	}
	return c.execLink(ctx, op, object, deleteLink, func(b *nl.Batch) { appendDeleteLink(b, index) })
}

// execLink sends messages about one link and returns the first refusal.
func (c *Conn) execLink(ctx context.Context, op, object string, what operation, encode func(*nl.Batch)) error {
	b := c.batch()
	defer c.requests.Put(b)
	encode(b)
	var refused error
	err := c.nl.Exec(ctx, b, func(f nl.Failure) {
		if b.Len() > 1 && f.Index == addrGenMessage && noFamily(f.Errno) {
			return // no IPv6, no link-local address
		}
		if refused == nil {
			refused = refusal(op, object, what, f)
		}
	})
	if err != nil {
		return linkError(ctx, op, object, what, err)
	}
	return refused
}

// refusal returns the kernel's refusal of a message as an error.
func refusal(op, object string, what operation, f nl.Failure) *vipkit.OpError {
	e := &vipkit.OpError{Op: op, Object: object, Err: f.Errno, Detail: f.Message}
	if f.Lost {
		e.Kind, e.Err = vipkit.ErrReplyLost, nil
		return e
	}
	detail, kind := classify(what, f.Errno)
	e.Kind = kind
	if e.Detail == "" {
		e.Detail = detail
	}
	return e
}

// linkError is opError, but leaves the context's own error as it is.
func linkError(ctx context.Context, op, object string, what operation, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return err
	}
	return opError(op, object, what, err)
}

// opError gives an error its kind.
func opError(op, object string, what operation, err error) error {
	e := &vipkit.OpError{Op: op, Object: object, Err: err}
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		e.Detail, e.Kind = classify(what, errno)
	case errors.Is(err, vipkit.ErrInterrupted):
		e.Kind, e.Err = vipkit.ErrInterrupted, nil
	case errors.Is(err, vipkit.ErrReplyLost):
		e.Kind, e.Err = vipkit.ErrReplyLost, nil
	}
	return e
}
