package proxier

import (
	"strings"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/iptables"
	"github.com/vipkit/vipkit/ipvs"
)

// Plan is what has to be written so that the kernel agrees with what is wanted:
// steps in the order in which they run. It is a value: making it writes
// nothing.
type Plan struct {
	Steps []Step
	// Refused are the services that cannot be had, sorted by name; the plan
	// leaves what is there of them alone.
	Refused []ServiceError
}

// Step is one phase's operations on one facility. Exactly one of the slices
// holds any.
type Step struct {
	Phase     Phase
	Links     []LinkChange
	Sets      []ipset.Change
	Rules     []RuleChange
	Servers   []ipvs.Change
	Addresses []AddressChange
	Flows     []conntrack.Match
}

// LinkChange creates a dummy link, brings it up, or deletes it.
type LinkChange struct {
	Verb LinkVerb
	Link dummy.Link
}

// LinkVerb is what a LinkChange does, in the words of ip link.
type LinkVerb string

// Verbs of a LinkChange.
const (
	LinkAdd   LinkVerb = "add"
	LinkSetUp LinkVerb = "set"
	LinkDel   LinkVerb = "del"
)

// RuleChange is one iptables-restore of one family.
type RuleChange struct {
	Family vipkit.Family
	Edits  []iptables.Edit
}

// AddressChange is a change of an address on a link.
type AddressChange struct {
	Link string
	dummy.Change
}

// Empty reports whether there is nothing to write.
func (p Plan) Empty() bool { return len(p.Steps) == 0 }

// Len returns the number of operations. A restore counts its edits.
func (p Plan) Len() int {
	n := 0
	for _, s := range p.Steps {
		n += s.len()
	}
	return n
}

func (s Step) len() int {
	n := len(s.Links) + len(s.Sets) + len(s.Servers) + len(s.Addresses) + len(s.Flows)
	for _, r := range s.Rules {
		n += len(r.Edits)
	}
	return n
}

// String returns the operations in the syntax of the operator's tools, a line
// each, in order.
func (p Plan) String() string {
	var b strings.Builder
	for _, s := range p.Steps {
		for _, l := range s.lines() {
			b.WriteString(l + "\n")
		}
	}
	return b.String()
}

func (s Step) lines() []string {
	var lines []string
	for _, l := range s.Links {
		lines = append(lines, l.String())
	}
	for _, c := range s.Sets {
		lines = append(lines, "ipset "+c.String())
	}
	for _, r := range s.Rules {
		for _, e := range r.Edits {
			lines = append(lines, r.tool()+" -t "+e.String())
		}
	}
	for _, c := range s.Servers {
		lines = append(lines, "ipvsadm "+c.String())
	}
	for _, c := range s.Addresses {
		lines = append(lines, c.String(c.Link))
	}
	for _, m := range s.Flows {
		lines = append(lines, "conntrack "+m.String())
	}
	return lines
}

func (r RuleChange) tool() string {
	if r.Family == vipkit.IPv6 {
		return "ip6tables"
	}
	return "iptables"
}

// String returns "ip link add vipkit0 type dummy", "ip link set vipkit0 up" or
// "ip link del vipkit0".
func (l LinkChange) String() string {
	s := "ip link " + string(l.Verb) + " " + l.Link.Name
	switch l.Verb {
	case LinkAdd:
		s += " type " + dummy.Kind
	case LinkSetUp:
		s += " up"
	case LinkDel:
	}
	return s
}
