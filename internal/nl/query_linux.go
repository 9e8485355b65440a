package nl

import (
	"context"
	"errors"
	"iter"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
)

// Query sends the one request in b and yields its replies: all parts of a dump
// (NLM_F_DUMP), or the answer of a get. They are read before the first is
// yielded, so an error comes alone: a syscall.Errno, vipkit.ErrInterrupted if
// the kernel flagged the dump as inconsistent (NLM_F_DUMP_INTR),
// vipkit.ErrReplyLost, or the context's. A dump is tried again as [Retry] has
// it. Breaking early is safe, and so are other requests from within the loop.
func (c *Conn) Query(ctx context.Context, b *Batch) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		var slabs []*slab
		var seq uint32
		free := func() {
			for _, s := range slabs {
				c.slabs.put(s)
			}
		}
		read := func() (err error) {
			free()
			slabs, seq, err = c.query(ctx, b)
			return err
		}
		defer func() { free() }()
		var err error
		if b.Len() == 1 && b.flags(0)&flagDump == flagDump {
			err = Retry(read)
		} else {
			err = read()
		}
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
			s = c.slabs.get()
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
// the whole answer: Read does not try again, see [Retry].
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
			// EBUSY: the kernel is not through with another dump of this socket.
			c.stale = c.stale || dump && (!done || errors.Is(err, unix.EBUSY))
			return 0, err
		}
	}
	return seq, nil
}

// tries is how often Retry calls in all.
const tries = 4

// Retry calls read again, three times at most, while it fails with what another
// try may mend: vipkit.ErrInterrupted (the table changed while it was read),
// vipkit.ErrReplyLost, EBUSY (another dump is under way) or EINTR. It is for dumps,
// which change nothing; a write is never tried again by itself, since it may have
// been carried out.
func Retry(read func() error) (err error) {
	for range tries {
		err = read()
		switch {
		case errors.Is(err, vipkit.ErrInterrupted), errors.Is(err, vipkit.ErrReplyLost), errors.Is(err, unix.EBUSY), errors.Is(err, unix.EINTR):
		default:
			return err
		}
	}
	return err
}

// recvPart reads one datagram of the answer to a query.
func (c *Conn) recvPart(ctx context.Context, p []byte) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.s.recv(ctx, p, true)
	if errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EAGAIN) || n > len(p) {
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
