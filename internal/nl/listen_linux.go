package nl

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
)

// Listener is a netlink socket that hears what the kernel tells everybody: the
// messages of multicast groups. One goroutine at a time uses it. Waiting costs
// neither a thread nor a wake-up.
type Listener struct {
	file *os.File
	raw  syscall.RawConn
	buf  []byte
}

// Listen opens a socket that hears groups such as unix.RTNLGRP_LINK from now on.
// Of cfg it uses Protocol and Namespace.
func Listen(cfg Config, groups ...int) (*Listener, error) {
	fd, err := Socket(cfg.Namespace, unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK, cfg.Protocol)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, wantReceive) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, wantReceive)
	}
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	for _, group := range groups {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group))
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("set up netlink socket: %w", err)
	}
	l := &Listener{file: os.NewFile(uintptr(fd), "netlink"), buf: make([]byte, slabRoom)}
	if l.raw, err = l.file.SyscallConn(); err != nil {
		_ = l.file.Close()
		return nil, fmt.Errorf("set up netlink socket: %w", err)
	}
	return l, nil
}

// Close closes the socket.
func (l *Listener) Close() error { return l.file.Close() }

// Receive calls each for every message of the next datagram; a message's Data is
// valid until each returns. Where there is none it waits until ctx is done, or
// fails with syscall.EAGAIN if wait is false. It fails with vipkit.ErrReplyLost
// once after messages were lost: the kernel had no room for them (ENOBUFS), or
// this package none for one of them.
func (l *Listener) Receive(ctx context.Context, wait bool, each func(Message)) error {
	n, err := l.receive(ctx, wait)
	if errors.Is(err, unix.ENOBUFS) || n > len(l.buf) {
		return vipkit.ErrReplyLost
	}
	if err != nil {
		return err
	}
	for r := range replies(l.buf[:n]) {
		each(r.Message)
	}
	return nil
}

func (l *Listener) receive(ctx context.Context, wait bool) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if wait && ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { _ = l.file.SetReadDeadline(time.Unix(1, 0)) })
		defer stop()
	}
	var got error
	failure := l.raw.Read(func(fd uintptr) (done bool) {
		for again := true; again; again = errors.Is(got, unix.EINTR) {
			var from unix.Sockaddr
			n, from, got = unix.Recvfrom(int(fd), l.buf, unix.MSG_TRUNC|unix.MSG_DONTWAIT)
			if kernel, ok := from.(*unix.SockaddrNetlink); got == nil && (!ok || kernel.Pid != 0) {
				got = unix.EINTR // somebody else, who may send to a socket that is bound
			}
		}
		return !wait || !errors.Is(got, unix.EAGAIN)
	})
	if err := ctx.Err(); err != nil && failure != nil {
		return 0, err // the deadline is only how it says so
	}
	if failure != nil {
		return 0, failure
	}
	return max(n, 0), got
}
