package ports

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/netip"

	"github.com/vipkit/vipkit"
)

// Key is a port of one address and protocol. It is comparable.
type Key struct {
	// Protocol is TCP, UDP or SCTP.
	Protocol vipkit.Protocol
	// Addr is an address of this host, unmapped and without zone.
	Addr netip.Addr
	// Port is 1–65535.
	Port uint16
}

// String returns "tcp 192.0.2.1:30080".
func (k Key) String() string {
	return k.Protocol.String() + " " + netip.AddrPortFrom(k.Addr, k.Port).String()
}

// Validate reports a key that nobody can hold.
func (k Key) Validate() error {
	switch {
	case !k.Protocol.Valid():
		return fmt.Errorf("%v: want tcp, udp or sctp: %w", k, fs.ErrInvalid)
	case !k.Addr.IsValid() || k.Addr.Is4In6() || k.Addr.Zone() != "" || k.Addr.IsUnspecified():
		return fmt.Errorf("%v: want one address of this host: %w", k, fs.ErrInvalid)
	case k.Port == 0:
		return fmt.Errorf("%v: want a port of 1–65535: %w", k, fs.ErrInvalid)
	}
	return nil
}

// Client holds ports. It is safe for concurrent use.
type Client interface {
	// Hold takes a port until what it returns is closed. It fails with a
	// *vipkit.OpError: vipkit.ErrInUse if a program has the port, or this one
	// does; fs.ErrNotExist if the host does not have the address;
	// fs.ErrPermission for a port below 1024 without CAP_NET_BIND_SERVICE;
	// errors.ErrUnsupported if the kernel has no such protocol; fs.ErrInvalid
	// for what Key.Validate refuses; or with the context's error.
	Hold(ctx context.Context, k Key) (io.Closer, error)
}
