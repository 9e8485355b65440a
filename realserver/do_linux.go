package realserver

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/dummy"
)

// do carries one step out. What it finds done it leaves.
func (h *host) do(ctx context.Context, s step) error {
	switch s.op {
	case addLink:
		return h.dummy.CreateLink(ctx, dummy.Link{Name: s.link, Up: true, Group: s.group})
	case raiseLink:
		return h.dummy.UpdateLink(ctx, dummy.Link{Name: s.link, Up: true})
	case deleteLink:
		return notMissing(h.dummy.DeleteLink(ctx, s.link))
	case addAddress:
		return h.address(ctx, s, dummy.AddAddress, fs.ErrExist)
	case deleteAddress:
		return h.address(ctx, s, dummy.DeleteAddress, fs.ErrNotExist)
	case setParam:
		return h.params.Set(ctx, s.name, s.value)
	case addPort:
		if err := h.fou.add(ctx, s.port); err != nil {
			return portError("realserver add GUE port", s.String(), err)
		}
	case deletePort:
		if err := h.fou.del(ctx, s.port); err != nil && !noFou(err) {
			return portError("realserver delete GUE port", s.String(), err)
		}
	case setRecord:
		return h.onLink(s, "realserver record", func(l netlink.Link) error { return h.handle.LinkSetAlias(l, s.value) })
	case addTunnel:
		if err := h.handle.LinkAdd(s.newLink()); err != nil {
			return linkError("realserver add tunnel", s.String(), s.tunnel.kind, err)
		}
	case raiseTunnel:
		return h.onLink(s, "realserver set up tunnel", func(l netlink.Link) error { return h.raise(l, s.tunnel) })
	case deleteTunnel:
		return notMissing(h.onLink(s, "realserver delete tunnel", h.handle.LinkDel))
	}
	return nil
}

// address changes an address of any link of ours.
func (h *host) address(ctx context.Context, s step, op dummy.Op, done error) error {
	for _, err := range h.dummy.Apply(ctx, s.link, []dummy.Change{{Op: op, Address: dummy.Address{Addr: s.addr}}}) {
		if err != nil && !errors.Is(err, done) {
			return err
		}
	}
	return nil
}

func notMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// onLink does something to the link of a step, if it is still ours.
func (h *host) onLink(s step, op string, do func(netlink.Link) error) error {
	link, err := h.handle.LinkByName(s.link)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return &vipkit.OpError{Op: op, Object: s.String(), Kind: fs.ErrNotExist}
	}
	if err == nil && link.Attrs().Group != group(h.link) {
		return &vipkit.OpError{Op: op, Object: s.String(), Kind: fs.ErrExist, Detail: "somebody else's link"}
	}
	if err == nil {
		err = do(link)
	}
	if err != nil {
		return linkError(op, s.String(), s.tunnel.kind, err)
	}
	return nil
}

// raise brings a tunnel link up without addresses of the kernel's own. For sit there
// is one that cannot be switched off, ::a.b.c.d/96 (addrconf.c, sit_add_v4_addrs).
func (h *host) raise(link netlink.Link, t tunnel) error {
	// A kernel without IPv6 makes no such address and refuses.
	err := h.handle.LinkSetIP6AddrGenMode(link, addrGenModeNone)
	if err != nil && !errors.Is(err, syscall.EAFNOSUPPORT) {
		return err
	}
	if err := h.handle.LinkSetUp(link); err != nil || t.kind != "sit" {
		return err
	}
	var ip [net.IPv6len]byte
	copy(ip[12:], t.local.AsSlice())
	const compatible = 96
	err = h.handle.AddrDel(link, &netlink.Addr{IPNet: &net.IPNet{IP: ip[:], Mask: net.CIDRMask(compatible, 8*len(ip))}})
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return nil
	}
	return err
}
