package ipset

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/vipkit/vipkit/internal/nl"
)

const nested = 1 << 15 // NLA_F_NESTED

// maxKey is the length of a key's attributes: the line, two IPv6 networks, port
// and protocol.
const maxKey = 8 + 2*(4+4+16+8) + 8 + 8

// keyWriter lays a key's attributes out in place: many a message has over a
// thousand of them, and that takes half the time of appending each value.
type keyWriter struct {
	p [maxKey]byte
	n int
}

// head writes the header of an attribute with size bytes of value.
func (w *keyWriter) head(typ uint16, size int) {
	binary.NativeEndian.PutUint16(w.p[w.n:], uint16(4+size))
	binary.NativeEndian.PutUint16(w.p[w.n+2:], typ)
	w.n += 4
}

// word writes an attribute whose value is padded to a word.
func (w *keyWriter) word(typ uint16, size int, value [4]byte) {
	w.head(typ, size)
	*(*[4]byte)(w.p[w.n:]) = value
	w.n += 4
}

// ip writes an address, and the length of a network. A host goes without its
// length: hash:ip would take it for a range.
func (w *keyWriter) ip(ip, cidr uint16, n netip.Prefix) {
	a := n.Addr()
	if a.Is4() {
		w.head(ip|nested, 8)
		w.word(ipv4|netOrder, 4, a.As4())
	} else {
		w.head(ip|nested, 20)
		w.head(ipv6|netOrder, 16)
		*(*[16]byte)(w.p[w.n:]) = a.As16()
		w.n += 16
	}
	if bits := n.Bits(); bits != a.BitLen() {
		w.word(cidr, 1, [4]byte{byte(bits)})
	}
}

// appendEntry appends the entry of a change as one IPSET_ATTR_DATA. line is not
// zero within a bulk, and comes back if the entry fails.
func appendEntry(b *nl.Batch, c *Change, line uint32) {
	var w keyWriter
	e := &c.Entry
	data := b.Nest(attrData)
	if line != 0 {
		var v [4]byte
		binary.NativeEndian.PutUint32(v[:], line)
		w.word(attrLineno, 4, v)
	}
	if e.Net.IsValid() {
		w.ip(dataIP, dataCIDR, e.Net)
	}
	if e.Protocol != 0 || !e.Net.IsValid() {
		w.word(dataPort|netOrder, 2, [4]byte{byte(e.Port >> 8), byte(e.Port)})
	}
	if e.Protocol != 0 {
		w.word(dataProto, 1, [4]byte{byte(e.Protocol)})
	}
	if e.Net2.IsValid() {
		w.ip(dataIP2, dataCIDR2, e.Net2)
	}
	b.Raw(w.p[:w.n]...)
	if c.Op != DeleteEntry {
		appendExtensions(b, e)
		appendCounters(b, c)
	}
	b.EndNest(data)
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
