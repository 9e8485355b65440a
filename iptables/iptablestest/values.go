package iptablestest

import (
	"slices"
	"strconv"
	"strings"
)

// check tells whether the tool takes an argument, in the form in which
// iptables.Normalize writes it.
type check func(string) bool

func anything(string) bool { return true }

func oneOf(all ...string) check {
	return func(s string) bool { return slices.Contains(all, s) }
}

// words checks a list with commas.
func words(all ...string) check {
	return func(s string) bool {
		return !slices.ContainsFunc(strings.Split(s, ","), func(w string) bool { return !slices.Contains(all, w) })
	}
}

var (
	states       = words("INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED", "SNAT", "DNAT")
	addressTypes = words("UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST",
		"BLACKHOLE", "UNREACHABLE", "PROHIBIT", "THROW", "NAT", "XRESOLVE")
	flags     = words("FIN", "SYN", "RST", "PSH", "ACK", "URG", "NONE")
	rejection = oneOf("tcp-reset", "icmp-net-unreachable", "icmp-host-unreachable", "icmp-proto-unreachable", "icmp-port-unreachable",
		"icmp-net-prohibited", "icmp-host-prohibited", "icmp-admin-prohibited", "icmp6-no-route", "icmp6-adm-prohibited",
		"icmp6-addr-unreachable", "icmp6-port-unreachable", "icmp6-policy-fail", "icmp6-reject-route")
)

func number(s string) bool {
	_, err := strconv.ParseUint(s, 0, 64)
	return err == nil
}

func mark(s string) bool {
	value, mask, masked := strings.Cut(s, "/")
	_, err := strconv.ParseUint(value, 0, 32)
	if masked && err == nil {
		_, err = strconv.ParseUint(mask, 0, 32)
	}
	return err == nil
}

// port checks a port or a range. Names of services are refused: which there are
// is up to the host.
func port(s string) bool {
	from, to, isRange := strings.Cut(s, ":")
	a, err := strconv.ParseUint(from, 10, 16)
	b := a
	if isRange && err == nil {
		b, err = strconv.ParseUint(to, 10, 16)
	}
	return err == nil && a <= b
}

// ports checks a list of at most 15 ports, of which a range is two.
func ports(s string) bool {
	n := 0
	for p := range strings.SplitSeq(s, ",") {
		from, to, isRange := strings.Cut(p, ":")
		if !port(p) || isRange && from == to {
			return false
		}
		n++
		if isRange {
			n++
		}
	}
	return n <= 15
}

func probability(s string) bool {
	p, err := strconv.ParseFloat(s, 64)
	return err == nil && p >= 0 && p <= 1
}

func icmpType(s string) bool { return icmp6Type(s) || s == "any" }

// icmp6Type checks a type with or without a code.
func icmp6Type(s string) bool {
	typ, code, coded := strings.Cut(s, "/")
	_, err := strconv.ParseUint(typ, 10, 8)
	if coded && err == nil {
		_, err = strconv.ParseUint(code, 10, 8)
	}
	return err == nil
}

func comment(s string) bool { return len(s) <= 255 }

// dimensions checks what of a packet is looked up in a set.
func dimensions(s string) bool {
	return words("src", "dst")(s) && strings.Count(s, ",") < 6
}
