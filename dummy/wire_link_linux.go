package dummy

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit/internal/nl"
)

// addrGenModeNone is IN6_ADDR_GEN_MODE_NONE (include/uapi/linux/if_link.h).
const addrGenModeNone = 1

// skipStats is RTEXT_FILTER_SKIP_STATS (include/uapi/linux/rtnetlink.h).
const skipStats = 1 << 3

// beginLink begins a message about a link: by its index, or, if that is zero, by
// the name in an attribute.
func beginLink(b *nl.Batch, typ, flags uint16, index, linkFlags, change uint32) {
	b.Begin(typ, flags)
	var p [ifInfoMsgLen]byte
	binary.NativeEndian.PutUint32(p[4:], index)
	binary.NativeEndian.PutUint32(p[8:], linkFlags)
	binary.NativeEndian.PutUint32(p[12:], change)
	b.Raw(p[:]...)
}

// appendGetLink appends a request for a link.
func appendGetLink(b *nl.Batch, name string) {
	beginLink(b, unix.RTM_GETLINK, 0, 0, 0, 0)
	b.String(unix.IFLA_IFNAME, name)
	b.U32(unix.IFLA_EXT_MASK, skipStats)
	b.End()
}

// appendCreateLink appends what makes a link, down.
func appendCreateLink(b *nl.Batch, l Link) {
	beginLink(b, unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, 0, 0, 0)
	b.String(unix.IFLA_IFNAME, l.Name)
	appendSettings(b, l)
	at := b.Nest(unix.IFLA_LINKINFO)
	b.String(unix.IFLA_INFO_KIND, Kind)
	b.EndNest(at)
	b.End()
}

func appendSettings(b *nl.Batch, l Link) {
	if l.MTU != 0 {
		b.U32(unix.IFLA_MTU, uint32(l.MTU))
	}
	if l.Group != 0 {
		b.U32(unix.IFLA_GROUP, l.Group)
	}
}

// appendUpdateLink appends what gives a link its settings. Link-local addresses are
// switched off by a message of their own, at index addrGenMessage, since a kernel
// without IPv6 refuses it, and before the link comes up, since then it would get
// one.
func appendUpdateLink(b *nl.Batch, index uint32, l Link) {
	beginLink(b, unix.RTM_NEWLINK, 0, index, 0, 0)
	appendSettings(b, l)
	b.End()

	beginLink(b, unix.RTM_NEWLINK, 0, index, 0, 0)
	spec := b.Nest(unix.IFLA_AF_SPEC)
	inet6 := b.Nest(unix.AF_INET6)
	b.U8(unix.IFLA_INET6_ADDR_GEN_MODE, addrGenModeNone)
	b.EndNest(inet6)
	b.EndNest(spec)
	b.End()

	var up uint32
	if l.Up {
		up = unix.IFF_UP
	}
	beginLink(b, unix.RTM_NEWLINK, 0, index, up, unix.IFF_UP)
	b.End()
}

// addrGenMessage is the index of the message in what appendUpdateLink appends
// that may fail.
const addrGenMessage = 1

func appendDeleteLink(b *nl.Batch, index uint32) {
	beginLink(b, unix.RTM_DELLINK, 0, index, 0, 0)
	b.End()
}

// parseLink reads an RTM_NEWLINK or RTM_DELLINK. It is not ok for what is no
// whole link.
func parseLink(p []byte) (l Link, index int, ok bool) {
	if len(p) < ifInfoMsgLen {
		return l, 0, false
	}
	index = int(int32(binary.NativeEndian.Uint32(p[4:])))
	l.Up = binary.NativeEndian.Uint32(p[8:])&unix.IFF_UP != 0
	for rest := p[ifInfoMsgLen:]; len(rest) > 0; {
		var a nl.Attr
		if a, rest, ok = nl.Next(rest); !ok {
			return Link{}, 0, false
		}
		switch a.Type {
		case unix.IFLA_IFNAME:
			l.Name = a.String()
		case unix.IFLA_MTU:
			var mtu uint32
			mtu, ok = a.U32()
			l.MTU = int(mtu)
		case unix.IFLA_GROUP:
			l.Group, ok = a.U32()
		case unix.IFLA_LINKINFO:
			l.Kind, ok = parseKind(a.Data)
		}
		if !ok {
			return Link{}, 0, false
		}
	}
	if CheckName(l.Name) != nil || index <= 0 {
		return Link{}, 0, false
	}
	return l, index, true
}

// parseKind reads the kind out of IFLA_LINKINFO, which a link of no kind may have.
func parseKind(p []byte) (kind string, ok bool) {
	for len(p) > 0 {
		var a nl.Attr
		if a, p, ok = nl.Next(p); !ok {
			return "", false
		}
		if a.Type == unix.IFLA_INFO_KIND {
			kind = a.String()
		}
	}
	return kind, true
}
