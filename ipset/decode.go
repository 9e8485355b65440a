package ipset

import (
	"encoding/binary"
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

// decodeEntries yields the entries of one message, each valid until yield returns,
// and reports whether yield wants more.
func decodeEntries(s *Set, adt []byte, yield func(*CountedEntry) bool) (more bool, err error) {
	p, _ := s.Type.parts()
	var e CountedEntry
	var shape stencil
	for len(adt) > 0 {
		a, rest, ok := nl.Next(adt)
		adt = rest
		if ok && a.Type != attrData {
			continue
		}
		if !ok {
			return false, errMalformed
		}
		if !shape.take(&e, a.Data) {
			if !e.decode(s, p, a.Data) {
				return false, errMalformed
			}
			shape.learn(s, a.Data)
		}
		if !yield(&e) {
			return false, nil
		}
	}
	return true, nil
}

// decode reads an entry of the set. It walks the attributes by itself, not with
// nl.Next: a set may have a million entries.
func (e *CountedEntry) decode(s *Set, p parts, data []byte) bool {
	*e = CountedEntry{}
	var ip, ip2 netip.Addr
	cidr, cidr2 := -1, -1
	var port, proto, expires bool // what was there
	for len(data) > 0 {
		if len(data) < 4 {
			return false
		}
		n := int(binary.NativeEndian.Uint16(data))
		if n < 4 || n > len(data) {
			return false
		}
		v, ok := data[4:n], false
		switch typ := binary.NativeEndian.Uint16(data[2:]) &^ (nested | netOrder); typ {
		case dataIP:
			ip, ok = decodeIP(v)
		case dataIP2:
			ip2, ok = decodeIP(v)
		case dataCIDR:
			if ok = len(v) == 1; ok {
				cidr = int(v[0])
			}
		case dataCIDR2:
			if ok = len(v) == 1; ok {
				cidr2 = int(v[0])
			}
		case dataPort:
			if ok = len(v) == 2; ok {
				e.Port, port = binary.BigEndian.Uint16(v), true
			}
		case dataProto:
			if ok = len(v) == 1; ok {
				e.Protocol, proto = vipkit.Protocol(v[0]), true
			}
		case dataTimeout:
			if ok = len(v) == 4; ok {
				e.Timeout, expires = lifetime(binary.BigEndian.Uint32(v)), true
			}
		default:
			ok = e.decodeExtension(nl.Attr{Type: typ, Data: v})
		}
		if !ok {
			return false
		}
		data = data[min((n+3)&^3, len(data)):]
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
func decodeIP(v []byte) (netip.Addr, bool) {
	if len(v) < 4 || int(binary.NativeEndian.Uint16(v)) != len(v) {
		return netip.Addr{}, false
	}
	typ := binary.NativeEndian.Uint16(v[2:]) &^ (nested | netOrder)
	switch {
	case typ == ipv4 && len(v) == 8:
		return netip.AddrFrom4([4]byte(v[4:])), true
	case typ == ipv6 && len(v) == 20:
		return netip.AddrFrom16([16]byte(v[4:])), true
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
