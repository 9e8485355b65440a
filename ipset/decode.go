package ipset

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
)

const nfgenLen = 4

var errMalformed = errors.New("malformed reply")

// header is what the first message about a set says.
type header struct {
	set    Set
	hasTyp bool   // the message has a type: it starts a set
	adt    []byte // the entries in this message
}

// decodeHeader reads a message of a dump. Later messages of the same set only
// have its name and entries.
func decodeHeader(data []byte) (h header, err error) {
	if len(data) < nfgenLen || !nl.ValidAttrs(data[nfgenLen:]) {
		return h, errMalformed
	}
	var create []byte
	ok := true
	for a := range nl.Attrs(data[nfgenLen:]) {
		switch a.Type {
		case attrSetname:
			h.set.Name = a.String()
		case attrTypename:
			h.set.Type, h.hasTyp = Type(a.String()), true
		case attrFamily:
			var f uint8
			f, ok = a.U8()
			switch f {
			case afInet:
				h.set.Family = vipkit.IPv4
			case afInet6:
				h.set.Family = vipkit.IPv6
			}
		case attrData:
			create = a.Data
		case attrADT:
			h.adt = a.Data
		}
		if !ok {
			return h, errMalformed
		}
	}
	if h.set.Name == "" {
		return h, errMalformed
	}
	if _, known := h.set.Type.parts(); known {
		err = decodeCreate(&h.set, create)
	}
	return h, err
}

func decodeCreate(s *Set, data []byte) error {
	if !nl.ValidAttrs(data) {
		return errMalformed
	}
	for a := range nl.Attrs(data) {
		ok := true
		var v uint32
		switch a.Type {
		case dataHashsize:
			s.HashSize, ok = a.Be32()
		case dataMaxelem:
			s.MaxElem, ok = a.Be32()
		case dataTimeout:
			v, ok = a.Be32()
			s.Timeout = lifetime(v)
		case dataPort:
			s.PortFrom, ok = a.Be16()
		case dataPortTo:
			s.PortTo, ok = a.Be16()
		case dataNetmask:
			var bits uint8
			bits, ok = a.U8()
			s.addExtra(fmt.Sprintf("netmask %d", bits))
		case dataFlags:
			v, ok = a.Be32()
			s.Counters, s.Comment, s.SkbInfo = v&flagCounters != 0, v&flagComment != 0, v&flagSkbinfo != 0
			if v&flagForceadd != 0 {
				s.addExtra("forceadd")
			}
		case bitmaskAttr:
			s.addExtra("bitmask " + bitmask(a))
		}
		if !ok {
			return errMalformed
		}
	}
	return nil
}

// bitmaskAttr is IPSET_ATTR_BITMASK (Linux 6.2), an address.
const bitmaskAttr = 12

func bitmask(a nl.Attr) string {
	addr, ok := decodeIP(a.Data)
	if !ok {
		return "?"
	}
	return addr.String()
}

func (s *Set) addExtra(words string) {
	if s.Extra != "" {
		s.Extra += " "
	}
	s.Extra += words
}

// decodeEntries yields the entries of one message. What it yields is valid until
// yield returns.
func decodeEntries(s *Set, adt []byte, yield func(*CountedEntry, error) bool) bool {
	p, _ := s.Type.parts()
	var e CountedEntry
	for len(adt) > 0 {
		a, rest, ok := nl.Next(adt)
		adt = rest
		if ok && a.Type != attrData {
			continue
		}
		if !ok || !e.decode(s, p, a.Data) {
			yield(nil, errMalformed)
			return false
		}
		if !yield(&e, nil) {
			return false
		}
	}
	return true
}

// decode reads an entry of the set.
func (e *CountedEntry) decode(s *Set, p parts, data []byte) bool {
	*e = CountedEntry{}
	var ip, ip2 netip.Addr
	cidr, cidr2 := -1, -1
	var port, proto, expires bool // what was there
	for len(data) > 0 {
		a, rest, ok := nl.Next(data)
		if !ok {
			return false
		}
		data = rest
		var v uint8
		switch a.Type {
		case dataIP:
			ip, ok = decodeIP(a.Data)
		case dataIP2:
			ip2, ok = decodeIP(a.Data)
		case dataCIDR:
			v, ok = a.U8()
			cidr = int(v)
		case dataCIDR2:
			v, ok = a.U8()
			cidr2 = int(v)
		case dataPort:
			e.Port, ok = a.Be16()
			port = true
		case dataProto:
			v, ok = a.U8()
			e.Protocol = vipkit.Protocol(v)
			proto = true
		case dataTimeout:
			var left uint32
			left, ok = a.Be32()
			e.Timeout = lifetime(left)
			expires = true
		default:
			ok = e.decodeExtension(a)
		}
		if !ok {
			return false
		}
	}
	var ok1, ok2 bool
	e.Net, ok1 = network(ip, cidr, p.addr || p.net, s.Family)
	e.Net2, ok2 = network(ip2, cidr2, p.addr2 || p.net2, s.Family)
	return ok1 && ok2 && port == (p.proto || p.port) && proto == p.proto && expires == (s.Timeout != 0)
}

// lifetime is the kernel's timeout, where zero stands for never.
func lifetime(seconds uint32) time.Duration {
	if seconds == 0 {
		return Forever
	}
	return time.Duration(seconds) * time.Second
}

func (e *CountedEntry) decodeExtension(a nl.Attr) bool {
	ok := true
	switch a.Type {
	case dataComment:
		e.Comment = a.String()
	case dataSkbmark:
		var v uint64
		v, ok = a.Be64()
		e.Mark, e.MarkMask = uint32(v>>32), uint32(v)
	case dataSkbprio:
		e.Priority, ok = a.Be32()
	case dataSkbqueue:
		e.Queue, ok = a.Be16()
	case dataPackets:
		e.Counters.Packets, ok = a.Be64()
	case dataBytes:
		e.Counters.Bytes, ok = a.Be64()
	case dataFlags:
		var v uint32
		v, ok = a.Be32()
		e.NoMatch = v&flagNoMatch != 0
	}
	return ok
}

// decodeIP reads the nested address.
func decodeIP(data []byte) (netip.Addr, bool) {
	a, rest, ok := nl.Next(data)
	if !ok || len(rest) != 0 {
		return netip.Addr{}, false
	}
	switch {
	case a.Type == ipv4 && len(a.Data) == 4:
		return netip.AddrFrom4([4]byte(a.Data)), true
	case a.Type == ipv6 && len(a.Data) == 16:
		return netip.AddrFrom16([16]byte(a.Data)), true
	}
	return netip.Addr{}, false
}

// network puts address and length together. Without a length it is a host.
func network(a netip.Addr, bits int, wanted bool, f vipkit.Family) (netip.Prefix, bool) {
	if !wanted {
		return netip.Prefix{}, true
	}
	if vipkit.FamilyOf(a) != f || a.Is4In6() {
		return netip.Prefix{}, false
	}
	if bits < 0 {
		bits = a.BitLen()
	}
	n := netip.PrefixFrom(a, bits)
	return n, n.IsValid()
}

// decodeRange reads the two bytes that bound a version.
func decodeRange(data []byte, highest, lowest uint16) (high, low uint8) {
	if len(data) < nfgenLen {
		return 0, 0
	}
	for a := range nl.Attrs(data[nfgenLen:]) {
		switch a.Type {
		case highest:
			high, _ = a.U8()
		case lowest:
			low, _ = a.U8()
		}
	}
	return high, low
}

// failedLine returns the LINENO that the kernel wrote into the echo of a bulk
// message; zero means that no single entry is to blame.
func failedLine(echo []byte) uint32 {
	const fixed = 16 + nfgenLen // struct nlmsghdr, struct nfgenmsg
	if len(echo) < fixed {
		return 0
	}
	for a := range nl.Attrs(echo[fixed:]) {
		if a.Type == attrLineno {
			line, _ := a.U32()
			return line
		}
	}
	return 0
}
