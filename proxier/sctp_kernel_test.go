//go:build linux

package proxier_test

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The standard library has no SCTP and no ping.

func sockaddr(a netip.AddrPort) (unix.Sockaddr, int) {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}, unix.AF_INET
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}, unix.AF_INET6
}

func addrPortOf(sa unix.Sockaddr) netip.AddrPort {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// serveSCTP answers each association at an address with one message.
func serveSCTP(t *testing.T, at netip.AddrPort, answer func(from string) string) error {
	sa, family := sockaddr(at)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_SCTP)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	listener := os.NewFile(uintptr(fd), "sctp "+at.String())
	t.Cleanup(func() { _ = listener.Close() })
	if err := unix.Bind(fd, sa); err != nil {
		return os.NewSyscallError("bind", err)
	}
	if err := unix.Listen(fd, 128); err != nil {
		return os.NewSyscallError("listen", err)
	}
	raw, err := listener.SyscallConn()
	if err != nil {
		return err
	}
	go func() {
		for {
			var conn int
			var from unix.Sockaddr
			var err error
			if closed := raw.Read(func(fd uintptr) bool {
				conn, from, err = unix.Accept4(int(fd), unix.SOCK_CLOEXEC)
				return !errors.Is(err, unix.EAGAIN)
			}); closed != nil || err != nil {
				return
			}
			_, _ = unix.Write(conn, []byte(answer(addrPortOf(from).String())))
			_ = unix.Close(conn)
		}
	}()
	return nil
}

// askSCTP connects, and returns the first message that comes.
func askSCTP(to netip.AddrPort, patience time.Duration) (string, error) {
	sa, family := sockaddr(to)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_SCTP)
	if err != nil {
		return "", os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	// Without these the socket does not hear of an ICMP error (net/sctp/input.c, sctp_v4_err).
	level, option := unix.IPPROTO_IP, unix.IP_RECVERR
	if family == unix.AF_INET6 {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
		return "", os.NewSyscallError("setsockopt", err)
	}
	// A socket that is bound to no address tells the other side all addresses of
	// the host, virtual ones included: with many of them in IPv6 its first
	// packet exceeds the MTU and is lost.
	if err := bindTo(fd, family, sa); err != nil {
		return "", err
	}
	deadline := time.Now().Add(patience)
	if err := unix.Connect(fd, sa); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return "", os.NewSyscallError("connect", err)
	}
	buf := make([]byte, 256)
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return "", os.ErrDeadlineExceeded
		}
		polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(polled, int(left.Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			return "", os.NewSyscallError("poll", err)
		}
		if e, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && e != 0 {
			return "", unix.Errno(e)
		}
		n, err := unix.Read(fd, buf)
		switch {
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENOTCONN):
			continue
		case err != nil:
			return "", os.NewSyscallError("read", err)
		}
		return string(buf[:n]), nil
	}
}

// bindTo binds a socket to the address that the host would send from.
func bindTo(fd, family int, to unix.Sockaddr) error {
	probe, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(probe)
	if err := unix.Connect(probe, to); err != nil {
		return os.NewSyscallError("connect", err)
	}
	from, err := unix.Getsockname(probe)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	from, _ = sockaddr(netip.AddrPortFrom(addrPortOf(from).Addr(), 0))
	return os.NewSyscallError("bind", unix.Bind(fd, from))
}

// ping sends echo requests, and says "answered", "silence", or "rejected".
func (w *world) ping(from, to string, patience time.Duration) string {
	result := "silence"
	err := w.hosts[from].Do(func() error {
		address := netip.AddrPortFrom(netip.MustParseAddr(to), 0)
		sa, family := sockaddr(address)
		protocol, request, reply := unix.IPPROTO_ICMP, byte(8), byte(0)
		if family == unix.AF_INET6 {
			protocol, request, reply = unix.IPPROTO_ICMPV6, 128, 129
		}
		fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		defer unix.Close(fd)
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 200_000}); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
		id := uint16(fd) | 0x4000
		message := []byte{request, 0, 0, 0, byte(id >> 8), byte(id), 0, 1}
		if family == unix.AF_INET { // for IPv6 the kernel does it
			sum := uint32(0)
			for i := 0; i < len(message); i += 2 {
				sum += uint32(binary.BigEndian.Uint16(message[i:]))
			}
			binary.BigEndian.PutUint16(message[2:], ^uint16(sum+sum>>16))
		}
		buf := make([]byte, 256)
		for end := time.Now().Add(patience); time.Now().Before(end); {
			if err := unix.Sendto(fd, message, 0, sa); err != nil {
				return os.NewSyscallError("sendto", err)
			}
			n, _, err := unix.Recvfrom(fd, buf, 0)
			if err != nil {
				continue // it is sent again
			}
			got := buf[:n]
			if family == unix.AF_INET && n > 20 {
				got = got[int(got[0]&0xf)*4:]
			}
			if len(got) >= 8 && got[0] == reply && binary.BigEndian.Uint16(got[4:]) == id {
				result = "answered"
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return err.Error()
	}
	return result
}
