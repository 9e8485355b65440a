package iptablestest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/iptables"
)

// grammar is what the tool takes behind an extension: the number of arguments of
// each option. Nil takes anything.
type grammar map[string]int

// matches are the extensions that the Fake knows, with the options of those
// that service proxies use.
var matches = map[string]grammar{
	"tcp":       {"--sport": 1, "--dport": 1, "--tcp-flags": 2, "--tcp-option": 1, "--syn": 0},
	"udp":       {"--sport": 1, "--dport": 1},
	"sctp":      {"--sport": 1, "--dport": 1, "--chunk-types": 2},
	"icmp":      {"--icmp-type": 1},
	"icmp6":     {"--icmpv6-type": 1},
	"mark":      {"--mark": 1},
	"connmark":  {"--mark": 1},
	"comment":   {"--comment": 1},
	"addrtype":  {"--src-type": 1, "--dst-type": 1, "--limit-iface-in": 0, "--limit-iface-out": 0},
	"state":     {"--state": 1},
	"conntrack": nil, "set": nil, "multiport": nil, "limit": nil, "hashlimit": nil, "statistic": nil,
	"physdev": nil, "owner": nil, "recent": nil, "pkttype": nil, "mac": nil, "ipvs": nil, "iprange": nil,
}

// targetOptions are the options of those targets of which the Fake knows them.
var targetOptions = map[string]grammar{
	"MARK":       {"--set-xmark": 1},
	"MASQUERADE": {"--to-ports": 1, "--random": 0, "--random-fully": 0},
	"REJECT":     {"--reject-with": 1},
	"NOTRACK":    {},
	"SET": {
		"--map-set": 2, "--add-set": 2, "--del-set": 2, "--exist": 0, "--timeout": 1,
		"--map-mark": 0, "--map-prio": 0, "--map-queue": 0,
	},
}

// required are the options without which an extension makes no sense.
var required = map[string][]string{
	"mark": {"--mark"}, "connmark": {"--mark"}, "comment": {"--comment"}, "set": {"--match-set"}, "state": {"--state"},
	"MARK": {"--set-xmark"}, "SET": {"--map-set", "--add-set", "--del-set"},
	"addrtype": {"--src-type", "--dst-type"},
}

// matchFault returns what the tool finds wrong with a match, or "".
func matchFault(f vipkit.Family, m iptables.Extension) string {
	known, ok := matches[m.Name]
	if !ok || (m.Name == "icmp" && f == vipkit.IPv6) || (m.Name == "icmp6" && f == vipkit.IPv4) {
		return "couldn't load match " + m.Name
	}
	if reason := optionFault(m, known); reason != "" {
		return reason
	}
	for _, o := range m.Options {
		if o.Name == "--match-set" && !validMatchSet(o.Args) {
			return fmt.Sprintf("--match-set takes a set and up to six of src and dst, not %q", o.Args)
		}
		if o.Name == "--comment" && len(o.Args[0]) > 255 {
			return "comment too long"
		}
	}
	return ""
}

func validMatchSet(args []string) bool {
	if len(args) != 2 || args[0] == "" {
		return false
	}
	flags := strings.Split(args[1], ",")
	return len(flags) <= 6 && !slices.ContainsFunc(flags, func(s string) bool { return s != "src" && s != "dst" })
}

// optionFault holds an extension's options against what it knows.
func optionFault(e iptables.Extension, known grammar) string {
	found := len(required[e.Name]) == 0
	for i, o := range e.Options {
		found = found || slices.Contains(required[e.Name], o.Name)
		if known == nil {
			continue
		}
		n, ok := known[o.Name]
		if !ok {
			return fmt.Sprintf("unknown option %q", o.Name)
		}
		if len(o.Args) != n {
			return fmt.Sprintf("option %s takes %d arguments", o.Name, n)
		}
		if slices.ContainsFunc(e.Options[:i], func(p iptables.Option) bool { return p.Name == o.Name }) {
			return fmt.Sprintf("option %s comes twice", o.Name)
		}
	}
	if !found {
		return fmt.Sprintf("%s needs %s", e.Name, strings.Join(required[e.Name], " or "))
	}
	return ""
}
