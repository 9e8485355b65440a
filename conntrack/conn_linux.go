package conntrack

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
)

// Conn is the kernel's connection tracking in one network namespace. It is safe
// for concurrent use.
type Conn struct {
	nl        *nl.Conn
	requests  sync.Pool // of *nl.Batch
	uncounted bool
	// oneByOne is set once the kernel has refused to select what it deletes.
	oneByOne atomic.Bool
}

var _ Client = (*Conn)(nil)

// Open opens a Conn; cfg may be nil. What the kernel lacks shows with the first
// request, not here.
func Open(cfg *Config) (*Conn, error) {
	if cfg == nil {
		cfg = &Config{}
	}
	c, err := nl.Open(nl.Config{Protocol: unix.NETLINK_NETFILTER, Namespace: cfg.Namespace})
	if err != nil {
		return nil, opError("open", "", err)
	}
	conn := &Conn{nl: c, uncounted: cfg.Uncounted}
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
func (c *Conn) Flows(ctx context.Context, filter Filter) iter.Seq2[FlowInfo, error] {
	return func(yield func(FlowInfo, error) bool) {
		if err := filter.Validate(); err != nil {
			yield(FlowInfo{}, &vipkit.OpError{Op: "conntrack list", Kind: fs.ErrInvalid, Err: err})
			return
		}
		err := c.dump(ctx, &filter, filter.wants, func(f *FlowInfo) bool {
			return !filter.selects(f) || yield(*f, nil)
		})
		if err != nil {
			yield(FlowInfo{}, opError("list", filter.String(), err))
		}
	}
}

// dump calls take for the flows that are wanted; the filter, which must let all of
// them through, is for the kernel. take says whether to go on. A dump whose replies
// were lost is started again, which is before the first flow is taken. The kernel
// selects by protocol in one family only: without one, there are two dumps.
func (c *Conn) dump(ctx context.Context, ask *Filter, wants func(vipkit.Protocol, *Tuple) bool, take func(*FlowInfo) bool) error {
	if ask.Protocol == 0 || ask.family() != 0 {
		_, err := c.dumpFamily(ctx, ask, wants, take)
		return err
	}
	for _, family := range [...]vipkit.Family{vipkit.IPv4, vipkit.IPv6} {
		one := *ask
		one.Family = family
		if more, err := c.dumpFamily(ctx, &one, wants, take); err != nil || !more {
			return err
		}
	}
	return nil
}

func (c *Conn) dumpFamily(ctx context.Context, ask *Filter, wants func(vipkit.Protocol, *Tuple) bool, take func(*FlowInfo) bool) (more bool, err error) {
	b := c.batch()
	defer c.requests.Put(b)
	less := false
	for try := 1; ; try++ {
		b.Reset()
		appendDump(b, ask, less)
		more, err = c.dumpOnce(ctx, b, wants, take)
		switch {
		case (errors.Is(err, vipkit.ErrReplyLost) || errors.Is(err, vipkit.ErrInterrupted)) && try < tries:
		case (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP)) && !less:
			less = true // a kernel before 5.8, perhaps
		default:
			return more, err
		}
	}
}

func (c *Conn) dumpOnce(ctx context.Context, b *nl.Batch, wants func(vipkit.Protocol, *Tuple) bool, take func(*FlowInfo) bool) (more bool, err error) {
	var f FlowInfo
	for m, err := range c.nl.Query(ctx, b) {
		if err != nil {
			return false, err
		}
		f = FlowInfo{}
		ok, err := decodeFlow(m.Data, &f, wants)
		if err != nil {
			return false, err
		}
		if ok && !take(&f) {
			return false, nil
		}
	}
	return true, nil
}

// Count implements [Client]. It asks with IPCTNL_MSG_CT_GET_STATS, which Linux
// has since 3.6, for the number that the sysctl net.netfilter.nf_conntrack_count
// shows too; the limit comes from Linux 4.18 on, and is zero before that.
func (c *Conn) Count(ctx context.Context) (n, limit int, err error) {
	b := c.batch()
	defer c.requests.Put(b)
	appendStats(b)
	err = errMalformed // without an answer
	for m, failed := range c.nl.Query(ctx, b) {
		if err = failed; err == nil {
			n, limit, err = decodeStats(m.Data)
		}
		break
	}
	if err != nil {
		return 0, 0, opError("count", "", err)
	}
	return n, limit, nil
}
