package dummy

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
)

var _ Watcher = (*Conn)(nil)

// hostSource is where a watch learns what it tells; tests have their own.
type hostSource interface {
	// list reads all links, then all addresses.
	list(ctx context.Context, each func(nl.Message)) error
	// Receive is that of nl.Listener.
	Receive(ctx context.Context, wait bool, each func(nl.Message)) error
}

// most is how many datagrams a watch reads before it tells what they changed.
const most = 1024

// relistPause is how long a watch waits after a list that changes disturbed.
const relistPause = 10 * time.Millisecond

// Watch implements [Watcher]. It has a socket of its own while the loop goes on,
// and waits without a thread or a goroutine. The socket's buffer holds some
// thousand changes that were not yet asked for.
func (c *Conn) Watch(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		listener, err := c.listen()
		if err != nil {
			yield(Event{}, watchError(ctx, err))
			return
		}
		defer listener.Close()
		newWatch(&kernelHost{c, listener}).run(ctx, yield)
	}
}

// kernelHost is the host that a Conn works on.
type kernelHost struct {
	conn *Conn
	*nl.Listener
}

func (h *kernelHost) list(ctx context.Context, each func(nl.Message)) error {
	b := h.conn.batch()
	defer h.conn.requests.Put(b)
	for _, typ := range []uint16{unix.RTM_GETLINK, unix.RTM_GETADDR} {
		b.Reset()
		b.Begin(typ, unix.NLM_F_DUMP)
		if typ == unix.RTM_GETLINK {
			b.Raw(make([]byte, ifInfoMsgLen)...)
			b.U32(unix.IFLA_EXT_MASK, skipStats)
		} else {
			b.Raw(make([]byte, ifAddrMsgLen)...)
		}
		b.End()
		for m, err := range h.conn.nl.Query(ctx, b) {
			if err != nil {
				return err
			}
			each(m)
		}
	}
	return nil
}

// listen opens a socket in the Conn's namespace that hears of links and addresses.
// Entering a namespace takes a privilege, even the one that the thread is in.
func (c *Conn) listen() (*nl.Listener, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cfg := nl.Config{Protocol: unix.NETLINK_ROUTE}
	var here, there unix.Stat_t
	err := errors.Join(unix.Stat("/proc/thread-self/ns/net", &here), unix.Fstat(int(c.namespace.Fd()), &there))
	if err != nil {
		return nil, err
	}
	if here.Dev != there.Dev || here.Ino != there.Ino {
		cfg.Namespace = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), c.namespace.Fd())
	}
	return nl.Listen(cfg, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
}

// watch is one loop over Watch.
type watch struct {
	host  hostSource
	table *hostTable
	fault bool // a message could not be read
	// overflow says that messages were lost.
	overflow bool
}

func newWatch(host hostSource) *watch { return &watch{host: host, table: newHostTable()} }

// run tells what the host has and what changes, until yield, the context or an
// error ends it.
func (w *watch) run(ctx context.Context, yield func(Event, error) bool) {
	if err := w.loop(ctx, func(e Event) bool { return yield(e, nil) }); err != nil {
		yield(Event{}, watchError(ctx, err))
	}
}

func (w *watch) loop(ctx context.Context, yield func(Event) bool) error {
	for relist := true; ; {
		listed := relist
		if relist {
			err := w.empty(ctx)
			if err == nil {
				err = w.relist(ctx)
			}
			if err != nil {
				return err
			}
		}
		// What came while the list was read is told with it.
		var err error
		for range most {
			if err = w.receive(ctx, false); err != nil {
				break
			}
		}
		relist = errors.Is(err, vipkit.ErrReplyLost)
		if err != nil && !relist && !errors.Is(err, unix.EAGAIN) {
			return err
		}
		if !w.table.tell(yield) || listed && !yield(Event{Kind: Listed}) {
			return nil
		}
		if errors.Is(err, unix.EAGAIN) {
			err = w.receive(ctx, true)
			if relist = errors.Is(err, vipkit.ErrReplyLost); err != nil && !relist {
				return err
			}
		}
		if w.overflow = relist; relist && !yield(Event{Kind: Overflow}) {
			return nil
		}
	}
}

func (w *watch) take(m nl.Message) { w.fault = !w.table.take(m) || w.fault }

// receive takes in one datagram.
func (w *watch) receive(ctx context.Context, wait bool) error {
	err := w.host.Receive(ctx, wait, w.take)
	if err == nil && w.fault {
		return errMalformed
	}
	return err
}

// empty throws away what is left of before an overflow: until it has read all, the
// kernel drops what is new and does not say so again (net/netlink/af_netlink.c,
// netlink_overrun, netlink_rcv_wake).
func (w *watch) empty(ctx context.Context) error {
	if !w.overflow {
		return nil
	}
	for {
		err := w.host.Receive(ctx, false, func(nl.Message) {})
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case err != nil && !errors.Is(err, vipkit.ErrReplyLost):
			return err
		}
	}
}

// relist reads all that there is, again if changes got in between.
func (w *watch) relist(ctx context.Context) error {
	for {
		w.table.reset()
		err := w.host.list(ctx, w.take)
		switch {
		case err == nil && w.fault:
			return errMalformed
		case !errors.Is(err, vipkit.ErrInterrupted) && !errors.Is(err, vipkit.ErrReplyLost):
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(relistPause):
		}
	}
}

// watchError gives an error of Watch its kind. The context's own stays as it is.
func watchError(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return err
	}
	return opError("dummy watch", "ip monitor link address", list, err)
}
