package ipvs

import (
	"encoding/binary"
	"net/netip"
)

// Layout of the structures that the older interface, getsockopt, fills
// (include/uapi/linux/ip_vs.h), on machines of 64 bits. It knows IPv4 only, no
// persistence engines, no tunnel settings, no destinations of the other family,
// and is an order of magnitude faster than a netlink dump for each virtual server:
// docs/decisions/006-reading-ipvs.md.
const (
	soGetServices = 1154 // IP_VS_SO_GET_SERVICES
	soGetDests    = 1156 // IP_VS_SO_GET_DESTS

	servicesHead  = 8   // struct ip_vs_get_services: their number, padding
	serviceSize   = 104 // struct ip_vs_service_entry
	serviceAddr   = 4   // network order, as all addresses and ports
	servicePort   = 8
	serviceMark   = 12
	serviceCount  = 44 // num_dests, behind scheduler, flags, timeout, netmask
	destsHead     = 24 // struct ip_vs_get_dests: protocol, address, port, mark, their number, padding
	destsCount    = 16
	destSize      = 96 // struct ip_vs_dest_entry
	destEntryPort = 4
	destEntryFlag = 8
	destEntryWght = 12
	destEntryUppr = 16
	destEntryLowr = 20
)

// counter looks up how many destinations virtual servers have in a table that
// soGetServices filled, in the order in which the kernel lists them, which is the
// same for netlink. Entries that the kernel did not fill are zero. A nil table has
// no answers.
type counter struct {
	table []byte // from the entry after the last one found on
}

// lookAhead is how many that came in between are stepped over.
const lookAhead = 16

// of returns the number of destinations of an IPv4 key; it is not ok where that is
// unknown.
func (c *counter) of(k *Key) (count int, ok bool) {
	for i := range min(lookAhead, len(c.table)/serviceSize) {
		e := c.table[i*serviceSize:][:serviceSize]
		if isEntry(e, k) {
			c.table = c.table[(i+1)*serviceSize:]
			return int(binary.NativeEndian.Uint32(e[serviceCount:])), true
		}
	}
	return 0, false
}

// isEntry reports whether a struct ip_vs_service_entry is of k.
func isEntry(e []byte, k *Key) bool {
	if mark := binary.NativeEndian.Uint32(e[serviceMark:]); k.Mark != 0 || mark != 0 {
		return k.Mark == mark
	}
	return binary.NativeEndian.Uint16(e) == uint16(k.Protocol) && [4]byte(e[serviceAddr:]) == k.Addr.As4() &&
		binary.BigEndian.Uint16(e[servicePort:]) == k.Port
}

// putDestsHead writes the request for room destinations of an IPv4 key.
func putDestsHead(p []byte, k *Key, room int) {
	clear(p[:destsHead])
	if k.Mark != 0 {
		binary.NativeEndian.PutUint32(p[serviceMark:], k.Mark)
	} else {
		binary.NativeEndian.PutUint16(p, uint16(k.Protocol))
		a := k.Addr.As4()
		copy(p[serviceAddr:], a[:])
		binary.BigEndian.PutUint16(p[servicePort:], k.Port)
	}
	binary.NativeEndian.PutUint32(p[destsCount:], uint32(room))
}

// unfilled is what the flags of an entry are before the kernel fills it: more bits
// than it has.
const unfilled = ^uint32(0)

// markUnfilled prepares a table for the kernel to fill.
func markUnfilled(table []byte) {
	for ; len(table) >= destSize; table = table[destSize:] {
		binary.NativeEndian.PutUint32(table[destEntryFlag:], unfilled)
	}
}

// appendDests appends the count destinations in a table. It is not ok where there
// are more or fewer, or where one is not wholly told here.
func appendDests(all []Destination, table []byte, count int) (_ []Destination, ok bool) {
	for i := 0; len(table) >= destSize; i++ {
		e := table[:destSize]
		table = table[destSize:]
		flags := binary.NativeEndian.Uint32(e[destEntryFlag:])
		if flags == unfilled {
			return all, i == count
		}
		forward := Forward(flags & forwardMask)
		if i == count || forward == Tunnel {
			break
		}
		all = append(all, Destination{
			DestKey: DestKey{Addr: netip.AddrFrom4([4]byte(e)), Port: binary.BigEndian.Uint16(e[destEntryPort:])},
			Weight:  binary.NativeEndian.Uint32(e[destEntryWght:]),
			Forward: forward,
			Upper:   binary.NativeEndian.Uint32(e[destEntryUppr:]),
			Lower:   binary.NativeEndian.Uint32(e[destEntryLowr:]),
		})
	}
	return all, false
}
