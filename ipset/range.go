package ipset

import (
	"fmt"
	"net/netip"
)

// maxRange is the most keys that Range returns. Kernels have limits of their own
// for ranges (16,384 or a million), and take a range that fails in parts.
const maxRange = 1 << 20

// Range returns the keys that together are the range from first to last, both
// included, in a set of type t: "10.0.0.1-10.0.0.9,tcp:80-89" in the tool's words.
// Each part has a range of its own. Where the set holds networks, the addresses
// are covered by as few as possible, and never by one of length 0; where it does
// not, a network stands for all its addresses. The kernel would take some of these
// ranges apart itself, but says nothing of where it stopped when it fails.
//
// It fails where a part of last is before that of first or of another family,
// where the protocols differ, and for more than 1,048,576 keys.
func Range(t Type, first, last EntryKey) ([]EntryKey, error) {
	p, ok := t.parts()
	if !ok {
		return nil, fmt.Errorf("type: unknown %q", string(t))
	}
	if first.Protocol != last.Protocol {
		return nil, fmt.Errorf("protocol: no range from %v to %v", first.Protocol, last.Protocol)
	}
	if last.Port < first.Port {
		return nil, fmt.Errorf("port: %d is above %d", first.Port, last.Port)
	}
	room := maxRange / (int(last.Port-first.Port) + 1)
	nets, err := spread(first.Net, last.Net, p.net, room)
	if err != nil {
		return nil, fmt.Errorf("net: %w", err)
	}
	nets2, err := spread(first.Net2, last.Net2, p.net2, room/len(nets))
	if err != nil {
		return nil, fmt.Errorf("net2: %w", err)
	}
	keys := make([]EntryKey, 0, len(nets)*len(nets2)*(int(last.Port-first.Port)+1))
	for _, n := range nets {
		for port := int(first.Port); port <= int(last.Port); port++ {
			for _, n2 := range nets2 {
				keys = append(keys, EntryKey{Net: n, Protocol: first.Protocol, Port: uint16(port), Net2: n2})
			}
		}
	}
	return keys, nil
}

// spread returns the networks or hosts from the first address of one network to
// the last of another, at most room. A part that a key has not is one zero value.
func spread(first, last netip.Prefix, networks bool, room int) ([]netip.Prefix, error) {
	none := netip.Prefix{}
	if first == none && last == none {
		return []netip.Prefix{none}, nil
	}
	if !first.IsValid() || !last.IsValid() {
		return nil, fmt.Errorf("one end of the range is missing or invalid")
	}
	from, to := first.Masked().Addr(), lastAddr(last)
	if from.BitLen() != to.BitLen() || to.Less(from) {
		return nil, fmt.Errorf("no range from %v to %v", from, to)
	}
	var all []netip.Prefix
	for {
		if len(all) == room {
			return nil, fmt.Errorf("%v to %v is more than %d keys", from, to, maxRange)
		}
		n := Host(from)
		for networks && n.Bits() > 1 {
			wider := netip.PrefixFrom(from, n.Bits()-1)
			if wider.Masked() != wider || to.Less(lastAddr(wider)) {
				break
			}
			n = wider
		}
		all = append(all, n)
		end := lastAddr(n)
		if end == to {
			return all, nil
		}
		from = end.Next()
	}
}

// lastAddr returns the last address in a network.
func lastAddr(n netip.Prefix) netip.Addr {
	b := n.Masked().Addr().AsSlice()
	for i := n.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// SplitDefault returns the two halves of a prefix of length 0, which the kernel
// refuses in hash:net and hash:ip,port,net, and any other prefix as it is.
func SplitDefault(n netip.Prefix) []netip.Prefix {
	if !n.IsValid() || n.Bits() != 0 {
		return []netip.Prefix{n}
	}
	low := netip.PrefixFrom(n.Addr(), 1).Masked()
	high := make([]byte, n.Addr().BitLen()/8)
	high[0] = 0x80
	a, _ := netip.AddrFromSlice(high)
	return []netip.Prefix{low, netip.PrefixFrom(a, 1)}
}
