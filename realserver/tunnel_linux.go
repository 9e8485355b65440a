package realserver

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
)

// greChecksum is GRE_CSUM in host order (include/uapi/linux/if_tunnel.h).
const greChecksum = 0x8000

// allowLocalRemote is IP6_TNL_F_ALLOW_LOCAL_REMOTE (include/uapi/linux/ip6_tunnel.h):
// a director that has the virtual address on the link to its real servers sends
// from it, and it is local here too (ip6_tnl_rcv_ctl).
const allowLocalRemote = 0x40

// addrGenModeNone is IN6_ADDR_GEN_MODE_NONE (include/uapi/linux/if_link.h).
const addrGenModeNone = 1

// modules are what the kernel needs for each kind of link.
var modules = map[string]string{
	"ipip":   "module ipip, CONFIG_NET_IPIP",
	"sit":    "module sit, CONFIG_IPV6_SIT",
	"ip6tnl": "module ip6_tunnel, CONFIG_IPV6_TUNNEL",
	"gre":    "module ip_gre, CONFIG_NET_IPGRE",
	"ip6gre": "module ip6_gre, CONFIG_IPV6_GRE",
}

// newLink returns the link that a step makes.
func (s step) newLink() netlink.Link {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Group = s.link, s.group
	local := net.IP(s.tunnel.local.AsSlice())
	switch s.tunnel.kind {
	case "ipip":
		return &netlink.Iptun{LinkAttrs: attrs, Local: local, Proto: unix.IPPROTO_IPIP, PMtuDisc: 1}
	case "sit":
		return &netlink.Sittun{LinkAttrs: attrs, Local: local, Proto: unix.IPPROTO_IPV6, PMtuDisc: 1}
	case "ip6tnl":
		return &netlink.Ip6tnl{LinkAttrs: attrs, Local: local, Flags: allowLocalRemote}
	default:
		link := &netlink.Gretun{LinkAttrs: attrs, Local: local, PMtuDisc: 1}
		if s.tunnel.checksum {
			link.IFlags = greChecksum
		}
		return link
	}
}

// tunnelOf returns what identifies a link that newLink may have made. The local
// address of other links is not valid.
func tunnelOf(link netlink.Link) tunnel {
	t := tunnel{kind: link.Type()}
	var local, remote net.IP
	switch l := link.(type) {
	case *netlink.Iptun:
		local, remote = l.Local, l.Remote
	case *netlink.Sittun:
		local, remote = l.Local, l.Remote
	case *netlink.Ip6tnl:
		local, remote = l.Local, l.Remote
	case *netlink.Gretun:
		local, remote = l.Local, l.Remote
		t.checksum = l.IFlags&greChecksum != 0
	}
	if len(remote) == 0 || remote.IsUnspecified() {
		addr, _ := netip.AddrFromSlice(local)
		t.local = addr
	}
	return t
}

// linkError gives the kernel's answer about a link of a kind its kind of error.
func linkError(op, object, kind string, err error) error {
	e := &vipkit.OpError{Op: op, Object: object, Err: err}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		if errors.Is(err, vipkit.ErrInterrupted) {
			e.Kind, e.Err = vipkit.ErrInterrupted, nil
		}
		return e
	}
	switch errno {
	case syscall.EPERM, syscall.EACCES:
		e.Kind = fs.ErrPermission
	case syscall.EEXIST:
		e.Kind, e.Detail = fs.ErrExist, "somebody else's link has this name, or takes the same packets"
	case syscall.ENODEV:
		e.Kind = fs.ErrNotExist
	case syscall.EINVAL, syscall.ERANGE:
		e.Kind = fs.ErrInvalid
	case syscall.EOPNOTSUPP, syscall.EAFNOSUPPORT:
		e.Kind, e.Detail = errors.ErrUnsupported, modules[kind]
	}
	return e
}

// portError gives the kernel's answer about a GUE port its kind of error.
func portError(op, object string, err error) error {
	e := &vipkit.OpError{Op: op, Object: object, Err: err}
	switch {
	case noFou(err):
		e.Kind, e.Detail = errors.ErrUnsupported, "the kernel has no GUE: module fou, CONFIG_NET_FOU; it does not load the module by itself"
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, syscall.EALREADY):
		e.Kind, e.Detail = fs.ErrExist, "another socket or another port for FOU or GUE is there"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		e.Kind, e.Detail = fs.ErrInvalid, "no address of this host"
	case errors.Is(err, syscall.EPERM):
		e.Kind = fs.ErrPermission
	case errors.Is(err, syscall.EAFNOSUPPORT), errors.Is(err, syscall.EPFNOSUPPORT):
		e.Kind, e.Detail = errors.ErrUnsupported, "the kernel lacks this for the address family: CONFIG_IPV6_FOU"
	}
	return e
}
