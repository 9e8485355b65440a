package iptablestest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/iptables"
)

// grammar is what the tool takes behind an extension.
type grammar struct {
	// options have a check for each of their arguments. Nil: any option at all.
	options map[string][]check
	// required is a list of options of which there must be one.
	required []string
	// special returns what else is wrong with the extension in a rule, or "".
	special func(iptables.Extension, iptables.Spec) string
}

// matches are the extensions that the Fake knows, with the options of those that
// service proxies use.
var matches = map[string]grammar{
	"tcp":   {options: map[string][]check{"--sport": {port}, "--dport": {port}, "--tcp-flags": {flags, flags}, "--tcp-option": {number}}},
	"udp":   {options: map[string][]check{"--sport": {port}, "--dport": {port}}},
	"sctp":  {options: map[string][]check{"--sport": {port}, "--dport": {port}, "--chunk-types": {anything, anything}}},
	"icmp":  {options: map[string][]check{"--icmp-type": {icmpType}}, required: []string{"--icmp-type"}},
	"icmp6": {options: map[string][]check{"--icmpv6-type": {icmp6Type}}, required: []string{"--icmpv6-type"}},
	"mark":  {options: map[string][]check{"--mark": {mark}}, required: []string{"--mark"}},
	"connmark": {
		options: map[string][]check{"--mark": {mark}}, required: []string{"--mark"},
	},
	"comment": {options: map[string][]check{"--comment": {comment}}, required: []string{"--comment"}},
	"addrtype": {
		options: map[string][]check{
			"--src-type": {addressTypes}, "--dst-type": {addressTypes}, "--limit-iface-in": {}, "--limit-iface-out": {},
		},
		required: []string{"--src-type", "--dst-type"},
		special: func(e iptables.Extension, _ iptables.Spec) string {
			if has(e, "--limit-iface-in") && has(e, "--limit-iface-out") {
				return "--limit-iface-in cannot be used together with --limit-iface-out"
			}
			return ""
		},
	},
	"state": {options: map[string][]check{"--state": {states}}, required: []string{"--state"}},
	"conntrack": {
		options: map[string][]check{
			"--ctstate": {states}, "--ctproto": {anything}, "--ctdir": {oneOf("ORIGINAL", "REPLY")}, "--ctexpire": {anything},
			"--ctstatus":  {words("NONE", "EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED")},
			"--ctorigsrc": {anything}, "--ctorigdst": {anything}, "--ctreplsrc": {anything}, "--ctrepldst": {anything},
			"--ctorigsrcport": {port}, "--ctorigdstport": {port}, "--ctreplsrcport": {port}, "--ctrepldstport": {port},
		},
		special: atLeastOne,
	},
	"set": {
		options: map[string][]check{
			"--match-set": {anything, dimensions}, "--return-nomatch": {}, "--update-counters": {}, "--update-subcounters": {},
			"--packets-eq": {number}, "--packets-lt": {number}, "--packets-gt": {number},
			"--bytes-eq": {number}, "--bytes-lt": {number}, "--bytes-gt": {number},
		},
		required: []string{"--match-set"},
	},
	"physdev": {
		options: map[string][]check{
			"--physdev-in": {anything}, "--physdev-out": {anything}, "--physdev-is-in": {}, "--physdev-is-out": {}, "--physdev-is-bridged": {},
		},
		special: atLeastOne,
	},
	"multiport": {
		options:  map[string][]check{"--sports": {ports}, "--dports": {ports}, "--ports": {ports}},
		required: []string{"--sports", "--dports", "--ports"},
		special: func(_ iptables.Extension, s iptables.Spec) string {
			return needProtocol(s, "multiport", "tcp", "udp", "udplite", "sctp", "33")
		},
	},
	"statistic": {
		options: map[string][]check{
			"--mode": {oneOf("random", "nth")}, "--probability": {probability}, "--every": {number}, "--packet": {number},
		},
		required: []string{"--mode"},
		special:  statisticFault,
	},
	"ipvs": {
		options: map[string][]check{
			"--ipvs": {}, "--vproto": {number}, "--vaddr": {anything}, "--vport": {port}, "--vportctl": {port},
			"--vdir": {oneOf("ORIGINAL", "REPLY")}, "--vmethod": {oneOf("GATE", "IPIP", "MASQ")},
		},
		special: atLeastOne,
	},
	"limit": {}, "hashlimit": {}, "owner": {}, "recent": {}, "pkttype": {}, "mac": {}, "iprange": {}, "tcpmss": {}, "dscp": {},
	"length": {}, "socket": {}, "rpfilter": {}, "helper": {}, "devgroup": {}, "connlimit": {}, "connbytes": {}, "time": {},
	"ttl": {}, "hl": {}, "frag": {}, "eui64": {}, "rt": {}, "ipv6header": {}, "bpf": {}, "u32": {}, "string": {}, "cgroup": {},
}

// targetGrammars are those of the targets of which the Fake knows the options.
var targetGrammars = map[string]grammar{
	"MARK": {options: map[string][]check{"--set-xmark": {mark}}, required: []string{"--set-xmark"}},
	"CONNMARK": {
		options: map[string][]check{
			"--set-xmark": {mark}, "--save-mark": {}, "--restore-mark": {}, "--nfmask": {number}, "--ctmask": {number},
		},
		required: []string{"--set-xmark", "--save-mark", "--restore-mark"},
	},
	"MASQUERADE": {
		options: map[string][]check{"--to-ports": {anything}, "--random": {}, "--random-fully": {}}, special: portsNeedProtocol,
	},
	"REDIRECT": {options: map[string][]check{"--to-ports": {anything}, "--random": {}}, special: portsNeedProtocol},
	"DNAT": {
		options:  map[string][]check{"--to-destination": {anything}, "--random": {}, "--persistent": {}},
		required: []string{"--to-destination"},
	},
	"SNAT": {
		options:  map[string][]check{"--to-source": {anything}, "--random": {}, "--random-fully": {}, "--persistent": {}},
		required: []string{"--to-source"},
	},
	"REJECT":  {options: map[string][]check{"--reject-with": {rejection}}},
	"NOTRACK": {options: map[string][]check{}},
	"TCPMSS": {
		options:  map[string][]check{"--set-mss": {number}, "--clamp-mss-to-pmtu": {}},
		required: []string{"--set-mss", "--clamp-mss-to-pmtu"},
	},
	"SET": {
		options: map[string][]check{
			"--map-set": {anything, dimensions}, "--add-set": {anything, dimensions}, "--del-set": {anything, dimensions}, "--exist": {}, "--timeout": {number},
			"--map-mark": {}, "--map-prio": {}, "--map-queue": {},
		},
		required: []string{"--map-set", "--add-set", "--del-set"},
		special: func(e iptables.Extension, _ iptables.Spec) string {
			if has(e, "--map-set") && !has(e, "--map-mark") && !has(e, "--map-prio") && !has(e, "--map-queue") {
				return "--map-set without --map-mark, --map-prio or --map-queue"
			}
			return ""
		},
	},
}

// foreign are the matches that are not for a family.
var foreign = map[vipkit.Family][]string{
	vipkit.IPv4: {"icmp6", "hl", "frag", "eui64", "rt", "ipv6header"}, vipkit.IPv6: {"icmp", "ttl"},
}

// matchFault returns what the tool finds wrong with a match, or "".
func matchFault(f vipkit.Family, m iptables.Extension, s iptables.Spec) string {
	known, ok := matches[m.Name]
	if !ok || slices.Contains(foreign[f], m.Name) {
		return "couldn't load match " + m.Name
	}
	return known.fault(m, s)
}

// fault holds an extension of a rule against what the tool takes.
func (g grammar) fault(e iptables.Extension, s iptables.Spec) string {
	if g.options == nil {
		return ""
	}
	found := len(g.required) == 0
	for i, o := range e.Options {
		found = found || slices.Contains(g.required, o.Name)
		checks, ok := g.options[o.Name]
		switch {
		case !ok:
			return fmt.Sprintf("unknown option %q", o.Name)
		case len(o.Args) != len(checks):
			return fmt.Sprintf("option %s takes %d arguments", o.Name, len(checks))
		case slices.ContainsFunc(e.Options[:i], func(p iptables.Option) bool { return p.Name == o.Name }):
			return fmt.Sprintf("option %s comes twice", o.Name)
		}
		for j, ok := range checks {
			if !ok(o.Args[j]) {
				return fmt.Sprintf("bad value %q of option %s", o.Args[j], o.Name)
			}
		}
	}
	if !found {
		return fmt.Sprintf("%s needs %s", e.Name, strings.Join(g.required, " or "))
	}
	if g.special != nil {
		return g.special(e, s)
	}
	return ""
}

func has(e iptables.Extension, name string) bool {
	return slices.ContainsFunc(e.Options, func(o iptables.Option) bool { return o.Name == name })
}

func atLeastOne(e iptables.Extension, _ iptables.Spec) string {
	if len(e.Options) == 0 {
		return e.Name + ": at least one option is required"
	}
	return ""
}

func statisticFault(e iptables.Extension, _ iptables.Spec) string {
	switch {
	case has(e, "--every") != has(e, "--packet"):
		return "--every and --packet go together"
	case has(e, "--probability") == has(e, "--every"):
		return "--mode random has --probability, --mode nth has --every"
	}
	return ""
}

func portsNeedProtocol(e iptables.Extension, s iptables.Spec) string {
	if has(e, "--to-ports") {
		return needProtocol(s, "--to-ports", "tcp", "udp", "sctp", "33")
	}
	return ""
}

func needProtocol(s iptables.Spec, what string, protocols ...string) string {
	if s.Protocol.Not || !slices.Contains(protocols, s.Protocol.Value) {
		return what + " without -p " + strings.Join(protocols, ", ")
	}
	return ""
}
