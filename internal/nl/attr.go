package nl

import (
	"encoding/binary"
	"iter"
	"net/netip"
)

// Message is a reply: its type and flags, and what follows struct nlmsghdr.
// Data is valid until the iterator that yielded it goes on.
type Message struct {
	Type, Flags uint16
	Data        []byte
}

// Attr is one attribute of a reply. Its methods return the zero value for a
// value of the wrong length, never panic, and say so with ok.
type Attr struct {
	Type uint16 // without the nested and byte-order flags
	Data []byte
}

// Next takes the first attribute off b. It is not ok where b does not start with
// a whole one. Decoders that must not be fooled by what is cut short loop until
// nothing is left, and refuse what is not ok.
func Next(b []byte) (a Attr, rest []byte, ok bool) {
	if len(b) < attrLen {
		return Attr{}, nil, false
	}
	n := int(binary.NativeEndian.Uint16(b))
	if n < attrLen || n > len(b) {
		return Attr{}, nil, false
	}
	a = Attr{Type: binary.NativeEndian.Uint16(b[2:]) & typeMask, Data: b[attrLen:n]}
	return a, b[min(len(b), (n+3)&^3):], true
}

// Attrs yields the attributes in b. It stops where what is left is no
// attribute; [ValidAttrs] tells whether all of b was read.
func Attrs(b []byte) iter.Seq[Attr] {
	return func(yield func(Attr) bool) {
		for {
			a, rest, ok := Next(b)
			if !ok || !yield(a) {
				return
			}
			b = rest
		}
	}
}

// ValidAttrs reports whether b is a whole run of attributes.
func ValidAttrs(b []byte) bool {
	for len(b) > 0 {
		var ok bool
		if _, b, ok = Next(b); !ok {
			return false
		}
	}
	return true
}

// U8 returns the value of one byte.
func (a Attr) U8() (v uint8, ok bool) {
	if len(a.Data) != 1 {
		return 0, false
	}
	return a.Data[0], true
}

// U16 returns the value of two bytes in host order.
func (a Attr) U16() (v uint16, ok bool) {
	if len(a.Data) != 2 {
		return 0, false
	}
	return binary.NativeEndian.Uint16(a.Data), true
}

// Be16 returns the value of two bytes in network order.
func (a Attr) Be16() (v uint16, ok bool) {
	if len(a.Data) != 2 {
		return 0, false
	}
	return binary.BigEndian.Uint16(a.Data), true
}

// U32 returns the value of four bytes in host order.
func (a Attr) U32() (v uint32, ok bool) {
	if len(a.Data) != 4 {
		return 0, false
	}
	return binary.NativeEndian.Uint32(a.Data), true
}

// Be32 returns the value of four bytes in network order.
func (a Attr) Be32() (v uint32, ok bool) {
	if len(a.Data) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(a.Data), true
}

// U64 returns the value of eight bytes in host order.
func (a Attr) U64() (v uint64, ok bool) {
	if len(a.Data) != 8 {
		return 0, false
	}
	return binary.NativeEndian.Uint64(a.Data), true
}

// Be64 returns the value of eight bytes in network order.
func (a Attr) Be64() (v uint64, ok bool) {
	if len(a.Data) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(a.Data), true
}

// String returns the bytes up to the terminator, or all of them.
func (a Attr) String() string {
	for i, c := range a.Data {
		if c == 0 {
			return string(a.Data[:i])
		}
	}
	return string(a.Data)
}

// Addr returns an address of 4 or 16 bytes.
func (a Attr) Addr() (addr netip.Addr, ok bool) { return netip.AddrFromSlice(a.Data) }
