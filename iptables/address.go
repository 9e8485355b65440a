package iptables

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// parsePrefix reads an address, alone, with a prefix length or with a mask.
func parsePrefix(s string) (netip.Prefix, error) {
	text, mask, _ := strings.Cut(s, "/")
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("address %q", s)
	}
	bits := a.BitLen()
	if mask != "" {
		n, err := strconv.Atoi(mask)
		if m, e := netip.ParseAddr(mask); e == nil && m.BitLen() == bits {
			if n, err = maskBits(m); err != nil {
				return netip.Prefix{}, err
			}
		}
		if err != nil || n < 0 || n > bits {
			return netip.Prefix{}, fmt.Errorf("prefix length of %q", s)
		}
		bits = n
	} else if strings.Contains(s, "/") {
		return netip.Prefix{}, fmt.Errorf("prefix length of %q", s)
	}
	return netip.PrefixFrom(a, bits).Masked(), nil
}

// maskBits returns the number of ones that a mask begins with.
func maskBits(m netip.Addr) (int, error) {
	n := 0
	for n < m.BitLen() && m.AsSlice()[n/8]&(0x80>>(n%8)) != 0 {
		n++
	}
	if p := netip.PrefixFrom(m, n); p.Masked().Addr() != m {
		return 0, fmt.Errorf("mask %s has gaps", m)
	}
	return n, nil
}

// protocols are the names that the tool has built in (xtables_chain_protos).
// All others come from /etc/protocols, which hosts need not have: they are
// written as numbers.
var protocols = map[string]int{
	"all": 0, "icmp": 1, "tcp": 6, "udp": 17, "esp": 50, "ah": 51,
	"ipv6-icmp": 58, "sctp": 132, "ipv6-mh": 135, "udplite": 136,
}

// otherProtocols are names that may be in /etc/protocols or are second names.
var otherProtocols = map[string]int{
	"icmpv6": 58, "mh": 135, "mobility-header": 135, "gre": 47, "ipip": 94,
	"ipencap": 4, "ipv6": 41, "igmp": 2, "ospf": 89, "pim": 103, "vrrp": 112, "l2tp": 115, "dccp": 33,
}

// protocolName returns a protocol as Normalize writes it: by its built-in name
// if it has one, by number otherwise.
func protocolName(s string) string {
	name := strings.ToLower(s)
	if _, ok := protocols[name]; ok {
		return name
	}
	n, ok := otherProtocols[name]
	if !ok {
		v, err := strconv.ParseUint(s, 0, 8)
		if err != nil {
			return s
		}
		n = int(v)
	}
	for name, number := range protocols {
		if number == n {
			return name
		}
	}
	return strconv.Itoa(n)
}
