package ipvs

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit/internal/nl"
)

// sockopt is a socket that can be asked with getsockopt. A nil one has no answers.
type sockopt struct {
	file  *os.File
	raw   syscall.RawConn
	calls atomic.Int64
}

// errSockopt means that getsockopt does not serve here and netlink has to.
var errSockopt = errors.New("no getsockopt for IPVS")

func openSockopt(namespace string) (*sockopt, error) {
	fd, err := nl.Socket(namespace, unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return nil, err
	}
	s := &sockopt{file: os.NewFile(uintptr(fd), "ipvs")}
	if s.raw, err = s.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, s.file.Close())
	}
	return s, nil
}

func (s *sockopt) close() error {
	if s == nil {
		return nil
	}
	return s.file.Close()
}

func (s *sockopt) requests() int64 {
	if s == nil {
		return 0
	}
	return s.calls.Load()
}

// optionCall is one getsockopt, in memory that is used again.
type optionCall struct {
	option int
	data   []byte
	errno  syscall.Errno
	run    func(fd uintptr)
	arena  []Destination // where the next ones go: fewer, larger allocations
}

// arenaSize is how many destinations are allocated at a time: 18 KiB.
const arenaSize = 256

func newOptionCall() *optionCall {
	c := new(optionCall)
	c.run = c.call
	return c
}

func (c *optionCall) call(fd uintptr) {
	n := uint32(len(c.data)) // socklen_t
	_, _, c.errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.IPPROTO_IP, uintptr(c.option),
		uintptr(unsafe.Pointer(&c.data[0])), uintptr(unsafe.Pointer(&n)), 0)
}

// grow makes data n bytes long.
func (c *optionCall) grow(n int) {
	if cap(c.data) < n {
		c.data = make([]byte, n)
	}
	c.data = c.data[:n]
}

func (s *sockopt) do(c *optionCall) error {
	if s == nil || strconv.IntSize != 64 {
		return errSockopt
	}
	s.calls.Add(1)
	if s.raw.Control(c.run) != nil {
		return net.ErrClosed
	}
	switch c.errno {
	case 0:
		return nil
	case unix.ESRCH:
		return c.errno
	}
	return errSockopt
}

// counts returns how many destinations each IPv4 service has, of up to most
// services, in memory of the call; none where getsockopt does not serve.
func (s *sockopt) counts(c *optionCall, most int) (counter, error) {
	c.option = soGetServices
	c.grow(servicesHead + most*serviceSize)
	clear(c.data)
	binary.NativeEndian.PutUint32(c.data, uint32(most))
	if err := s.do(c); err != nil {
		if errors.Is(err, net.ErrClosed) {
			return counter{}, err
		}
		return counter{}, nil
	}
	return counter{table: c.data[servicesHead:]}, nil
}

// destinations returns the destinations of an IPv4 service that has count of them. It
// fails with ESRCH where the service is gone, and with errSockopt where netlink has
// to tell.
func (s *sockopt) destinations(c *optionCall, k *Key, count int) ([]Destination, error) {
	c.option = soGetDests
	c.grow(destsHead + (count+1)*destSize)
	putDestsHead(c.data, k, count+1)
	markUnfilled(c.data[destsHead:])
	if err := s.do(c); err != nil {
		return nil, err
	}
	if cap(c.arena)-len(c.arena) < count {
		c.arena = make([]Destination, 0, max(count, arenaSize))
	}
	start := len(c.arena)
	var ok bool
	if c.arena, ok = appendDests(c.arena, c.data[destsHead:], count); !ok {
		c.arena = c.arena[:start]
		return nil, errSockopt
	}
	return c.arena[start:len(c.arena):len(c.arena)], nil
}
