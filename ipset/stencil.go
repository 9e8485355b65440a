package ipset

import (
	"encoding/binary"
	"net/netip"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
)

// stencil is the shape of an entry that is nothing but its key: its attributes'
// headers, and where their values are. The entries of a set mostly have one shape,
// and a set may have a million: to compare the headers and take the values costs
// half of what it costs to read attribute by attribute. Its zero value fits nothing.
type stencil struct {
	n     int // length of an entry, in bytes
	heads [8]head
	count int // of heads
	// Where values are; zero: the entry has none.
	addr, cidr, port, proto, addr2, cidr2 int
	family                                vipkit.Family
}

// head is the header of an attribute and where it is.
type head struct {
	at   int
	word uint32
}

// learn takes the shape of an entry of s that decode has read. Sets whose entries
// are more than keys have none.
func (c *stencil) learn(s *Set, data []byte) {
	c.n = 0
	if s.Counters || s.Comment || s.SkbInfo || s.Timeout != 0 {
		return
	}
	*c = stencil{family: s.Family}
	for at := 0; at < len(data); {
		a, rest, ok := nl.Next(data[at:])
		if !ok || !c.add(a.Type, at, data) {
			return
		}
		at = len(data) - len(rest)
	}
	c.n = len(data)
}

// add adds the attribute at an offset. It reports whether it is part of a key, and
// there once.
func (c *stencil) add(typ uint16, at int, data []byte) bool {
	value := at + 4
	var where *int
	switch typ {
	case dataIP:
		where = &c.addr
	case dataIP2:
		where = &c.addr2
	case dataCIDR:
		where = &c.cidr
	case dataCIDR2:
		where = &c.cidr2
	case dataPort:
		where = &c.port
	case dataProto:
		where = &c.proto
	}
	if where == nil || *where != 0 {
		return false
	}
	c.head(at, data)
	if typ == dataIP || typ == dataIP2 { // one more header, of the address
		c.head(value, data)
		value += 4
	}
	*where = value
	return true
}

// head adds the header at an offset.
func (c *stencil) head(at int, data []byte) {
	c.heads[c.count] = head{at, binary.NativeEndian.Uint32(data[at:])}
	c.count++
}

// take puts the values of an entry of this shape into e, which holds another one of
// it. It reports whether it did: if not, decode has to look.
func (c *stencil) take(e *CountedEntry, data []byte) bool {
	if len(data) != c.n || c.n == 0 {
		return false
	}
	for i := range c.count {
		if h := &c.heads[i]; binary.NativeEndian.Uint32(data[h.at:]) != h.word {
			return false
		}
	}
	if c.port != 0 {
		e.Port = binary.BigEndian.Uint16(data[c.port:])
	}
	if c.proto != 0 {
		e.Protocol = vipkit.Protocol(data[c.proto])
	}
	return (c.addr == 0 || c.net(&e.Net, data, c.addr, c.cidr)) && (c.addr2 == 0 || c.net(&e.Net2, data, c.addr2, c.cidr2))
}

// net puts address and length together, as network does.
func (c *stencil) net(n *netip.Prefix, data []byte, addr, cidr int) (ok bool) {
	bits := -1
	if cidr != 0 {
		bits = int(data[cidr])
	}
	if c.family == vipkit.IPv6 {
		*n, ok = network(netip.AddrFrom16([16]byte(data[addr:])), bits, true, vipkit.IPv6)
		return ok
	}
	if cidr == 0 {
		bits = 32
	}
	*n = netip.PrefixFrom(netip.AddrFrom4([4]byte(data[addr:])), bits)
	return n.IsValid()
}
