package realserver

import (
	"context"
	"errors"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit/internal/nl"
)

// The generic netlink family "fou" (include/uapi/linux/fou.h), which receives GUE.
const (
	fouName = "fou"

	fouAdd = 1
	fouDel = 2
	fouGet = 3

	fouPort    = 1 // network order
	fouFamily  = 2
	fouType    = 4
	fouLocal4  = 6
	fouLocal6  = 7
	fouTypeGUE = 2
)

// fou is the ports at which a namespace receives GUE.
type fou struct{ conn *nl.Conn }

func openFou(namespace string) (fou, error) {
	conn, err := nl.Open(nl.Config{Protocol: unix.NETLINK_GENERIC, Namespace: namespace})
	return fou{conn: conn}, err
}

// list returns the ports that are bound to an address.
func (f fou) list(ctx context.Context) (map[netip.AddrPort]bool, error) {
	id, err := f.conn.GenlFamily(ctx, fouName)
	if err != nil {
		return nil, err
	}
	var b nl.Batch
	b.Begin(id, unix.NLM_F_DUMP)
	b.Genl(fouGet, 1)
	b.End()
	ports := make(map[netip.AddrPort]bool)
	for m, err := range f.conn.Query(ctx, &b) {
		if err != nil {
			return nil, err
		}
		if port, ok := parsePort(m.Data); ok {
			ports[port] = true
		}
	}
	return ports, nil
}

// parsePort reads a reply, struct genlmsghdr and attributes. It is not ok for a port
// that is no GUE port at an address.
func parsePort(p []byte) (port netip.AddrPort, ok bool) {
	const header = 4
	if len(p) < header {
		return port, false
	}
	var number uint16
	var kind uint8
	var addr netip.Addr
	for a := range nl.Attrs(p[header:]) {
		switch a.Type {
		case fouPort:
			number, _ = a.Be16()
		case fouType:
			kind, _ = a.U8()
		case fouLocal4, fouLocal6:
			addr, _ = a.Addr()
		}
	}
	port = netip.AddrPortFrom(addr, number)
	return port, kind == fouTypeGUE && number != 0 && addr.IsValid() && !addr.IsUnspecified()
}

// add opens a port, del closes it.
func (f fou) add(ctx context.Context, p netip.AddrPort) error { return f.exec(ctx, fouAdd, p) }
func (f fou) del(ctx context.Context, p netip.AddrPort) error { return f.exec(ctx, fouDel, p) }

func (f fou) exec(ctx context.Context, command uint8, p netip.AddrPort) error {
	id, err := f.conn.GenlFamily(ctx, fouName)
	if err != nil {
		return err
	}
	var b nl.Batch
	b.Begin(id, 0)
	b.Genl(command, 1)
	b.Be16(fouPort, p.Port())
	family, local := uint8(unix.AF_INET), uint16(fouLocal4)
	if p.Addr().Is6() {
		family, local = unix.AF_INET6, fouLocal6
	}
	b.U8(fouFamily, family)
	if command == fouAdd {
		b.U8(fouType, fouTypeGUE)
	}
	b.Addr(local, p.Addr())
	b.End()
	var refused error
	err = f.conn.Exec(ctx, &b, func(failure nl.Failure) { refused = failure.Errno })
	return errors.Join(err, refused)
}

// noFou reports the kernel's answer where it has no such family.
func noFou(err error) bool { return errors.Is(err, syscall.ENOENT) }
