package iptablestest

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
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
	"MARK":       {}, "CONNMARK": {}, "SET": {}, "LOG": {}, "NFLOG": {}, "CLASSIFY": {}, "TOS": {[]string{"mangle"}, nil},
	"TCPMSS": {}, "DSCP": {[]string{"mangle"}, nil}, "TRACE": {[]string{"raw"}, nil}, "TTL": {[]string{"mangle"}, nil}, "HL": {[]string{"mangle"}, nil},
}

var verdicts = []string{"ACCEPT", "DROP", "RETURN", "QUEUE"}

// ruleFault returns what the tool finds wrong with a rule before it asks the
// kernel, or "".
func (t *table) ruleFault(chain string, r rule, sets func(string) bool) string {
	spec := r.spec
	switch {
	case spec.Fragment.Set && t.family == vipkit.IPv6:
		return "-f is for IPv4"
	case spec.Protocol.Set && !validProtocol(spec.Protocol.Value):
		return "unknown protocol " + spec.Protocol.Value
	case spec.Protocol.Not && spec.Protocol.Value == "all":
		return "rule would never match protocol"
	case spec.In.Set && (chain == "OUTPUT" || chain == "POSTROUTING"):
		return "can't use -i with " + chain
	case spec.Out.Set && (chain == "INPUT" || chain == "PREROUTING"):
		return "can't use -o with " + chain
	}
	for _, m := range spec.Matches {
		if reason := matchFault(t.family, m, spec); reason != "" {
			return reason
		}
	}
	for _, name := range r.text.Sets() {
		if sets != nil && !sets(name) {
			return "set " + name + " doesn't exist"
		}
	}
	return t.targetFault(spec)
}

// targetFault refuses a target that is neither a chain nor an extension.
func (t *table) targetFault(spec iptables.Spec) string {
	target, name := spec.Target, spec.Target.Name
	if _, ok := targets[name]; ok && t.chains[name] == nil {
		if name == "TTL" && t.family == vipkit.IPv6 || name == "HL" && t.family == vipkit.IPv4 {
			return name + " is not for this family"
		}
		return targetGrammars[name].fault(target, spec)
	}
	if len(target.Options) > 0 {
		return fmt.Sprintf("unknown option %q", target.Options[0].Name)
	}
	if t.name == "nat" && name == "DROP" {
		return "table nat is not intended for filtering"
	}
	if name == "" || slices.Contains(verdicts, name) {
		return ""
	}
	if t.chains[name] != nil {
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
		if err := t.walk(hook, hook, nil, map[string]bool{}); err != nil {
			return err
		}
	}
	return nil
}

// walk looks at a chain that a built-in one reaches by the chains in path; done
// are those that it has seen.
func (t *table) walk(hook, name string, path []string, done map[string]bool) error {
	path = append(path, name)
	for _, r := range t.chains[name].rules {
		if reason := t.misplaced(r, hook); reason != "" {
			return t.refuse(name, r, reason)
		}
		to := r.spec.Target.Name
		if t.chains[to] == nil {
			if t.backend == "legacy" && r.text == iptables.Rule("-j "+to) && slices.Contains(verdicts, to) {
				break // mark_source_chains goes no further
			}
			continue
		}
		if slices.Contains(path, to) {
			return t.refuse(name, r, "loop")
		}
		if done[to] {
			continue
		}
		if err := t.walk(hook, to, path, done); err != nil {
			return err
		}
	}
	done[name] = true
	return nil
}

// misplaced returns why the kernel does not take a rule in this table, or where
// the named built-in chain reaches it.
func (t *table) misplaced(r rule, hook string) string {
	spec := r.spec
	if hook != "" {
		for _, m := range spec.Matches {
			if reason := matchMisplaced(m, hook); reason != "" {
				return reason
			}
		}
	}
	target := spec.Target.Name
	if t.chains[target] != nil {
		return ""
	}
	p := targets[target]
	switch {
	case p.tables != nil && !slices.Contains(p.tables, t.name):
		return target + " is not for table " + t.name
	case hook != "" && p.hooks != nil && !slices.Contains(p.hooks, hook):
		return target + " is not for chain " + hook
	case target == "SET" && t.name != "mangle" && has(spec.Target, "--map-set"):
		return "--map-set is for table mangle"
	case target == "REJECT" && strings.Contains(string(r.text), "--reject-with tcp-reset") && needProtocol(spec, "", "tcp") != "":
		return "tcp-reset without -p tcp"
	case target == "TCPMSS":
		return mssMisplaced(spec, hook)
	}
	return ""
}

// mssMisplaced is about TCPMSS, which wants packets that open a connection, and
// for the path's MTU a packet that is on its way out (xt_TCPMSS.c).
func mssMisplaced(spec iptables.Spec, hook string) string {
	syn := false
	for _, m := range spec.Matches {
		for _, o := range m.Options {
			syn = syn || o.Name == "--tcp-flags" && !o.Not && len(o.Args) == 2 && strings.Contains(o.Args[1], "SYN")
		}
	}
	switch {
	case !syn || needProtocol(spec, "", "tcp") != "":
		return "TCPMSS without -p tcp --syn"
	case (hook == "PREROUTING" || hook == "INPUT") && has(spec.Target, "--clamp-mss-to-pmtu"):
		return "path MTU is not known in " + hook
	}
	return ""
}

// matchMisplaced returns why the kernel does not take a match where a built-in
// chain reaches it, or "".
func matchMisplaced(m iptables.Extension, hook string) string {
	in, out := hook == "PREROUTING" || hook == "INPUT", hook == "OUTPUT" || hook == "POSTROUTING"
	switch {
	case m.Name == "addrtype" && (in && has(m, "--limit-iface-out") || out && has(m, "--limit-iface-in")):
		return "no such link in " + hook
	case m.Name == "owner" && !out:
		return "owner is not known in " + hook
	case m.Name == "physdev" && hook == "OUTPUT" && (has(m, "--physdev-out") || has(m, "--physdev-is-out")) && !has(m, "--physdev-is-bridged"):
		return "physdev-out is not known in OUTPUT"
	}
	return ""
}

// validProtocol reports whether a protocol is a number or a name that the tool has
// built in, as iptables.Normalize leaves it.
func validProtocol(s string) bool {
	_, err := strconv.ParseUint(s, 10, 8)
	return err == nil || slices.Contains([]string{"all", "icmp", "tcp", "udp", "esp", "ah", "ipv6-icmp", "sctp", "ipv6-mh", "udplite"}, s)
}

func (t *table) refuse(chain string, r rule, reason string) error {
	return refuse(iptables.Edit{Table: t.name, Verb: iptables.Append, Chain: chain, Rule: r.text}, fs.ErrInvalid, reason)
}
