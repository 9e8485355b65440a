package ipset

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
)

const nested = 1 << 15 // NLA_F_NESTED

// layout is the attributes of a key, laid out for the sets of one type and family:
// a bulk has over a thousand keys, and to patch the values of the one before takes
// half the time of appending each.
type layout struct {
	p      [4 + 8 + 2*(4+4+16+8) + 8 + 8]byte // a whole IPSET_ATTR_DATA
	n      int
	family vipkit.Family
	// Where values are in p; zero: the type has none.
	line, addr, cidr, port, proto, addr2, cidr2 int
}

func (l *layout) init(t Type, f vipkit.Family) {
	p, _ := t.parts()
	*l = layout{n: 4, family: f}
	l.line = l.attr(attrLineno, 4)
	if p.addr || p.net {
		l.addr = l.ip(dataIP)
	}
	if p.net {
		l.cidr = l.attr(dataCIDR, 1)
	}
	if p.proto || p.port {
		l.port = l.attr(dataPort|netOrder, 2)
	}
	if p.proto {
		l.proto = l.attr(dataProto, 1)
	}
	if p.addr2 || p.net2 {
		l.addr2 = l.ip(dataIP2)
	}
	if p.net2 {
		l.cidr2 = l.attr(dataCIDR2, 1)
	}
	binary.NativeEndian.PutUint16(l.p[:], uint16(l.n))
	binary.NativeEndian.PutUint16(l.p[2:], attrData|nested)
}

// attr adds an attribute with size bytes of value and returns where that is.
func (l *layout) attr(typ uint16, size int) int {
	at := l.n + 4
	binary.NativeEndian.PutUint16(l.p[l.n:], uint16(4+size))
	binary.NativeEndian.PutUint16(l.p[l.n+2:], typ)
	l.n = at + (size+3)&^3
	return at
}

// ip adds an address, and returns where it is.
func (l *layout) ip(typ uint16) int {
	size, inner := 4, uint16(ipv4)
	if l.family == vipkit.IPv6 {
		size, inner = 16, ipv6
	}
	at := l.attr(typ|nested, 4+size)
	binary.NativeEndian.PutUint16(l.p[at:], uint16(4+size))
	binary.NativeEndian.PutUint16(l.p[at+2:], inner|netOrder)
	return at + 4
}

// put puts in a key, and the line that comes back if the entry fails in a bulk. It
// reports whether the key is valid, as [EntryKey.Validate] has it.
func (l *layout) put(k *EntryKey, line uint32) bool {
	binary.NativeEndian.PutUint32(l.p[l.line:], line)
	if l.addr == 0 {
		if (k.Net != netip.Prefix{}) {
			return false
		}
	} else if !l.putNet(l.addr, l.cidr, &k.Net) {
		return false
	}
	if l.addr2 == 0 {
		if (k.Net2 != netip.Prefix{}) {
			return false
		}
	} else if !l.putNet(l.addr2, l.cidr2, &k.Net2) {
		return false
	}
	if l.port != 0 {
		binary.BigEndian.PutUint16(l.p[l.port:], k.Port)
	} else if k.Port != 0 {
		return false
	}
	if l.proto == 0 {
		return k.Protocol == 0
	}
	l.p[l.proto] = byte(k.Protocol)
	return k.Protocol.Valid()
}

// putNet puts in an address, and a network's length where the type has one. It
// reports whether they are valid.
func (l *layout) putNet(addr, cidr int, n *netip.Prefix) bool {
	a, bits := n.Addr(), n.Bits()
	if bits <= 0 {
		return false
	}
	full := 32
	var zero, masked bool
	if l.family == vipkit.IPv4 {
		if !a.Is4() {
			return false
		}
		v := a.As4()
		*(*[4]byte)(l.p[addr:]) = v
		u := binary.BigEndian.Uint32(v[:])
		zero, masked = u == 0, u<<bits == 0
	} else {
		if !a.Is6() || a.Is4In6() {
			return false
		}
		full = 128
		v := a.As16()
		*(*[16]byte)(l.p[addr:]) = v
		high, low := binary.BigEndian.Uint64(v[:]), binary.BigEndian.Uint64(v[8:])
		zero, masked = high|low == 0, bits >= 64 && low<<(bits-64) == 0 || bits < 64 && high<<bits|low == 0
	}
	if cidr == 0 {
		return bits == full && !zero
	}
	l.p[cidr] = byte(bits)
	return masked && (bits != full || !zero)
}

// append appends the entry of a change as one IPSET_ATTR_DATA, and reports whether
// it is valid; if not, it appends nothing.
func (l *layout) append(b *nl.Batch, c *Change, line uint32) bool {
	if !l.put(&c.Entry.EntryKey, line) {
		return false
	}
	if c.Op == DeleteEntry || c.plain() {
		b.Raw(l.p[:l.n]...)
		return true
	}
	if !c.Entry.validExtensions(l.cidr|l.cidr2 != 0) || !c.Counters.valid() {
		return false
	}
	data := b.Nest(attrData)
	b.Raw(l.p[4:l.n]...)
	appendExtensions(b, &c.Entry)
	appendCounters(b, c)
	b.EndNest(data)
	return true
}

// plain reports whether the entry is nothing but its key.
func (c *Change) plain() bool {
	e := &c.Entry
	return e.Comment == "" && e.Timeout == 0 && !e.NoMatch && e.Mark|e.MarkMask|e.Priority|uint32(e.Queue) == 0 &&
		c.Counters == Counters{} && !c.Set.Counters
}

// appendTimeout appends what there is of a set or an entry.
func appendTimeout(b *nl.Batch, d time.Duration) {
	switch d {
	case 0:
	case Forever:
		b.Be32(dataTimeout|netOrder, 0)
	default:
		b.Be32(dataTimeout|netOrder, uint32(d/time.Second))
	}
}

func appendExtensions(b *nl.Batch, e *Entry) {
	appendTimeout(b, e.Timeout)
	if e.NoMatch {
		b.Be32(dataFlags|netOrder, flagNoMatch)
	}
	if e.Comment != "" {
		b.String(dataComment, e.Comment)
	}
	if e.Mark != 0 || e.MarkMask != 0 {
		b.Be64(dataSkbmark|netOrder, uint64(e.Mark)<<32|uint64(e.MarkMask))
	}
	if e.Priority != 0 {
		b.Be32(dataSkbprio|netOrder, e.Priority)
	}
	if e.Queue != 0 {
		b.Be16(dataSkbqueue|netOrder, e.Queue)
	}
}

// appendCounters appends those that are not zero, and zeros too where an entry
// must not go on from what an earlier one counted (bitmap_port_add keeps it).
func appendCounters(b *nl.Batch, c *Change) {
	fresh := c.Op == AddEntry && c.Set.Counters
	if fresh || c.Counters.Packets != 0 {
		b.Be64(dataPackets|netOrder, c.Counters.Packets)
	}
	if fresh || c.Counters.Bytes != 0 {
		b.Be64(dataBytes|netOrder, c.Counters.Bytes)
	}
}
