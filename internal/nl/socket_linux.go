package nl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const wantReceive = 4 << 20 // bytes; the kernel doubles it

// sysSocket is a netlink socket, connected to the kernel so that no other process
// can send to it. It is not one of the runtime's poller, which would be woken by
// every answer, though answers are there when a send returns: that took a tenth of
// the time of a batch.
type sysSocket struct {
	file        *os.File
	raw         syscall.RawConn
	echo        bool
	sendLimit   int
	answerLimit int
	isClosed    atomic.Bool
}

func openSocket(cfg Config) (socket, error) {
	fd, err := Socket(cfg.Namespace, unix.AF_NETLINK, unix.SOCK_RAW, cfg.Protocol)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	s := &sysSocket{echo: cfg.Echo}
	if err := s.setup(fd, cfg); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set up netlink socket: %w", err)
	}
	s.file = os.NewFile(uintptr(fd), "netlink")
	if s.raw, err = s.file.SyscallConn(); err != nil {
		s.file.Close()
		return nil, fmt.Errorf("set up netlink socket: %w", err)
	}
	return s, nil
}

// Socket makes a socket, closed on exec, in the network namespace at a path, or
// in that of the calling thread if namespace is empty. It stays there.
func Socket(namespace string, domain, typ, protocol int) (fd int, err error) {
	typ |= unix.SOCK_CLOEXEC
	if namespace == "" {
		return unix.Socket(domain, typ, protocol)
	}
	there, err := netns.GetFromPath(namespace)
	if err != nil {
		return -1, fmt.Errorf("network namespace %s: %w", namespace, err)
	}
	defer there.Close()
	type result struct {
		fd  int
		err error
	}
	results := make(chan result)
	go func() {
		runtime.LockOSThread()
		here, err := netns.Get()
		if err != nil {
			runtime.UnlockOSThread()
			results <- result{-1, err}
			return
		}
		defer here.Close()
		if err := netns.Set(there); err != nil {
			runtime.UnlockOSThread()
			results <- result{-1, fmt.Errorf("enter network namespace %s: %w", namespace, err)}
			return
		}
		fd, err := unix.Socket(domain, typ, protocol)
		// A thread that cannot go back dies with this goroutine, locked to it.
		if netns.Set(here) == nil {
			runtime.UnlockOSThread()
		}
		results <- result{fd, err}
	}()
	r := <-results
	return r.fd, r.err
}

// setup sets the options. Those that only help are allowed to fail.
func (s *sysSocket) setup(fd int, cfg Config) error {
	for _, o := range []struct{ force, plain, value int }{
		{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, wantReceive},
		{unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, 2 * SendSize},
	} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.force, o.value) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.plain, o.value)
		}
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	if !cfg.Echo {
		_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	}
	if cfg.Protocol == unix.NETLINK_ROUTE {
		_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	}
	send, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
	if err != nil {
		return err
	}
	if s.answerLimit, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF); err != nil {
		return err
	}
	s.sendLimit = min(SendSize, send-32) // netlink_sendmsg keeps 32 bytes
	return unix.Connect(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

func (s *sysSocket) limits() (send, recv int) { return s.sendLimit, s.answerLimit }

func (s *sysSocket) echoes() bool { return s.echo }

func (s *sysSocket) close() error {
	if s.isClosed.Swap(true) {
		return net.ErrClosed
	}
	return s.file.Close()
}

func (s *sysSocket) send(p []byte) error {
	var sent error
	err := s.raw.Control(func(fd uintptr) {
		for again := true; again; again = errors.Is(sent, unix.EINTR) {
			_, sent = unix.Write(int(fd), p)
		}
	})
	if err != nil {
		return s.waitError(err)
	}
	return sent
}

// slice is how long recv waits before it looks at its context again. It hardly ever
// waits: see collect.
const slice = 10 * time.Millisecond

// patience is how long recv waits in all. The kernel answers before a send returns, or
// not at all: a request that ends with EINTR gets no answer (net/netlink/af_netlink.c,
// netlink_rcv_skb).
const patience = time.Second

func (s *sysSocket) recv(ctx context.Context, p []byte, wait bool) (n int, err error) {
	var got error
	read := func(fd uintptr) {
		for again := true; again; again = errors.Is(got, unix.EINTR) {
			n, _, got = unix.Recvfrom(int(fd), p, unix.MSG_TRUNC|unix.MSG_DONTWAIT)
		}
	}
	poll := func(fd uintptr) {
		_, got = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(slice/time.Millisecond))
	}
	for started := time.Now(); ; {
		if err := s.raw.Control(read); err != nil {
			return 0, s.waitError(err)
		}
		if !errors.Is(got, unix.EAGAIN) || !wait || time.Since(started) > patience {
			return max(n, 0), got
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := s.raw.Control(poll); err != nil {
			return 0, s.waitError(err)
		}
	}
}

// waitError says net.ErrClosed where package os has its own words, which it
// does not export, for a file closed under a RawConn.
func (s *sysSocket) waitError(err error) error {
	if s.isClosed.Load() {
		return net.ErrClosed
	}
	return err
}
