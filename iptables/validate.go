package iptables

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/vipkit/vipkit"
)

// Validate reports what is wrong with edits whatever the kernel holds: an unknown
// table or verb, a chain name that the tools cannot take, making or deleting
// a built-in chain or jumping to one, a policy that is none, a position below 1, a
// rule that would be more than one line or more than one rule, an address of the
// other family, a protocol's match without the protocol, a condition that matches
// nothing; and an insertion into, or a deletion from, a chain that the
// same edits declare, which the nft back end gets wrong. Each fault is a
// *vipkit.OpError of kind fs.ErrInvalid, joined in the order of the edits.
// Clients refuse edits by it before they change anything.
func Validate(f vipkit.Family, edits []Edit) error {
	if f != vipkit.IPv4 && f != vipkit.IPv6 {
		return refuse("", fmt.Sprintf("address family %d", f))
	}
	var errs []error
	declared := map[[2]string]bool{}
	for _, e := range edits {
		reason := e.fault(f)
		chain := [2]string{e.Table, e.Chain}
		switch {
		case e.Verb == NewChain:
			declared[chain] = true
		case reason != "" || !declared[chain]:
		case e.Verb == Insert:
			// iptables-nft 1.8.9 counts from the rules that the chain had
			// before it was flushed, and puts the rule anywhere.
			reason = "insertion into a chain that the same restore declares: append in order"
		case e.Verb == Delete:
			// It looks for the rule among those too.
			reason = "deletion from a chain that the same restore declares: leave the rule out"
		}
		if reason != "" {
			errs = append(errs, refuse(fmt.Sprintf("%.200q", e.String()), reason))
		}
	}
	return errors.Join(errs...)
}

func refuse(object, reason string) error {
	return &vipkit.OpError{Op: "iptables restore", Object: object, Kind: fs.ErrInvalid, Detail: reason}
}

// fault returns why an edit makes no sense, or "".
func (e Edit) fault(f vipkit.Family) string {
	if BuiltinChains(e.Table) == nil {
		return fmt.Sprintf("no table %q", e.Table)
	}
	if reason := chainFault(e.Chain); reason != "" {
		return reason
	}
	switch e.Verb {
	case NewChain, DeleteChain:
		if isHook(e.Chain) {
			return "built-in chain"
		}
		if e.Rule != "" {
			return "a chain edit has no rule"
		}
	case SetPolicy:
		if !slices.Contains(BuiltinChains(e.Table), e.Chain) {
			return "only a built-in chain has a policy"
		}
		if e.Policy != "ACCEPT" && e.Policy != "DROP" {
			return fmt.Sprintf("policy %q, want ACCEPT or DROP", e.Policy)
		}
		if e.Rule != "" {
			return "a chain edit has no rule"
		}
	case Append, Insert, Delete:
		if isHook(e.Chain) && !slices.Contains(BuiltinChains(e.Table), e.Chain) {
			return "table " + e.Table + " has no such chain"
		}
	default:
		return fmt.Sprintf("verb %d", e.Verb)
	}
	switch {
	case (e.Verb == Insert) != (e.Pos != 0) || e.Pos < 0:
		return fmt.Sprintf("position %d", e.Pos)
	case e.Verb != SetPolicy && e.Policy != "":
		return "policy " + e.Policy + " for an edit that sets none"
	case e.Counters != (Counters{}) && e.Verb != SetPolicy && e.Verb != Append && e.Verb != Insert:
		return "counters for an edit that makes nothing to count"
	}
	return e.Rule.fault(f)
}

// chainFault returns why a chain cannot have a name, or "".
func chainFault(name string) string {
	switch {
	case name == "" || len(name) > MaxChainNameLen:
		return fmt.Sprintf("chain name of %d bytes, want 1–%d", len(name), MaxChainNameLen)
	case name[0] == '-' || name[0] == '!':
		return "chain name begins with - or !"
	case slices.Contains([]string{"ACCEPT", "DROP", "QUEUE", "RETURN"}, name):
		return "chain name is that of a verdict"
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"'\\,", c) >= 0 {
			return fmt.Sprintf("chain name has the byte %q", c)
		}
	}
	return ""
}

// commands are options of iptables itself that have no place in a rule. The
// tool would take them for what they are.
var commands = []string{
	"-A", "--append", "-C", "--check", "-D", "--delete", "-I", "--insert", "-R", "--replace",
	"-L", "--list", "-S", "--list-rules", "-F", "--flush", "-Z", "--zero", "-N", "--new-chain",
	"-X", "--delete-chain", "-P", "--policy", "-E", "--rename-chain", "-h", "--help", "-t", "--table",
	"-w", "--wait", "-v", "--verbose", "-4", "--ipv4", "-6", "--ipv6", "--modprobe", "-V", "--version",
}

// fault returns why a rule cannot be one line and one rule, or "".
func (r Rule) fault(f vipkit.Family) string {
	if len(r) > maxRuleLen {
		return fmt.Sprintf("rule of %d bytes, more than %d", len(r), maxRuleLen)
	}
	for i := range len(r) {
		if c := r[i]; c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Sprintf("rule has the byte %q", c)
		}
	}
	list, err := r.words()
	if err != nil {
		return err.Error()
	}
	for i, w := range list {
		text := i > 0 && slices.Contains(textOptions, list[i-1].text)
		if !text && slices.Contains(commands, w.text) {
			return w.text + " is no part of a rule"
		}
	}
	s, err := parseSpec(r)
	if err != nil {
		return "" // not ours to judge: the tool does
	}
	return s.fault(f)
}

// protocolOf names the protocol of the matches that want the rule's own to be
// theirs.
var protocolOf = map[string]string{
	"tcp": "tcp", "udp": "udp", "sctp": "sctp", "icmp": "icmp", "icmp6": "ipv6-icmp",
}

// fault returns why no kernel takes a rule, or "".
func (s *spec) fault(f vipkit.Family) string {
	if isHook(s.target.name) {
		return "jump to a built-in chain"
	}
	if reason := s.never(); reason != "" {
		return reason
	}
	p := s.head[protocol]
	for _, m := range s.matches {
		if want := protocolOf[m.name]; want != "" && (p.not || protocolName(p.value) != want) {
			return "match " + m.name + " without -p " + want
		}
	}
	for _, i := range []int{source, destination} {
		if !s.head[i].set {
			continue
		}
		p, err := parsePrefix(s.head[i].value)
		if err != nil {
			return err.Error() + ": want one address or network, no name, no list"
		}
		if s.head[i].not && p.Bits() == 0 {
			return "! " + headNames[i][0] + " " + p.String() + " matches nothing"
		}
		if vipkit.FamilyOf(p.Addr()) != f {
			return fmt.Sprintf("%s is no %s address", p, f)
		}
	}
	return ""
}

// never returns which condition matches nothing where the tools drop its negation
// and make it match everything, or "".
func (s *spec) never() string {
	for _, i := range []int{inLink, outLink} {
		if s.head[i].not && s.head[i].value == "+" {
			return "! " + headNames[i][0] + " + matches nothing"
		}
	}
	for _, m := range s.matches {
		for _, o := range m.options {
			if every, ok := everyPort[o.name]; ok && o.not && len(o.args) == 1 && portRange(o.args[0].text) == every {
				return "! " + o.name + " " + every + " matches nothing"
			}
		}
	}
	return ""
}
