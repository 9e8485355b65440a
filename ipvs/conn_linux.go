package ipvs

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit/internal/nl"
)

// Conn is the kernel's IPVS of one network namespace. It is safe for concurrent
// use.
type Conn struct {
	nl      *nl.Conn
	dumps   *nl.Conn // for small dumps
	options *sockopt
	family  atomic.Uint32 // of generic netlink, zero until known
	listed  atomic.Int64  // virtual servers in the last listing: room for the next
	writers sync.Pool     // of *writer
	calls   sync.Pool     // of *optionCall
}

var _ Client = (*Conn)(nil)

// Open opens IPVS. It neither needs privilege nor loads the module: the first
// request does, and fails if it cannot. config may be nil.
func Open(config *Config) (*Conn, error) {
	var namespace string
	if config != nil {
		namespace = config.Namespace
	}
	conn, err := nl.Open(nl.Config{Protocol: unix.NETLINK_GENERIC, Namespace: namespace})
	if err != nil {
		return nil, ReadError("ipvs open", namespace, err)
	}
	dumps, err := nl.Open(nl.Config{Protocol: unix.NETLINK_GENERIC, Namespace: namespace, Part: 1})
	if err != nil {
		return nil, ReadError("ipvs open", namespace, errors.Join(err, conn.Close()))
	}
	c := &Conn{nl: conn, dumps: dumps}
	if c.options, err = openSockopt(namespace); err != nil {
		c.options = nil // a kernel without IPv4: netlink tells everything too
	}
	c.writers.New = func() any { return new(writer) }
	c.calls.New = func() any { return newOptionCall() }
	return c, nil
}

// Close closes the connection. Calls under way fail.
func (c *Conn) Close() error {
	return errors.Join(c.nl.Close(), c.dumps.Close(), c.options.close())
}

// Requests returns how many requests were made, netlink messages and getsockopts,
// and in how many system calls.
func (c *Conn) Requests() (messages, sends int64) {
	messages, sends = c.nl.Requests()
	m, s := c.dumps.Requests()
	o := c.options.requests()
	return messages + m + o, sends + s + o
}

// familyID returns the number of the IPVS family. Asking for it makes the kernel
// load its module.
func (c *Conn) familyID(ctx context.Context) (uint16, error) {
	if id := c.family.Load(); id != 0 {
		return uint16(id), ctx.Err()
	}
	id, err := c.nl.GenlFamily(ctx, genlName)
	if errors.Is(err, unix.ENOENT) {
		return 0, errNoFamily
	}
	if err != nil {
		return 0, err
	}
	c.family.Store(uint32(id))
	return id, nil
}

// writer is what one request needs.
type writer struct {
	batch   nl.Batch
	encoder encoder
	index   []int // of the change that each message carries
}

// Apply implements [Client].
func (c *Conn) Apply(ctx context.Context, changes []Change) []error {
	var errs []error
	fail := func(i int, err error) {
		if errs == nil {
			errs = make([]error, len(changes))
		}
		errs[i] = err
	}
	w := c.writers.Get().(*writer)
	defer c.writers.Put(w)
	next := 0
	family, err := c.familyID(ctx)
	if w.encoder.family != family {
		w.encoder = encoder{family: family}
	}
	for err == nil && next < len(changes) {
		end := next + w.encode(changes[next:], func(i int, err error) {
			fail(next+i, ChangeError(changes[next+i], err))
		})
		var unsent []int
		err = c.nl.Exec(ctx, &w.batch, func(f nl.Failure) {
			i := next + w.index[f.Index]
			if f.Errno == syscall.ECANCELED {
				unsent = append(unsent, i)
				return
			}
			fail(i, refusal(changes[i], f.Errno, f.Message))
		})
		for _, i := range unsent {
			fail(i, ChangeError(changes[i], err))
		}
		next = end
	}
	for ; next < len(changes); next++ {
		fail(next, ChangeError(changes[next], err))
	}
	return errs
}

// encode fills the batch with the valid ones among the first changes, as many as
// go into one send, and returns how many changes those are.
func (w *writer) encode(changes []Change, refuse func(i int, err error)) int {
	w.batch.Reset()
	w.index = w.index[:0]
	for i := range changes {
		if w.batch.Size() > nl.SendSize-maxRequest {
			return i
		}
		if err := changes[i].check(); err != nil {
			refuse(i, err)
			continue
		}
		w.encoder.append(&w.batch, &changes[i])
		w.index = append(w.index, i)
	}
	return len(changes)
}
