package ports

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/run"
)

// Conn is the ports of a running kernel. It holds nothing open but what Hold
// returns.
type Conn struct {
	cfg Config
}

var _ Client = (*Conn)(nil)

// Open returns a Conn.
func Open(cfg *Config) (*Conn, error) {
	c := &Conn{}
	if cfg != nil {
		c.cfg = *cfg
	}
	return c, nil
}

// Hold implements [Client].
func (c *Conn) Hold(ctx context.Context, k Key) (io.Closer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := k.Validate(); err != nil {
		return nil, &vipkit.OpError{Op: "hold port", Object: k.String(), Kind: fs.ErrInvalid, Err: err}
	}
	var held *socket
	var owner string
	do := func() (err error) {
		held, err = bind(k)
		if errors.Is(err, unix.EADDRINUSE) {
			owner = whoHas(k)
		}
		return err
	}
	var err error
	if c.cfg.Namespace == "" {
		err = do()
	} else {
		err = run.InNamespace(c.cfg.Namespace, do)
	}
	if err != nil {
		return nil, &vipkit.OpError{Op: "hold port", Object: k.String(), Kind: classify(err), Err: err, Detail: owner}
	}
	return held, nil
}

// socket is a socket that is bound and nothing else.
type socket struct {
	close func() error
}

// Close implements [io.Closer]. Closing twice does nothing more.
func (s *socket) Close() error { return s.close() }

func bind(k Key) (*socket, error) {
	kind := unix.SOCK_STREAM
	if k.Protocol == vipkit.UDP {
		kind = unix.SOCK_DGRAM
	}
	family, address := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(k.Port), Addr: k.Addr.As16()})
	if k.Addr.Is4() {
		family, address = unix.AF_INET, &unix.SockaddrInet4{Port: int(k.Port), Addr: k.Addr.As4()}
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, int(k.Protocol))
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if family == unix.AF_INET6 {
		err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1))
	}
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, address))
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	if k.Protocol == vipkit.UDP {
		// Nothing is to pile up should a packet come: its buffer is the smallest.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 0)
	}
	return &socket{close: sync.OnceValue(func() error { return os.NewSyscallError("close", unix.Close(fd)) })}, nil
}

// classify returns the kind of what socket(2) and bind(2) answer.
func classify(err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return vipkit.ErrInUse
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fs.ErrNotExist
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fs.ErrPermission
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.ESOCKTNOSUPPORT):
		return errors.ErrUnsupported
	}
	return nil
}

// whoHas names the program that has a port, in the namespace of the calling
// thread, or says nothing where /proc does not.
func whoHas(k Key) string {
	inodes := make(map[string]bool)
	for _, suffix := range []string{"", "6"} {
		if k.Protocol == vipkit.SCTP {
			break // /proc/net/sctp/eps does not tell the socket
		}
		table, err := os.ReadFile(fmt.Sprintf("/proc/thread-self/net/%v%s", k.Protocol, suffix))
		if err == nil {
			socketsAt(string(table), k.Port, inodes)
		}
	}
	if len(inodes) == 0 {
		return ""
	}
	return ownerOf(inodes)
}
