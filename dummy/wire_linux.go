package dummy

import (
	"encoding/binary"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit/internal/nl"
)

// Lengths of the fixed headers.
const (
	ifInfoMsgLen = 16 // struct ifinfomsg
	ifAddrMsgLen = 8  // struct ifaddrmsg
	rtMsgLen     = 12 // struct rtmsg
)

// families are those that a link is read in.
var families = []uint8{unix.AF_INET, unix.AF_INET6}

func familyOf(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// appendChange appends the message that carries out a change on the link with the
// given index.
func appendChange(b *nl.Batch, index uint32, c Change) {
	typ, flags := uint16(unix.RTM_NEWADDR), uint16(unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	if c.Address.Means == ByRoute {
		typ = unix.RTM_NEWROUTE
	}
	if c.Op == DeleteAddress {
		typ, flags = typ+1, 0
	}
	b.Begin(typ, flags)
	if c.Address.Means == ByRoute {
		appendRoute(b, index, c.Address.Addr)
	} else {
		appendAddress(b, index, c.Address.Addr)
	}
	b.End()
}

// appendAddress appends struct ifaddrmsg and its attributes. Duplicate address
// detection would only delay an address that no neighbour can see, and a prefix
// route to one address is the local route once more.
func appendAddress(b *nl.Batch, index uint32, a netip.Addr) {
	b.Raw(familyOf(a), uint8(a.BitLen()), 0, unix.RT_SCOPE_UNIVERSE)
	appendIndex(b, index)
	b.Addr(unix.IFA_LOCAL, a)
	b.Addr(unix.IFA_ADDRESS, a)
	flags := uint32(unix.IFA_F_NOPREFIXROUTE)
	if a.Is6() {
		flags |= unix.IFA_F_NODAD
	}
	b.U32(unix.IFA_FLAGS, flags)
}

func appendIndex(b *nl.Batch, index uint32) {
	var p [4]byte
	binary.NativeEndian.PutUint32(p[:], index)
	b.Raw(p[:]...)
}

// appendRoute appends struct rtmsg and its attributes. The protocol tells our
// routes from those that the kernel makes for addresses.
func appendRoute(b *nl.Batch, index uint32, a netip.Addr) {
	scope := uint8(unix.RT_SCOPE_HOST)
	if a.Is6() {
		scope = unix.RT_SCOPE_UNIVERSE // IPv6 has no scopes of routes
	}
	b.Raw(familyOf(a), uint8(a.BitLen()), 0, 0, unix.RT_TABLE_LOCAL, unix.RTPROT_STATIC, scope, unix.RTN_LOCAL)
	b.Raw(0, 0, 0, 0)
	b.Addr(unix.RTA_DST, a)
	b.U32(unix.RTA_OIF, index)
}

// appendList appends a request for what the link with the given index holds by
// one means in one family.
func appendList(b *nl.Batch, index uint32, family uint8, m Means) {
	if m == ByAddress {
		b.Begin(unix.RTM_GETADDR, unix.NLM_F_DUMP)
		b.Raw(family, 0, 0, 0)
		appendIndex(b, index)
		b.End()
		return
	}
	b.Begin(unix.RTM_GETROUTE, unix.NLM_F_DUMP)
	b.Raw(family, 0, 0, 0, unix.RT_TABLE_LOCAL, unix.RTPROT_STATIC, 0, unix.RTN_LOCAL)
	b.Raw(0, 0, 0, 0)
	b.U32(unix.RTA_OIF, index)
	b.End()
}

// parse reads one message of a list. It is not ok for what is not the link's, not
// of this family, or not this package's business, and fails for what the kernel
// does not send.
func parse(m nl.Message, index uint32, family uint8) (a Address, ok bool, err error) {
	switch m.Type {
	case unix.RTM_NEWADDR:
		return parseAddress(m.Data, index, family)
	case unix.RTM_NEWROUTE:
		return parseRoute(m.Data, index, family)
	}
	return Address{}, false, nil
}

func parseAddress(p []byte, index uint32, family uint8) (a Address, ok bool, err error) {
	if len(p) < ifAddrMsgLen {
		return a, false, errMalformed
	}
	if p[0] != family || binary.NativeEndian.Uint32(p[4:]) != index {
		return a, false, nil
	}
	h, ok := parseHostAddress(p)
	if !ok {
		return a, false, errMalformed
	}
	a, ok = checked(Address{h.Prefix.Addr(), ByAddress}, family, p[1])
	return a, ok, nil
}

func parseRoute(p []byte, index uint32, family uint8) (a Address, ok bool, err error) {
	if len(p) < rtMsgLen {
		return a, false, errMalformed
	}
	if p[0] != family || p[4] != unix.RT_TABLE_LOCAL || p[5] != unix.RTPROT_STATIC || p[7] != unix.RTN_LOCAL {
		return a, false, nil
	}
	var dst netip.Addr
	var oif uint32
	for rest := p[rtMsgLen:]; len(rest) > 0; {
		var at nl.Attr
		if at, rest, ok = nl.Next(rest); !ok {
			return a, false, errMalformed
		}
		switch at.Type {
		case unix.RTA_DST:
			dst, ok = at.Addr()
		case unix.RTA_OIF:
			oif, ok = at.U32()
		}
		if !ok {
			return a, false, errMalformed
		}
	}
	if oif != index {
		return a, false, nil
	}
	a, ok = checked(Address{dst, ByRoute}, family, p[1])
	return a, ok, nil
}

// checked leaves out networks and what no virtual address can be.
func checked(a Address, family, bits uint8) (Address, bool) {
	ok := a.Addr.IsValid() && familyOf(a.Addr) == family && int(bits) == a.Addr.BitLen() && a.Validate() == nil
	return a, ok
}

// noFamily reports whether the kernel answered that it lacks the family.
func noFamily(errno syscall.Errno) bool {
	return errno == unix.EAFNOSUPPORT || errno == unix.EOPNOTSUPP
}
