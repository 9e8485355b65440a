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
			s.Timeout = time.Duration(v) * time.Second
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

// decodeEntries yields the entries of one message.
func decodeEntries(s Set, adt []byte, yield func(Entry, error) bool) bool {
	if !nl.ValidAttrs(adt) {
		yield(Entry{}, errMalformed)
		return false
	}
	p, _ := s.Type.parts()
	for a := range nl.Attrs(adt) {
		if a.Type != attrData {
			continue
		}
		e, err := decodeEntry(s, p, a.Data)
		if !yield(e, err) || err != nil {
			return false
		}
	}
	return true
}

func decodeEntry(s Set, p parts, data []byte) (e Entry, err error) {
	if !nl.ValidAttrs(data) {
		return Entry{}, errMalformed
	}
	var ip, ip2 netip.Addr
	cidr, cidr2 := -1, -1
	expires := false
	for a := range nl.Attrs(data) {
		ok := true
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
		case dataProto:
			v, ok = a.U8()
			e.Protocol = vipkit.Protocol(v)
		case dataTimeout:
			expires = true
			ok = e.decodeTimeout(a)
		case dataComment, dataSkbmark, dataFlags:
			ok = e.decodeExtension(a)
		}
		if !ok {
			return Entry{}, errMalformed
		}
	}
	var ok1, ok2 bool
	e.Net, ok1 = network(ip, cidr, p.addr || p.net)
	e.Net2, ok2 = network(ip2, cidr2, p.addr2 || p.net2)
	if !ok1 || !ok2 || (p.addr || p.net) && vipkit.FamilyOf(ip) != s.Family {
		return Entry{}, errMalformed
	}
	if expires && e.Timeout == 0 {
		e.Timeout = Forever
	}
	return e, nil
}

func (e *Entry) decodeTimeout(a nl.Attr) bool {
	v, ok := a.Be32()
	e.Timeout = time.Duration(v) * time.Second
	return ok
}

func (e *Entry) decodeExtension(a nl.Attr) (ok bool) {
	switch a.Type {
	case dataComment:
		e.Comment, ok = a.String(), true
	case dataSkbmark:
		var v uint64
		v, ok = a.Be64()
		e.Mark, e.MarkMask = uint32(v>>32), uint32(v)
	case dataFlags:
		var v uint32
		v, ok = a.Be32()
		e.NoMatch = v&flagNoMatch != 0
	}
	return ok
}

// decodeIP reads the nested address.
func decodeIP(data []byte) (netip.Addr, bool) {
	for a := range nl.Attrs(data) {
		if a.Type == ipv4 && len(a.Data) == 4 || a.Type == ipv6 && len(a.Data) == 16 {
			return a.Addr()
		}
	}
	return netip.Addr{}, false
}

// network puts address and length together. Without a length it is a host.
func network(a netip.Addr, bits int, wanted bool) (netip.Prefix, bool) {
	if !wanted {
		return netip.Prefix{}, true
	}
	if !a.IsValid() {
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
