package conntrack

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
)

// Conn is the kernel's connection tracking in one network namespace. It is safe
// for concurrent use.
type Conn struct {
	nl       *nl.Conn
	requests sync.Pool // of *nl.Batch
}

var _ Client = (*Conn)(nil)

// Open opens a Conn. What the kernel lacks shows with the first request, not
// here.
func Open(cfg *Config) (*Conn, error) {
	if cfg == nil {
		cfg = &Config{}
	}
	c, err := nl.Open(nl.Config{Protocol: unix.NETLINK_NETFILTER, Namespace: cfg.Namespace})
	if err != nil {
		return nil, opError("open", "", err)
	}
	conn := &Conn{nl: c}
	conn.requests.New = func() any { return new(nl.Batch) }
	return conn, nil
}

// Close closes the Conn. Calls under way fail with [net.ErrClosed].
func (c *Conn) Close() error { return c.nl.Close() }

// Requests returns how many messages the Conn has sent, and in how many system
// calls.
func (c *Conn) Requests() (messages, sends int64) { return c.nl.Requests() }

func (c *Conn) batch() *nl.Batch {
	b := c.requests.Get().(*nl.Batch)
	b.Reset()
	return b
}

// tries is how often a dump is started whose replies were lost.
const tries = 4

// Flows implements [Client].
func (c *Conn) Flows(ctx context.Context, of ...vipkit.Protocol) iter.Seq2[Flow, error] {
	wanted := func(e end) bool { return len(of) == 0 || slices.Contains(of, e.protocol) }
	filters := []filter{{}}
	if len(of) == 1 && of[0] != 0 {
		filters = ofProtocol(of[0])
	}
	return func(yield func(Flow, error) bool) {
		for _, filter := range filters {
			for f, err := range c.dump(ctx, filter, wanted) {
				if err != nil {
					err = opError("list", "", err)
				}
				if !yield(f, err) || err != nil {
					return
				}
			}
		}
	}
}

// dump yields the flows that are wanted; the filter, which must let all of them
// through, is for the kernel. It starts again if replies were lost, which is
// known before the first flow is yielded.
func (c *Conn) dump(ctx context.Context, ask filter, wanted func(end) bool) iter.Seq2[Flow, error] {
	return func(yield func(Flow, error) bool) {
		b := c.batch()
		defer c.requests.Put(b)
		for try := 1; ; try++ {
			b.Reset()
			appendDump(b, ask)
			again := false
			for m, err := range c.nl.Query(ctx, b) {
				if again = retry(err, try, &ask); again {
					break
				}
				if err != nil {
					yield(Flow{}, err)
					return
				}
				f, ok, err := decodeFlow(m.Data, wanted)
				if (ok || err != nil) && !yield(f, err) || err != nil {
					return
				}
			}
			if !again {
				return
			}
		}
	}
}

// retry reports whether a dump that failed is worth another try, and makes ask
// what a kernel takes that has no such filter.
func retry(err error, try int, ask *filter) bool {
	switch {
	case errors.Is(err, vipkit.ErrReplyLost), errors.Is(err, vipkit.ErrInterrupted):
		return try < tries
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP):
		filtered := ask.Match != Match{}
		ask.Match = Match{}
		return filtered
	}
	return false
}

// Delete implements [Client].
func (c *Conn) Delete(ctx context.Context, flows []Flow) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, opError("delete", "", err)
	}
	var errs []error
	valid := make([]*Flow, 0, len(flows))
	for i := range flows {
		if err := flows[i].Validate(); err != nil {
			errs = append(errs, &vipkit.OpError{Op: "conntrack delete", Object: flows[i].String(), Kind: fs.ErrInvalid, Err: err})
			continue
		}
		valid = append(valid, &flows[i])
	}
	deleted := 0
	b := c.batch()
	defer c.requests.Put(b)
	const most = 4096 // messages in memory at a time
	for part := range slices.Chunk(valid, most) {
		n, err := c.deletePart(ctx, b, part)
		deleted += n
		if err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return deleted, errors.Join(errs...)
}

// deletePart deletes flows, and those whose answer was lost a second time: a
// flow that is gone then counts as deleted.
func (c *Conn) deletePart(ctx context.Context, b *nl.Batch, flows []*Flow) (int, error) {
	deleted, lost, errs, err := c.exec(ctx, b, flows)
	if len(lost) > 0 && err == nil {
		second, stillLost, again, err2 := c.exec(ctx, b, lost)
		if err2 == nil {
			second = len(lost) - len(stillLost) - len(again)
		}
		deleted += second
		lost, errs, err = stillLost, append(errs, again...), err2
		for _, f := range lost {
			errs = append(errs, opError("delete", f.String(), vipkit.ErrReplyLost))
		}
	}
	if err != nil {
		errs = append(errs, opError("delete", "", err))
	}
	return deleted, errors.Join(errs...)
}

// exec sends one deletion a flow. err is why not all were sent.
func (c *Conn) exec(ctx context.Context, b *nl.Batch, flows []*Flow) (deleted int, lost []*Flow, errs []error, err error) {
	b.Reset()
	for _, f := range flows {
		appendDelete(b, f)
	}
	deleted = len(flows)
	err = c.nl.Exec(ctx, b, func(f nl.Failure) {
		deleted--
		switch {
		case f.Lost:
			lost = append(lost, flows[f.Index])
		case f.Errno == syscall.ENOENT, f.Errno == syscall.ECANCELED:
		default:
			errs = append(errs, opError("delete", flows[f.Index].String(), f.Errno))
		}
	})
	return deleted, lost, errs, err
}

// DeleteMatching implements [Client].
func (c *Conn) DeleteMatching(ctx context.Context, matches []Match) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, opError("delete", "", err)
	}
	selected, invalid := newSelector(matches)
	var flows []Flow
	for _, filter := range selected.filters() {
		for f, err := range c.dump(ctx, filter, selected.wants) {
			if err != nil {
				return 0, errors.Join(invalid, opError("delete", "", err))
			}
			if selected.selects(&f) {
				flows = append(flows, f)
			}
		}
	}
	if len(flows) == 0 {
		return 0, invalid
	}
	n, err := c.Delete(ctx, flows)
	return n, errors.Join(invalid, err)
}
