package oracle

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipset"
)

// set is a set with its entries, to be asked about packets.
type set struct {
	ipset.Set
	unknown bool // of a type that cannot be read
	entries map[ipset.EntryKey]ipset.Entry
	// bits are the prefix lengths that entries have in the part that may be a
	// network.
	bits [129]bool
}

func newSet(of ipset.Set) *set {
	return &set{Set: of, entries: make(map[ipset.EntryKey]ipset.Entry)}
}

func (s *set) add(e ipset.Entry) {
	s.entries[e.EntryKey] = e
	switch s.Type {
	case ipset.HashNet:
		s.bits[e.Net.Bits()] = true
	case ipset.HashIPPortNet:
		s.bits[e.Net2.Bits()] = true
	case ipset.HashIP, ipset.HashIPPort, ipset.HashIPPortIP, ipset.BitmapPort:
	}
}

// dimensions are the parts of an entry, by type.
var dimensions = map[ipset.Type]int{
	ipset.HashIP: 1, ipset.HashNet: 1, ipset.BitmapPort: 1,
	ipset.HashIPPort: 2, ipset.HashIPPortIP: 3, ipset.HashIPPortNet: 3,
}

// find looks a packet up. The words of dims are "src" or "dst", one for each
// part of an entry. A set with more parts than words, or of the other family,
// finds nothing (net/netfilter/ipset/ip_set_core.c, ip_set_test).
func (s *set) find(dims string, p *packet) (ipset.Entry, bool, error) {
	parts, known := dimensions[s.Type]
	if s.unknown || !known || strings.Contains(s.Extra, "netmask") || strings.Contains(s.Extra, "bitmask") {
		return ipset.Entry{}, false, fmt.Errorf("set %s is of a type that the oracle does not know: %s %s", s.Name, s.Type, s.Extra)
	}
	words := strings.Split(dims, ",")
	if len(words) < parts || s.Family != 0 && s.Family != p.family {
		return ipset.Entry{}, false, nil
	}
	side := func(i int) netip.AddrPort {
		if words[i] == "src" {
			return p.src
		}
		return p.dst
	}
	if s.Type == ipset.BitmapPort {
		if p.protocol != vipkit.TCP && p.protocol != vipkit.UDP { // ip_set_getport.c, ip_set_get_ip_port
			return ipset.Entry{}, false, nil
		}
		e, ok := s.entries[ipset.EntryKey{Port: side(0).Port()}]
		return e, ok, nil
	}
	key := ipset.EntryKey{Net: ipset.Host(side(0).Addr())}
	if parts > 1 {
		if !p.protocol.Valid() {
			return ipset.Entry{}, false, nil // ICMP has types and no ports
		}
		key.Protocol, key.Port = p.protocol, side(1).Port()
	}
	switch s.Type {
	case ipset.HashNet:
		return s.widest(side(0).Addr(), func(n netip.Prefix) ipset.EntryKey { return ipset.EntryKey{Net: n} })
	case ipset.HashIPPortNet:
		return s.widest(side(2).Addr(), func(n netip.Prefix) ipset.EntryKey { key.Net2 = n; return key })
	case ipset.HashIPPortIP:
		key.Net2 = ipset.Host(side(2).Addr())
	case ipset.HashIP, ipset.HashIPPort, ipset.BitmapPort:
	}
	e, ok := s.entries[key]
	return e, ok, nil
}

// widest asks for networks from the most specific to the widest; the first
// found decides, also that there is no match.
func (s *set) widest(a netip.Addr, key func(netip.Prefix) ipset.EntryKey) (ipset.Entry, bool, error) {
	for bits := a.BitLen(); bits > 0; bits-- {
		if !s.bits[bits] {
			continue
		}
		n, err := a.Prefix(bits)
		if err != nil {
			return ipset.Entry{}, false, err
		}
		if e, ok := s.entries[key(n)]; ok {
			return e, !e.NoMatch, nil
		}
	}
	return ipset.Entry{}, false, nil
}
