package oracle

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/iptables"
)

// within reports whether an address is in "10.0.0.0/8", or is "10.0.0.1".
func within(text string, a netip.Addr) bool {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Contains(a)
	}
	b, err := netip.ParseAddr(text)
	return err == nil && a == b
}

// linkIs reports whether a link's name is the one in a rule, where "eth+" is
// every name that begins with eth.
func linkIs(text, name string) bool {
	if prefix, wild := strings.CutSuffix(text, "+"); wild {
		return strings.HasPrefix(name, prefix)
	}
	return text == name
}

// match reports whether all options of a match hold.
func (w *walk) match(m *iptables.Extension) (bool, error) {
	if m.Name == "comment" {
		return true, nil
	}
	for i := range m.Options {
		o := &m.Options[i]
		ok, err := w.option(m.Name, o)
		if err != nil {
			return false, err
		}
		if ok == o.Not {
			return false, nil
		}
	}
	return true, nil
}

// option reports whether an option of a match holds, its negation aside.
func (w *walk) option(match string, o *iptables.Option) (bool, error) {
	p := &w.p
	arg := ""
	if len(o.Args) > 0 {
		arg = o.Args[0]
	}
	switch match + " " + o.Name {
	case "set --match-set":
		if len(o.Args) == 2 {
			_, ok, err := w.find(arg, o.Args[1])
			return ok, err
		}
	case "mark --mark":
		value, mask, err := parseMark(arg)
		return p.mark&mask == value, err
	case "conntrack --ctstate", "state --state":
		return w.inState(arg)
	case "addrtype --src-type":
		return w.addrType(p.src.Addr(), arg)
	case "addrtype --dst-type":
		return w.addrType(p.dst.Addr(), arg)
	case "tcp --dport", "udp --dport", "sctp --dport":
		return p.protocol.String() == match && inPorts(arg, p.dst.Port()), nil
	case "tcp --sport", "udp --sport", "sctp --sport":
		return p.protocol.String() == match && inPorts(arg, p.src.Port()), nil
	case "multiport --dports":
		return p.protocol.Valid() && inPorts(arg, p.dst.Port()), nil
	case "multiport --sports":
		return p.protocol.Valid() && inPorts(arg, p.src.Port()), nil
	case "multiport --ports":
		return p.protocol.Valid() && (inPorts(arg, p.src.Port()) || inPorts(arg, p.dst.Port())), nil
	case "icmp --icmp-type":
		return p.protocol == Ping && p.family == vipkit.IPv4 && slices.Contains([]string{"8", "8/0", "any", "255", "echo-request"}, arg), nil
	case "icmp6 --icmpv6-type":
		return p.protocol == Ping && p.family == vipkit.IPv6 && slices.Contains([]string{"128", "128/0", "echo-request"}, arg), nil
	case "ipvs --ipvs":
		return p.byIPVS, nil
	}
	return false, fmt.Errorf("the oracle does not know -m %s %s", match, o.Name)
}

// inState reports whether the packet's connection is in one of the states.
func (w *walk) inState(states string) (bool, error) {
	for state := range strings.SplitSeq(states, ",") {
		switch state {
		case "NEW", "ESTABLISHED":
			if state == w.p.state && !w.p.untracked {
				return true, nil
			}
		case "UNTRACKED":
			if w.p.untracked {
				return true, nil
			}
		case "DNAT":
			if w.p.translated {
				return true, nil
			}
		case "SNAT":
			if w.p.masked {
				return true, nil
			}
		case "RELATED", "INVALID": // never a first packet, nor its answer
		default:
			return false, fmt.Errorf("the oracle does not know the state %s", state)
		}
	}
	return false, nil
}

// addrType reports whether an address is of one of the types.
func (w *walk) addrType(a netip.Addr, types string) (bool, error) {
	for t := range strings.SplitSeq(types, ",") {
		switch t {
		case "LOCAL":
			if w.s.local(a) {
				return true, nil
			}
		case "UNICAST":
			if !w.s.local(a) && !a.IsMulticast() {
				return true, nil
			}
		case "MULTICAST":
			if a.IsMulticast() {
				return true, nil
			}
		default:
			return false, fmt.Errorf("the oracle does not know the address type %s", t)
		}
	}
	return false, nil
}

// inPorts reports whether a port is in "80", "1000:2000" or "80,443,1000:2000".
func inPorts(list string, port uint16) bool {
	for item := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(item, ":")
		if !isRange {
			to = from
		}
		first, err1 := strconv.ParseUint(from, 10, 16)
		last, err2 := strconv.ParseUint(to, 10, 16)
		if from == "" {
			first, err1 = 0, nil
		}
		if to == "" {
			last, err2 = 65535, nil
		}
		if err1 == nil && err2 == nil && first <= uint64(port) && uint64(port) <= last {
			return true
		}
	}
	return false
}

// parseMark reads "0x4000/0x4000" or "0x1".
func parseMark(text string) (value, mask uint32, err error) {
	v, m, masked := strings.Cut(text, "/")
	n, err := strconv.ParseUint(v, 0, 32)
	if err != nil {
		return 0, 0, fmt.Errorf("mark %q: %w", text, err)
	}
	if !masked {
		return uint32(n), ^uint32(0), nil
	}
	k, err := strconv.ParseUint(m, 0, 32)
	if err != nil {
		return 0, 0, fmt.Errorf("mark %q: %w", text, err)
	}
	return uint32(n), uint32(k), nil
}
