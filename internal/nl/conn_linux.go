package nl

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Conn is a netlink socket of one protocol in one network namespace. It is
// safe for concurrent use; requests take turns.
type Conn struct {
	s    socket
	part int           // most bytes to read at a time
	turn chan struct{} // holds one token: whose turn it is

	// Owned by whoever has the turn.
	seq   uint32 // of the last message sent
	stale bool   // a dump was abandoned before its end
	buf   []byte // for replies of Exec

	slabs           slabs // for replies of Query
	messages, sends atomic.Int64
}

// socket is what a Conn needs of the system; tests put their own here.
type socket interface {
	// send passes p to the kernel, which has carried it out on return.
	send(p []byte) error
	// recv reads one datagram into p and returns its true length. With nothing
	// to read it waits until ctx is done, or fails with EAGAIN: at once if wait is
	// false, and after some time else.
	recv(ctx context.Context, p []byte, wait bool) (int, error)
	// limits returns how many bytes a send may have, and how many the receive
	// buffer can hold as the kernel counts them.
	limits() (send, recv int)
	// echoes reports whether a refusal carries the whole request.
	echoes() bool
	close() error
}

const (
	bufSize  = 256 << 10 // more than any datagram, an echoed request included
	slabSize = 128 << 10
	slabRoom = 64 << 10 // a dump's datagrams are at most half of this
)

type slab struct {
	data [slabSize]byte
	used int
}

// slabs are those that are not in use. Some are kept for good, which a sync.Pool
// does not do: memory that is new to the process costs more to touch, page by page,
// than what the kernel writes into it.
type slabs struct {
	mu   sync.Mutex
	kept []*slab
}

// keepSlabs is how many: 1 MiB.
const keepSlabs = 8

func (p *slabs) get() *slab {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.kept); n > 0 {
		s := p.kept[n-1]
		p.kept = p.kept[:n-1]
		s.used = 0
		return s
	}
	return new(slab)
}

func (p *slabs) put(s *slab) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.kept) < keepSlabs {
		p.kept = append(p.kept, s)
	}
}

// Open opens a socket.
func Open(cfg Config) (*Conn, error) {
	s, err := openSocket(cfg)
	if err != nil {
		return nil, err
	}
	c := newConn(s)
	if cfg.Part > 0 {
		c.part = max(cfg.Part, os.Getpagesize())
	}
	return c, nil
}

func newConn(s socket) *Conn {
	c := &Conn{s: s, part: bufSize, turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c
}

// Close closes the socket. Calls under way fail with net.ErrClosed.
func (c *Conn) Close() error { return c.s.close() }

// Requests returns how many messages the Conn has sent, and Sends in how many
// system calls: what tests count.
func (c *Conn) Requests() (messages, sends int64) { return c.messages.Load(), c.sends.Load() }

// acquire waits for the turn and clears away what an earlier request left.
func (c *Conn) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-c.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := c.drainDump(ctx); err != nil {
		c.release()
		return err
	}
	return nil
}

func (c *Conn) release() { c.turn <- struct{}{} }

// drainDump reads an abandoned dump to its end: until then the kernel would
// answer EBUSY to another one (net/netlink/af_netlink.c,
// __netlink_dump_start).
func (c *Conn) drainDump(ctx context.Context) error {
	for c.stale {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, err := c.s.recv(ctx, c.buffer(), false)
		switch {
		case err == nil, errors.Is(err, unix.ENOBUFS):
		case errors.Is(err, unix.EAGAIN):
			c.stale = false
		default:
			return err
		}
	}
	return nil
}

func (c *Conn) buffer() []byte {
	if c.buf == nil {
		c.buf = make([]byte, c.part)
	}
	return c.buf
}

// send stamps messages first to last-1 of b with sequence numbers and sends
// them. It returns the number of the first.
func (c *Conn) send(b *Batch, first, last int, ackLast bool) (uint32, error) {
	base := c.seq + 1
	c.seq += uint32(last - first)
	for i := first; i < last; i++ {
		b.stamp(i, base+uint32(i-first), ackLast && i == last-1)
	}
	c.messages.Add(int64(last - first))
	c.sends.Add(1)
	return base, c.s.send(b.buf[b.starts[first]:b.end(last-1)])
}
