package nl

import (
	"context"
	"errors"
	"iter"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
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

	slabs           sync.Pool // of *slab, for replies of Query
	messages, sends atomic.Int64
}

// socket is what a Conn needs of the system; tests put their own here.
type socket interface {
	// send passes p to the kernel, which has carried it out on return.
	send(p []byte) error
	// recv reads one datagram into p and returns its true length. With nothing
	// to read it waits until ctx is done, or fails with EAGAIN if wait is false.
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
	c.slabs.New = func() any { return new(slab) }
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

// Query sends the one request in b and yields its replies: all parts of a dump
// (NLM_F_DUMP), or the answer of a get. They are read before the first is
// yielded, so an error comes alone: a syscall.Errno, vipkit.ErrInterrupted if
// the kernel flagged the dump as inconsistent (NLM_F_DUMP_INTR),
// vipkit.ErrReplyLost, or the context's. Breaking early is safe, and so are
// other requests from within the loop.
func (c *Conn) Query(ctx context.Context, b *Batch) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		slabs, seq, err := c.query(ctx, b)
		defer func() {
			for _, s := range slabs {
				c.slabs.Put(s)
			}
		}()
		if err != nil {
			yield(Message{}, err)
			return
		}
		for _, s := range slabs {
			for r := range replies(s.data[:s.used]) {
				if r.seq == seq && r.Type != msgError && r.Type != msgDone && !yield(r.Message, nil) {
					return
				}
			}
		}
	}
}

// query sends the request and reads all its replies.
func (c *Conn) query(ctx context.Context, b *Batch) (slabs []*slab, seq uint32, err error) {
	var s *slab
	seq, err = c.exchange(ctx, b, func() []byte {
		if s == nil || slabSize-s.used < slabRoom {
			s = c.slabs.Get().(*slab)
			s.used = 0
			slabs = append(slabs, s)
		}
		return s.data[s.used:]
	}, func(p []byte, seq uint32) (done bool, err error) {
		s.used = (s.used + len(p) + 3) &^ 3
		return readPart(p, seq, nil)
	})
	return slabs, seq, err
}

// Read sends the one request in b and calls each for every reply, as they come,
// in one buffer: less memory than [Conn.Query]. each must not use the Conn. After
// an error, which is as in Query or what each returned, what each has seen is not
// the whole answer.
func (c *Conn) Read(ctx context.Context, b *Batch, each func(Message) error) error {
	_, err := c.exchange(ctx, b, c.buffer, func(p []byte, seq uint32) (done bool, err error) {
		return readPart(p, seq, each)
	})
	return err
}

// exchange sends the one request in b and reads the parts of its answer, each
// into what room returns, and hands them to take, until that is done.
func (c *Conn) exchange(ctx context.Context, b *Batch, room func() []byte, take func(p []byte, seq uint32) (done bool, err error)) (seq uint32, err error) {
	if b.Len() != 1 {
		return 0, unix.EINVAL
	}
	if err := c.acquire(ctx); err != nil {
		return 0, err
	}
	defer c.release()
	dump := b.flags(0)&flagDump == flagDump
	seq, err = c.send(b, 0, 1, !dump)
	if err != nil {
		return 0, err
	}
	for done := false; !done; {
		p := room()
		p = p[:min(len(p), c.part)]
		n, err := c.recvPart(ctx, p)
		if err == nil {
			done, err = take(p[:n], seq)
		}
		if err != nil {
			c.stale = c.stale || dump && !done
			return 0, err
		}
	}
	return seq, nil
}

// recvPart reads one datagram of the answer to a query.
func (c *Conn) recvPart(ctx context.Context, p []byte) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.s.recv(ctx, p, true)
	if errors.Is(err, unix.ENOBUFS) || n > len(p) {
		return 0, vipkit.ErrReplyLost
	}
	return n, err
}

// readPart looks through a datagram for the end of the answer and for what is
// wrong with it, and calls each, if there is one, for the messages before.
func readPart(p []byte, seq uint32, each func(Message) error) (done bool, err error) {
	for r := range replies(p) {
		if r.seq != seq {
			continue
		}
		if r.Flags&flagDumpIntr != 0 && err == nil {
			err = vipkit.ErrInterrupted
		}
		if r.Type == msgError || r.Type == msgDone {
			if e := r.errno(); e != 0 {
				err = e
			}
			done = true
		} else if each != nil && err == nil {
			err = each(r.Message)
		}
	}
	return done, err
}

// GenlFamily returns the number of a generic netlink family. It fails with
// syscall.ENOENT where the kernel has none of that name (the request makes the
// kernel load its module if it can).
func (c *Conn) GenlFamily(ctx context.Context, name string) (uint16, error) {
	var b Batch
	b.Begin(unix.GENL_ID_CTRL, 0)
	b.Genl(unix.CTRL_CMD_GETFAMILY, 1)
	b.String(unix.CTRL_ATTR_FAMILY_NAME, name)
	b.End()
	var id uint16
	for m, err := range c.Query(ctx, &b) {
		if err != nil {
			return 0, err
		}
		for a := range Attrs(m.Data[min(4, len(m.Data)):]) {
			if v, ok := a.U16(); ok && a.Type == unix.CTRL_ATTR_FAMILY_ID {
				id = v
			}
		}
	}
	if id == 0 {
		return 0, syscall.EBADMSG
	}
	return id, nil
}
