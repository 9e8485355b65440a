package iptables

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vipkit/vipkit"
)

// Normalize returns a rule as Save returns it, which is how iptables-save prints
// it: options in the tool's order and short form, protocols by name, addresses
// with their prefix length, marks in hexadecimal, defaults written out. What
// it does not know stays as it is, a rule that cannot be read does altogether.
// The family decides what REJECT answers by default.
func Normalize(f vipkit.Family, r Rule) Rule {
	s, err := parseSpec(r)
	if err != nil {
		return r
	}
	s.normalizeHead()
	for i := range s.matches {
		s.matches[i].normalizeMatch(f)
	}
	if s.jump == "-j" {
		s.target.normalizeTarget(f)
	}
	return s.rule()
}

// normalizeHead writes addresses and the protocol as the tool does and drops
// those that match everything.
func (s *spec) normalizeHead() {
	for _, i := range []int{source, destination} {
		c := &s.head[i]
		if !c.set {
			continue
		}
		if p, err := parsePrefix(c.value); err == nil {
			c.value = p.String()
			c.set = c.not || p.Bits() > 0
		}
	}
	p := &s.head[protocol]
	p.value = protocolName(p.value)
	if p.value == "all" {
		p.set = p.not
	}
}

// normalizeMatch writes the options of a match as the tool does.
func (e *extension) normalizeMatch(f vipkit.Family) {
	switch e.name {
	case "comment":
		for i := range e.options {
			for j, a := range e.options[i].args {
				e.options[i].args[j].quoted = !plain(a.text)
			}
		}
	case "mark", "connmark":
		e.rewrite("--mark", canonicalMark)
	case "conntrack":
		e.rewrite("--ctstate", inOrder("INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED", "SNAT", "DNAT"))
	case "state":
		e.rewrite("--state", inOrder("INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED"))
	case "addrtype":
		types := inOrder("UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST",
			"BLACKHOLE", "UNREACHABLE", "PROHIBIT", "THROW", "NAT", "XRESOLVE")
		e.rewrite("--src-type", types)
		e.rewrite("--dst-type", types)
		e.order("--src-type", "--dst-type", "--limit-iface-in", "--limit-iface-out")
	case "tcp", "udp", "sctp":
		e.rename("--source-port", "--sport")
		e.rename("--destination-port", "--dport")
		e.rewrite("--sport", portRange)
		e.rewrite("--dport", portRange)
		e.order("--sport", "--dport", "--tcp-flags", "--tcp-option", "--chunk-types")
	case "icmp":
		e.rewrite("--icmp-type", icmpNumber(map[string]string{"echo-reply": "0", "pong": "0", "echo-request": "8", "ping": "8"}))
	case "icmp6":
		e.rewrite("--icmpv6-type", icmpNumber(map[string]string{"echo-request": "128", "ping": "128", "echo-reply": "129", "pong": "129"}))
	}
}

// normalizeTarget writes the options of a target as the tool does.
func (e *extension) normalizeTarget(f vipkit.Family) {
	switch e.name {
	case "MARK":
		for i := range e.options {
			e.options[i].setXmark()
		}
	case "MASQUERADE":
		e.order("--to-ports", "--random", "--random-fully")
	case "REJECT":
		e.normalizeReject(f)
	}
}

// setXmark writes the five ways to set a mark as the one that the tool prints.
func (o *option) setXmark() {
	if o.not || len(o.args) != 1 {
		return
	}
	value, mask, err := parseMark(o.args[0].text)
	if err != nil {
		return
	}
	switch o.name {
	case "--set-xmark":
	case "--set-mark":
		mask |= value
	case "--or-mark":
		mask = value
	case "--and-mark":
		value, mask = 0, ^value
	case "--xor-mark":
		mask = 0
	default:
		return
	}
	o.name = "--set-xmark"
	o.args[0].text = fmt.Sprintf("0x%x/0x%x", value, mask)
}

// rejections are second names of what REJECT can answer, by family.
var rejections = map[vipkit.Family]map[string]string{
	vipkit.IPv4: {
		"net-unreach": "icmp-net-unreachable", "host-unreach": "icmp-host-unreachable",
		"proto-unreach": "icmp-proto-unreachable", "port-unreach": "icmp-port-unreachable",
		"net-prohib": "icmp-net-prohibited", "host-prohib": "icmp-host-prohibited",
		"tcp-rst": "tcp-reset", "admin-prohib": "icmp-admin-prohibited",
	},
	vipkit.IPv6: {
		"no-route": "icmp6-no-route", "adm-prohibited": "icmp6-adm-prohibited",
		"addr-unreach": "icmp6-addr-unreachable", "port-unreach": "icmp6-port-unreachable",
	},
}

func (e *extension) normalizeReject(f vipkit.Family) {
	if len(e.options) == 0 {
		e.options = []option{{name: "--reject-with", args: []word{{text: "port-unreach"}}}}
	}
	e.rewrite("--reject-with", func(s string) string { return cmp.Or(rejections[f][s], s) })
}

// rewrite applies f to the one argument of an option.
func (e *extension) rewrite(name string, f func(string) string) {
	for i, o := range e.options {
		if o.name == name && len(o.args) == 1 {
			e.options[i].args[0] = word{text: f(o.args[0].text)}
		}
	}
}

func (e *extension) rename(from, to string) {
	for i := range e.options {
		if e.options[i].name == from {
			e.options[i].name = to
		}
	}
}

// order sorts the options, unless there is one whose place is not known.
func (e *extension) order(names ...string) {
	for _, o := range e.options {
		if !slices.Contains(names, o.name) {
			return
		}
	}
	slices.SortStableFunc(e.options, func(a, b option) int {
		return slices.Index(names, a.name) - slices.Index(names, b.name)
	})
}

// canonicalMark writes a mark to compare with as the tool does.
func canonicalMark(s string) string {
	value, mask, err := parseMark(s)
	switch {
	case err != nil:
		return s
	case mask == 0xffffffff:
		return fmt.Sprintf("0x%x", value)
	}
	return fmt.Sprintf("0x%x/0x%x", value, mask)
}

// parseMark reads "VALUE[/MASK]", each in any base; the mask is all ones where
// none is given.
func parseMark(s string) (value, mask uint32, err error) {
	first, second, masked := strings.Cut(s, "/")
	v, err := strconv.ParseUint(first, 0, 32)
	if err != nil {
		return 0, 0, fmt.Errorf("mark %q", s)
	}
	m := uint64(0xffffffff)
	if masked {
		if m, err = strconv.ParseUint(second, 0, 32); err != nil {
			return 0, 0, fmt.Errorf("mask of mark %q", s)
		}
	}
	return uint32(v), uint32(m), nil
}

// inOrder returns a function that sorts a list with commas into an order, and
// leaves it alone if it has other words.
func inOrder(names ...string) func(string) string {
	return func(s string) string {
		list := strings.Split(strings.ToUpper(s), ",")
		for _, w := range list {
			if !slices.Contains(names, w) {
				return s
			}
		}
		slices.SortFunc(list, func(a, b string) int { return slices.Index(names, a) - slices.Index(names, b) })
		return strings.Join(slices.Compact(list), ",")
	}
}

// portRange writes a range of one port as that port.
func portRange(s string) string {
	if from, to, ok := strings.Cut(s, ":"); ok && from == to {
		return from
	}
	return s
}

func icmpNumber(names map[string]string) func(string) string {
	return func(s string) string { return cmp.Or(names[s], s) }
}
