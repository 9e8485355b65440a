package proxier

import (
	"maps"
	"slices"
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

// LinkChange creates a dummy link, or deletes it.
type LinkChange struct {
	Delete bool
	Link   dummy.Link
}

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

// String returns "ip link add vipkit0 type dummy" or "ip link del vipkit0".
func (l LinkChange) String() string {
	if l.Delete {
		return "ip link del " + l.Link.Name
	}
	return "ip link add " + l.Link.Name + " type dummy"
}

// diff returns the steps that make want of have. It is pure, and its result
// depends on nothing but its arguments.
func diff(c *config, have, want *state) []Step {
	var steps [lastPhase + 1]Step
	diffLink(c, have, want, &steps)
	diffSets(c, have, want, &steps)
	diffRules(have, want, &steps)
	diffServers(have, want, &steps)
	diffAddresses(c, have, want, &steps)
	var plan []Step
	for phase, s := range steps {
		if s.len() > 0 {
			s.Phase = Phase(phase)
			plan = append(plan, s)
		}
	}
	return plan
}

func diffLink(c *config, have, want *state, steps *[lastPhase + 1]Step) {
	link := dummy.Link{Name: c.Link, Kind: "dummy", Up: true}
	switch {
	case want.link && !have.link:
		steps[CreateLink].Links = []LinkChange{{Link: link}}
	case !want.link && have.link && len(have.foreignAddresses) == 0:
		steps[DeleteLink].Links = []LinkChange{{Delete: true, Link: link}}
	}
}

// setPhases returns where the entries of a set are added and deleted.
func setPhases(id setID) (add, remove Phase) {
	if id == setOpen {
		return OpenTuples, CloseTuples
	}
	return AddEntries, RemoveEntries
}

func diffSets(c *config, have, want *state, steps *[lastPhase + 1]Step) {
	at := func(p Phase) *[]ipset.Change { return &steps[p].Sets }
	var deletes [numSets][]ipset.Change
	for _, f := range families {
		for id := range numSets {
			i := familyIndex(f)
			exists, wanted := have.sets[id][i] != nil, want.sets[id][i] != nil
			switch {
			case wanted && !exists:
				create := c.set(id, f)
				if n := len(want.entries(id, f)); n > 1024 {
					create.HashSize = uint32(n) // growing to it step by step costs several times as much
				}
				*at(CreateSets) = append(*at(CreateSets), ipset.Change{Op: ipset.CreateSet, Set: create})
			case exists && !wanted:
				*at(DestroySets) = append(*at(DestroySets), ipset.Change{Op: ipset.DestroySet, Set: c.set(id, f)})
				if id != setOpen {
					continue // it goes whole; open tuples are closed one by one, before their servers
				}
			}
			add, _ := setPhases(id)
			changes := ipset.Diff(c.set(id, f), values(have.entries(id, f)), values(want.entries(id, f)))
			n := slices.IndexFunc(changes, func(ch ipset.Change) bool { return ch.Op == ipset.DeleteEntry })
			if n < 0 {
				n = len(changes)
			}
			*at(add) = append(*at(add), changes[:n]...)
			deletes[id] = append(deletes[id], changes[n:]...)
		}
	}
	for id := numSets; id > 0; id-- {
		_, remove := setPhases(id - 1)
		*at(remove) = append(*at(remove), deletes[id-1]...)
	}
}

func values(m map[ipset.EntryKey]ipset.Entry) []ipset.Entry {
	return slices.AppendSeq(make([]ipset.Entry, 0, len(m)), maps.Values(m))
}

func diffRules(have, want *state, steps *[lastPhase + 1]Step) {
	for i, f := range families {
		edits := editRules(have.rules[i], want.rules[i])
		if len(edits) == 0 {
			continue
		}
		phase := WriteRules
		if want.rules[i].chains == nil {
			phase = RemoveRules
		}
		steps[phase].Rules = append(steps[phase].Rules, RuleChange{Family: f, Edits: edits})
	}
}

func diffServers(have, want *state, steps *[lastPhase + 1]Step) {
	flows := &steps[DeleteFlows].Flows
	byMark := have.tuplesByMark()
	for _, change := range ipvs.Diff(have.servers, want.servers) {
		phase := AddServers
		removes := change.Op == ipvs.DeleteService || change.Op == ipvs.DeleteDestination
		switch {
		case removes && change.Service.Mark != 0:
			phase = RemoveMarkServers
		case removes:
			phase = RemoveServers
		case change.Service.Mark != 0:
			phase = AddMarkServers
		}
		steps[phase].Servers = append(steps[phase].Servers, change)
		if removes || change.Op == ipvs.AddService {
			*flows = append(*flows, staleFlows(byMark, change)...)
		}
	}
	*flows = compactFlows(*flows)
}

func diffAddresses(c *config, have, want *state, steps *[lastPhase + 1]Step) {
	for _, change := range dummy.Diff(slices.Collect(maps.Keys(have.addresses)), slices.Collect(maps.Keys(want.addresses))) {
		phase := AddAddresses
		if change.Op == dummy.DeleteAddress {
			phase = RemoveAddresses
		}
		steps[phase].Addresses = append(steps[phase].Addresses, AddressChange{Link: c.Link, Change: change})
	}
}
