package nl

import (
	"encoding/binary"
	"net/netip"
)

const (
	headerLen = 16 // struct nlmsghdr
	attrLen   = 4  // struct nlattr
	nested    = 1 << 15
	netOrder  = 1 << 14
	typeMask  = ^uint16(nested | netOrder)
)

// Batch is a run of netlink requests in one buffer. Its zero value is empty
// and ready. Appending allocates only when the buffer must grow; Reset keeps
// the buffer. It is not safe for concurrent use.
type Batch struct {
	buf    []byte
	starts []int // offset of each message
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() { b.buf, b.starts = b.buf[:0], b.starts[:0] }

// Len returns the number of messages.
func (b *Batch) Len() int { return len(b.starts) }

// Begin starts a message. NLM_F_REQUEST is added, and by the sender NLM_F_ACK
// where it is needed. Every Begin wants an End.
func (b *Batch) Begin(typ, flags uint16) {
	b.starts = append(b.starts, len(b.buf))
	b.buf = append(b.buf, 0, 0, 0, 0)
	b.buf = binary.NativeEndian.AppendUint16(b.buf, typ)
	b.buf = binary.NativeEndian.AppendUint16(b.buf, flags&^flagAck|flagRequest)
	b.buf = append(b.buf, 0, 0, 0, 0, 0, 0, 0, 0)
}

// End ends the message that Begin started.
func (b *Batch) End() {
	start := b.starts[len(b.starts)-1]
	binary.NativeEndian.PutUint32(b.buf[start:], uint32(len(b.buf)-start))
	b.pad()
}

// Size returns the length of all messages, in bytes.
func (b *Batch) Size() int { return len(b.buf) }

// Append appends a copy of a whole message, as Last returned it, and returns the
// copy to be changed in place.
func (b *Batch) Append(message []byte) []byte {
	start := len(b.buf)
	b.starts = append(b.starts, start)
	b.buf = append(b.buf, message...)
	return b.buf[start:]
}

// Last returns the last message with its header, until the batch is changed.
func (b *Batch) Last() []byte { return b.buf[b.starts[len(b.starts)-1]:] }

// MessageLen returns the length so far of the message under construction, in
// bytes.
func (b *Batch) MessageLen() int { return len(b.buf) - b.starts[len(b.starts)-1] }

// end returns the offset behind message i, its padding included.
func (b *Batch) end(i int) int {
	if i+1 < len(b.starts) {
		return b.starts[i+1]
	}
	return len(b.buf)
}

// flags returns the header flags of message i.
func (b *Batch) flags(i int) uint16 { return binary.NativeEndian.Uint16(b.buf[b.starts[i]+6:]) }

// stamp writes what the sender decides into the header of message i.
func (b *Batch) stamp(i int, seq uint32, ack bool) {
	h := b.buf[b.starts[i]:][:headerLen]
	binary.NativeEndian.PutUint32(h[8:], seq)
	if has := b.flags(i)&flagAck != 0; has != ack {
		binary.NativeEndian.PutUint16(h[6:], b.flags(i)^flagAck)
	}
}

// Genl appends a struct genlmsghdr.
func (b *Batch) Genl(cmd, version uint8) { b.buf = append(b.buf, cmd, version, 0, 0) }

// Nfgen appends a struct nfgenmsg of version 0 and resource 0. The family is
// AF_INET, AF_INET6 or AF_UNSPEC.
func (b *Batch) Nfgen(family uint8) { b.buf = append(b.buf, family, 0, 0, 0) }

// Raw appends bytes as they are: a protocol's fixed header. The length must be
// a multiple of 4.
func (b *Batch) Raw(p ...byte) { b.buf = append(b.buf, p...) }

// Nest starts a nested attribute and returns what EndNest wants.
func (b *Batch) Nest(t uint16) int {
	at := len(b.buf)
	b.attr(t|nested, 0)
	return at
}

// EndNest ends the nested attribute that Nest started.
func (b *Batch) EndNest(at int) {
	binary.NativeEndian.PutUint16(b.buf[at:], uint16(len(b.buf)-at))
}

// Flag appends an attribute without a value.
func (b *Batch) Flag(t uint16) { b.attr(t, 0) }

// U8 appends an attribute of one byte.
func (b *Batch) U8(t uint16, v uint8) {
	b.attr(t, 1)
	b.buf = append(b.buf, v, 0, 0, 0)
}

// U16 appends an attribute of two bytes in host order.
func (b *Batch) U16(t uint16, v uint16) {
	b.attr(t, 2)
	b.buf = append(binary.NativeEndian.AppendUint16(b.buf, v), 0, 0)
}

// Be16 appends an attribute of two bytes in network order. The kernel's
// netfilter code wants flag NLA_F_NET_BYTEORDER on some: pass it in t.
func (b *Batch) Be16(t uint16, v uint16) {
	b.attr(t, 2)
	b.buf = append(binary.BigEndian.AppendUint16(b.buf, v), 0, 0)
}

// U32 appends an attribute of four bytes in host order.
func (b *Batch) U32(t uint16, v uint32) {
	b.attr(t, 4)
	b.buf = binary.NativeEndian.AppendUint32(b.buf, v)
}

// Be32 appends an attribute of four bytes in network order.
func (b *Batch) Be32(t uint16, v uint32) {
	b.attr(t, 4)
	b.buf = binary.BigEndian.AppendUint32(b.buf, v)
}

// Be64 appends an attribute of eight bytes in network order.
func (b *Batch) Be64(t uint16, v uint64) {
	b.attr(t, 8)
	b.buf = binary.BigEndian.AppendUint64(b.buf, v)
}

// Bytes appends an attribute of bytes as they are.
func (b *Batch) Bytes(t uint16, v []byte) {
	b.attr(t, len(v))
	b.buf = append(b.buf, v...)
	b.pad()
}

// String appends a string with its terminator.
func (b *Batch) String(t uint16, v string) {
	b.attr(t, len(v)+1)
	b.buf = append(append(b.buf, v...), 0)
	b.pad()
}

// Addr appends an address of 4 or 16 bytes.
func (b *Batch) Addr(t uint16, a netip.Addr) {
	if a.Is4() {
		v := a.As4()
		b.attr(t, len(v))
		b.buf = append(b.buf, v[:]...)
		return
	}
	v := a.As16()
	b.attr(t, len(v))
	b.buf = append(b.buf, v[:]...)
}

// attr appends the header of an attribute with n bytes of value.
func (b *Batch) attr(t uint16, n int) {
	b.buf = binary.NativeEndian.AppendUint16(b.buf, uint16(attrLen+n))
	b.buf = binary.NativeEndian.AppendUint16(b.buf, t)
}

func (b *Batch) pad() {
	for len(b.buf)%4 != 0 {
		b.buf = append(b.buf, 0)
	}
}

// Message returns what follows the header of message i, for tests of codecs.
func (b *Batch) Message(i int) []byte { return b.buf[b.starts[i]+headerLen : b.end(i)] }
