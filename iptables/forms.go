package iptables

import (
	"strings"

	"github.com/vipkit/vipkit"
)

// Value functions that several forms share.
var (
	states = inOrder("INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED", "SNAT", "DNAT")
	types  = inOrder("UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST",
		"BLACKHOLE", "UNREACHABLE", "PROHIBIT", "THROW", "NAT", "XRESOLVE")
)

// portNames are the long names of the options of protocols with ports.
var portNames = map[string]string{"--source-port": "--sport", "--destination-port": "--dport"}

// portValues write them, and everyPort is what the tools leave out.
var (
	portValues = map[string]func(string) string{"--sport": portRange, "--dport": portRange}
	everyPort  = map[string]string{"--sport": "0:65535", "--dport": "0:65535"}
)

// matchForms are how the tool prints matches (its libxt_NAME.c).
var matchForms = map[string]form{
	"tcp": {
		names: portNames, values: portValues, drop: everyPort, special: tcpFlags,
		order: []string{"--sport", "--dport", "--tcp-option", "--tcp-flags"},
	},
	"udp":     {names: portNames, values: portValues, drop: everyPort, order: []string{"--sport", "--dport"}},
	"sctp":    {names: portNames, values: portValues, order: []string{"--sport", "--dport", "--chunk-types"}},
	"icmp":    {byFamily: map[string]map[vipkit.Family]map[string]string{"--icmp-type": icmpTypes}},
	"icmp6":   {byFamily: map[string]map[vipkit.Family]map[string]string{"--icmpv6-type": icmpTypes}},
	"comment": {special: quoteText},
	"mark":    {values: map[string]func(string) string{"--mark": canonicalMark}},
	"connmark": {
		values: map[string]func(string) string{"--mark": canonicalMark},
	},
	"state": {values: map[string]func(string) string{"--state": states}},
	"conntrack": {
		values: map[string]func(string) string{
			"--ctstate": states, "--ctstatus": inOrder("EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED"),
			"--ctproto": protocolNumber, "--ctdir": strings.ToUpper, "--ctexpire": sameEnds(":"),
			"--ctorigsrc": shortAddress, "--ctorigdst": shortAddress, "--ctreplsrc": shortAddress, "--ctrepldst": shortAddress,
			"--ctorigsrcport": portRange, "--ctorigdstport": portRange, "--ctreplsrcport": portRange, "--ctrepldstport": portRange,
		},
		order: []string{
			"--ctstate", "--ctproto", "--ctorigsrc", "--ctorigdst", "--ctreplsrc", "--ctrepldst",
			"--ctorigsrcport", "--ctorigdstport", "--ctreplsrcport", "--ctrepldstport", "--ctstatus", "--ctexpire", "--ctdir",
		},
	},
	"addrtype": {
		values: map[string]func(string) string{"--src-type": types, "--dst-type": types},
		order:  []string{"--src-type", "--dst-type", "--limit-iface-in", "--limit-iface-out"},
	},
	"set": {order: []string{
		"--match-set", "--return-nomatch", "--update-counters", "--update-subcounters",
		"--packets-eq", "--packets-lt", "--packets-gt", "--bytes-eq", "--bytes-lt", "--bytes-gt",
	}},
	"physdev": {order: []string{
		"--physdev-is-in", "--physdev-in", "--physdev-is-out", "--physdev-out", "--physdev-is-bridged",
	}},
	"multiport": {
		names: map[string]string{
			"--source-ports": "--sports", "--source-port": "--sports", "--sport": "--sports",
			"--destination-ports": "--dports", "--destination-port": "--dports", "--dport": "--dports",
			"--port": "--ports",
		},
		values: map[string]func(string) string{"--sports": portList, "--dports": portList, "--ports": portList},
	},
	"statistic": {
		values: map[string]func(string) string{"--mode": lower, "--probability": probability},
		order:  []string{"--mode", "--probability", "--every", "--packet"},
	},
	"ipvs": {
		values: map[string]func(string) string{
			"--vproto": protocolNumber, "--vaddr": shortAddress, "--vport": port, "--vportctl": port,
			"--vdir": strings.ToUpper, "--vmethod": strings.ToUpper,
		},
		special: implyIPVS,
		order:   []string{"--ipvs", "--vproto", "--vaddr", "--vport", "--vdir", "--vmethod", "--vportctl"},
	},
}

// targetForms are how the tool prints targets.
var targetForms = map[string]form{
	"MARK": {special: setXmark},
	"CONNMARK": {
		values:  map[string]func(string) string{"--nfmask": hexNumber, "--ctmask": hexNumber},
		special: moveMark,
		order:   []string{"--set-xmark", "--save-mark", "--restore-mark", "--nfmask", "--ctmask"},
	},
	"MASQUERADE": {
		names:  map[string]string{"--to-port": "--to-ports"},
		values: map[string]func(string) string{"--to-ports": sameEnds("-")},
		order:  []string{"--to-ports", "--random", "--random-fully"},
	},
	"REDIRECT": {
		names:  map[string]string{"--to-port": "--to-ports"},
		values: map[string]func(string) string{"--to-ports": sameEnds("-")},
		order:  []string{"--to-ports", "--random"},
	},
	"DNAT": {names: map[string]string{"--to": "--to-destination"}, order: []string{"--to-destination", "--random", "--persistent"}},
	"SNAT": {names: map[string]string{"--to": "--to-source"}, order: []string{"--to-source", "--random", "--random-fully", "--persistent"}},
	"REJECT": {
		special:  rejectDefault,
		byFamily: map[string]map[vipkit.Family]map[string]string{"--reject-with": rejections},
	},
	"SET": {order: []string{"--add-set", "--exist", "--timeout", "--del-set", "--map-set", "--map-mark", "--map-prio", "--map-queue"}},
	"CT": {order: []string{
		"--notrack", "--helper", "--timeout", "--ctevents", "--expevents", "--zone", "--zone-orig", "--zone-reply",
	}},
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

// icmpTypes are the names of ICMP types by family, and their numbers as printed.
var icmpTypes = map[vipkit.Family]map[string]string{
	vipkit.IPv4: inverse(map[string][]string{
		"any": {"255", "255/255"}, "0": {"echo-reply", "pong"}, "3": {"destination-unreachable"},
		"3/0": {"network-unreachable"}, "3/1": {"host-unreachable"}, "3/2": {"protocol-unreachable"},
		"3/3": {"port-unreachable"}, "3/4": {"fragmentation-needed"}, "3/5": {"source-route-failed"},
		"3/6": {"network-unknown"}, "3/7": {"host-unknown"}, "3/9": {"network-prohibited"}, "3/10": {"host-prohibited"},
		"3/11": {"tos-network-unreachable"}, "3/12": {"tos-host-unreachable"}, "3/13": {"communication-prohibited"},
		"3/14": {"host-precedence-violation"}, "3/15": {"precedence-cutoff"}, "4": {"source-quench"},
		"5": {"redirect"}, "5/0": {"network-redirect"}, "5/1": {"host-redirect"}, "5/2": {"tos-network-redirect"}, "5/3": {"tos-host-redirect"},
		"8": {"echo-request", "ping"}, "9": {"router-advertisement"}, "10": {"router-solicitation"},
		"11": {"time-exceeded", "ttl-exceeded"}, "11/0": {"ttl-zero-during-transit"}, "11/1": {"ttl-zero-during-reassembly"},
		"12": {"parameter-problem"}, "12/0": {"ip-header-bad"}, "12/1": {"required-option-missing"},
		"13": {"timestamp-request"}, "14": {"timestamp-reply"}, "17": {"address-mask-request"}, "18": {"address-mask-reply"},
	}),
	vipkit.IPv6: inverse(map[string][]string{
		"1": {"destination-unreachable"}, "1/0": {"no-route"}, "1/1": {"communication-prohibited"}, "1/2": {"beyond-scope"},
		"1/3": {"address-unreachable"}, "1/4": {"port-unreachable"}, "1/5": {"failed-policy"}, "1/6": {"reject-route"},
		"2": {"packet-too-big"}, "3": {"time-exceeded", "ttl-exceeded"},
		"3/0": {"ttl-zero-during-transit"}, "3/1": {"ttl-zero-during-reassembly"},
		"4": {"parameter-problem"}, "4/0": {"bad-header"}, "4/1": {"unknown-header-type"}, "4/2": {"unknown-option"},
		"128": {"echo-request", "ping"}, "129": {"echo-reply", "pong"}, "133": {"router-solicitation"}, "134": {"router-advertisement"},
		"135": {"neighbour-solicitation", "neighbor-solicitation"}, "136": {"neighbour-advertisement", "neighbor-advertisement"},
		"137": {"redirect"},
	}),
}
