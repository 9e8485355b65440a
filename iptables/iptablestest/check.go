package iptablestest

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/iptables"
)

// place says where the kernel takes a target: in which tables, and from which
// built-in chains it may be reached. Nil is anywhere.
type place struct {
	tables, hooks []string
}

// targets are the extensions that the Fake knows, by the registration of each
// in the kernel (net/netfilter/xt_*.c, net/ipv4/netfilter/ipt_*.c).
var targets = map[string]place{
	"MASQUERADE": {[]string{"nat"}, []string{"POSTROUTING"}},
	"SNAT":       {[]string{"nat"}, []string{"POSTROUTING", "INPUT"}},
	"DNAT":       {[]string{"nat"}, []string{"PREROUTING", "OUTPUT"}},
	"REDIRECT":   {[]string{"nat"}, []string{"PREROUTING", "OUTPUT"}},
	"NETMAP":     {[]string{"nat"}, nil},
	"REJECT":     {[]string{"filter"}, []string{"INPUT", "FORWARD", "OUTPUT"}},
	"TPROXY":     {[]string{"mangle"}, []string{"PREROUTING"}},
	"NOTRACK":    {[]string{"raw"}, nil},
	"CT":         {[]string{"raw"}, nil},
	"MARK":       {}, "CONNMARK": {}, "SET": {}, "LOG": {}, "NFLOG": {}, "CLASSIFY": {[]string{"mangle"}, nil},
	"TCPMSS": {}, "DSCP": {[]string{"mangle"}, nil}, "TRACE": {[]string{"raw"}, nil},
}

var verdicts = []string{"ACCEPT", "DROP", "RETURN", "QUEUE"}

// matches are the extensions that the Fake knows; the value tells whether one
// wants the rule's own protocol to be that of its name.
var matches = map[string]bool{
	"tcp": true, "udp": true, "sctp": true, "icmp": true, "icmp6": true,
	"set": false, "mark": false, "connmark": false, "conntrack": false, "state": false, "addrtype": false,
	"comment": false, "multiport": false, "limit": false, "hashlimit": false, "statistic": false,
	"physdev": false, "owner": false, "recent": false, "pkttype": false, "mac": false, "ipvs": false, "iprange": false,
}

// ruleFault returns what the tool finds wrong with a rule before it asks the
// kernel, or "".
func (t *table) ruleFault(chain string, r iptables.Rule, sets func(string) bool) string {
	words := strings.Fields(string(r))
	for i, w := range words {
		if i+1 == len(words) {
			break
		}
		switch w {
		case "-m":
			if reason := t.matchFault(words[i+1], r); reason != "" {
				return reason
			}
		case "-i":
			if chain == "OUTPUT" || chain == "POSTROUTING" {
				return "can't use -i with " + chain
			}
		case "-o":
			if chain == "INPUT" || chain == "PREROUTING" {
				return "can't use -o with " + chain
			}
		}
	}
	for _, name := range r.Sets() {
		if sets != nil && !sets(name) {
			return "set " + name + " doesn't exist"
		}
	}
	return t.targetFault(r.Target())
}

// protocolOf names the protocol that a match of a protocol's options wants.
var protocolOf = map[string]string{"icmp6": "ipv6-icmp"}

func (t *table) matchFault(match string, r iptables.Rule) string {
	own, known := matches[match]
	if !known || (match == "icmp" && t.family == vipkit.IPv6) || (match == "icmp6" && t.family == vipkit.IPv4) {
		return "couldn't load match " + match
	}
	protocol := match
	if p := protocolOf[match]; p != "" {
		protocol = p
	}
	if own && !strings.Contains(" "+string(r)+" ", " -p "+protocol+" ") {
		return fmt.Sprintf("match %s without -p %s", match, protocol)
	}
	return ""
}

// targetFault refuses a target that is neither a chain nor an extension.
func (t *table) targetFault(name string) string {
	if name == "" || slices.Contains(verdicts, name) {
		return ""
	}
	if slices.Contains(iptables.BuiltinChains("mangle"), name) {
		return "jump to a built-in chain"
	}
	if _, ok := targets[name]; ok || t.chains[name] != nil {
		return ""
	}
	return "no chain or target " + name
}

// check is the kernel's look at the whole table: from every built-in chain it
// follows the jumps, and refuses loops and targets out of place
// (net/ipv4/netfilter/ip_tables.c, mark_source_chains;
// net/netfilter/nf_tables_api.c, nft_chain_validate). Chains that nothing
// reaches are looked at only for the table.
func (t *table) check() error {
	for name, c := range t.chains {
		for _, r := range c.rules {
			if reason := t.misplaced(r, ""); reason != "" {
				return t.refuse(name, r, reason)
			}
		}
	}
	for _, hook := range iptables.BuiltinChains(t.name) {
		if err := t.walk(hook, hook, nil); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) walk(hook, name string, path []string) error {
	path = append(path, name)
	for _, r := range t.chains[name].rules {
		if reason := t.misplaced(r, hook); reason != "" {
			return t.refuse(name, r, reason)
		}
		to := r.Target()
		if t.chains[to] == nil {
			continue
		}
		if slices.Contains(path, to) {
			return t.refuse(name, r, "loop")
		}
		if err := t.walk(hook, to, path); err != nil {
			return err
		}
	}
	return nil
}

// misplaced returns why the kernel does not take a rule in this table, or where
// the named built-in chain reaches it.
func (t *table) misplaced(r iptables.Rule, hook string) string {
	target := r.Target()
	if t.chains[target] != nil {
		return ""
	}
	p := targets[target]
	switch {
	case p.tables != nil && !slices.Contains(p.tables, t.name):
		return target + " is not for table " + t.name
	case hook != "" && p.hooks != nil && !slices.Contains(p.hooks, hook):
		return target + " is not for chain " + hook
	case target == "SET" && t.name != "mangle" && strings.Contains(string(r), "--map-set"):
		return "--map-set is for table mangle"
	case strings.Contains(string(r), "--reject-with tcp-reset") && !strings.Contains(string(r), "-p tcp"):
		return "tcp-reset without -p tcp"
	}
	return ""
}

func (t *table) refuse(chain string, r iptables.Rule, reason string) error {
	return refuse(iptables.Edit{Table: t.name, Verb: iptables.Append, Chain: chain, Rule: r}, fs.ErrInvalid, reason)
}
