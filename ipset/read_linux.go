package ipset

import (
	"context"
	"errors"
	"io/fs"
	"iter"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
)

// Sets implements [Client].
func (c *Conn) Sets(ctx context.Context) iter.Seq2[Set, error] {
	return func(yield func(Set, error) bool) {
		for m, err := range c.list(ctx, "", listHeader) {
			if err != nil {
				yield(Set{}, readError("list", "", err))
				return
			}
			h, err := decodeHeader(m.Data)
			if err != nil {
				yield(Set{}, readError("list", h.set.Name, err))
				return
			}
			if h.hasTyp && !yield(h.set, nil) {
				return
			}
		}
	}
}

// Entries implements [Client].
func (c *Conn) Entries(ctx context.Context, set string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if err := c.entries(ctx, set, func(e *CountedEntry) bool { return yield(e.Entry, nil) }); err != nil {
			yield(Entry{}, readError("list", set, err))
		}
	}
}

// Counters implements [Client].
func (c *Conn) Counters(ctx context.Context, set string) iter.Seq2[CountedEntry, error] {
	return func(yield func(CountedEntry, error) bool) {
		if err := c.entries(ctx, set, func(e *CountedEntry) bool { return yield(*e, nil) }); err != nil {
			yield(CountedEntry{}, readError("list", set, err))
		}
	}
}

// entries yields the entries of a set, each valid until yield returns. After an
// error it does not yield.
func (c *Conn) entries(ctx context.Context, set string, yield func(*CountedEntry) bool) error {
	if err := validateName("name", set); err != nil {
		return &vipkit.OpError{Kind: fs.ErrInvalid, Err: err}
	}
	var current Set
	for m, err := range c.list(ctx, set, 0) {
		if err != nil {
			return err
		}
		h, err := decodeHeader(m.Data)
		if err != nil {
			return err
		}
		if h.hasTyp {
			current = h.set
		}
		if h.set.Name != set || current.Type == "" {
			return errMalformed
		}
		if _, known := current.Type.parts(); !known {
			return &vipkit.OpError{Kind: errors.ErrUnsupported, Detail: "entries of " + string(current.Type)}
		}
		if more, err := decodeEntries(&current, h.adt, yield); err != nil || !more {
			return err
		}
	}
	return nil
}

// Test implements [Client].
func (c *Conn) Test(ctx context.Context, set Set, key EntryKey) (bool, error) {
	object := set.Name + " " + key.String()
	if err := errors.Join(validateName("name", set.Name), set.validateType(), key.Validate(set.Type, set.Family)); err != nil {
		return false, &vipkit.OpError{Op: "ipset test", Object: object, Kind: fs.ErrInvalid, Err: err}
	}
	proto, err := c.negotiate(ctx)
	if err != nil {
		return false, readError("test", object, err)
	}
	b := c.batch()
	defer c.requests.Put(b)
	begin(b, cmdTest, 0, proto, set.Name)
	var l layout
	l.init(set.Type, set.Family)
	l.append(b, &Change{Op: DeleteEntry, Entry: Entry{EntryKey: key}}, 0)
	b.End()
	var refused nl.Failure
	if err := c.nl.Exec(ctx, b, func(f nl.Failure) { refused = f }); err != nil {
		return false, readError("test", object, err)
	}
	switch {
	case refused.Lost:
		return false, readError("test", object, vipkit.ErrReplyLost)
	case refused.Errno == errExist: // whatever is wrong, but for the set itself (ip_set_utest)
		return false, nil
	case refused.Errno != 0:
		return false, readError("test", object, refused.Errno)
	}
	return true, nil
}

// list dumps all sets, or the one of that name.
func (c *Conn) list(ctx context.Context, set string, flags uint32) iter.Seq2[nl.Message, error] {
	return func(yield func(nl.Message, error) bool) {
		proto, err := c.negotiate(ctx)
		if err != nil {
			yield(nl.Message{}, err)
			return
		}
		b := c.batch()
		defer c.requests.Put(b)
		// Without the acknowledgement flag the kernel keeps to itself that
		// there is no such set (ip_set_core.c, ip_set_dump_start).
		begin(b, cmdList, flagDump|flagAck, proto, set)
		if flags != 0 {
			b.Be32(attrFlags|netOrder, flags)
		}
		b.End()
		c.nl.Query(ctx, b)(yield)
	}
}

// readError returns the error of an operation that reads. An err that has a kind
// keeps it.
func readError(op, object string, err error) *vipkit.OpError {
	e := &vipkit.OpError{Op: "ipset " + op, Object: object, Err: err}
	var known *vipkit.OpError
	errno := errnoOf(err)
	switch {
	case errors.As(err, &known):
		e.Kind, e.Err, e.Detail = known.Kind, known.Err, known.Detail
	case errno != 0:
		e.Kind = classify(0, "", errno)
		if errno > 4096 {
			e.Err = Errno(errno)
		}
	default:
		for _, kind := range []error{vipkit.ErrReplyLost, vipkit.ErrInterrupted} {
			if errors.Is(err, kind) {
				e.Kind, e.Err = kind, nil
			}
		}
	}
	return e
}
