package proxier

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/ipvs"
)

// diff returns the steps that make want of have. It is pure, and its result
// depends on nothing but its arguments.
func diff(c *config, have, want *state) []Step {
	d := differ{config: c, have: have, want: want}
	d.flows(have.due...)
	d.link()
	d.sets()
	d.rules()
	d.servers()
	d.addresses()
	d.at(DeleteFlows).Flows = compactFlows(d.at(DeleteFlows).Flows)
	var plan []Step
	for phase, s := range d.steps {
		if s.len() > 0 {
			s.Phase = Phase(phase)
			plan = append(plan, s)
		}
	}
	return plan
}

// differ is a diff in the making.
type differ struct {
	*config
	have, want *state
	steps      [lastPhase + 1]Step
}

func (d *differ) at(p Phase) *Step { return &d.steps[p] }

// moved reports whether the tuple goes from one service to another.
func (d *differ) moved(e ipset.EntryKey, f vipkit.Family) bool {
	was, there := d.have.entries(setLedger, f)[e]
	is, stays := d.want.entries(setLedger, f)[e]
	return there && stays && was.Comment != is.Comment
}

func (d *differ) link() {
	link := dummy.Link{Name: d.Link, Kind: dummy.Kind, Up: true}
	switch {
	case d.want.link && !d.have.link:
		d.at(CreateLink).Links = []LinkChange{{Verb: LinkAdd, Link: link}}
	case d.want.link && d.have.linkDown:
		d.at(CreateLink).Links = []LinkChange{{Verb: LinkSetUp, Link: link}}
	case !d.want.link && d.have.link && len(d.have.foreignAddresses) == 0:
		d.at(DeleteLink).Links = []LinkChange{{Verb: LinkDel, Link: link}}
	}
}

// setPhases returns where the entries of a set are added and deleted.
func setPhases(id setID) (add, remove Phase) {
	switch id {
	case setOpen:
		return OpenTuples, CloseTuples
	case setHairpin:
		return AddHairpins, RemoveHairpins
	default:
		return AddEntries, RemoveEntries
	}
}

func (d *differ) sets() {
	var deletes [numSets][]ipset.Change
	for _, f := range families {
		for id := range numSets {
			i := familyIndex(f)
			exists, wanted := d.have.sets[id][i] != nil, d.want.sets[id][i] != nil
			switch {
			case wanted && !exists:
				create := d.set(id, f)
				if n := len(d.want.entries(id, f)); n > 1024 {
					create.HashSize = uint32(n) // growing to it step by step costs several times as much
				}
				d.at(CreateSets).Sets = append(d.at(CreateSets).Sets, ipset.Change{Op: ipset.CreateSet, Set: create})
			case exists && !wanted:
				d.at(DestroySets).Sets = append(d.at(DestroySets).Sets, ipset.Change{Op: ipset.DestroySet, Set: d.set(id, f)})
				if id != setOpen {
					continue // it goes whole; open tuples are closed one by one, before their servers
				}
			}
			deletes[id] = append(deletes[id], d.entries(id, f)...)
		}
	}
	for id := numSets; id > 0; id-- {
		_, remove := setPhases(id - 1)
		d.at(remove).Sets = append(d.at(remove).Sets, deletes[id-1]...)
	}
}

// entries plans what is to be added to a set, and returns what is to be deleted.
func (d *differ) entries(id setID, f vipkit.Family) (deletes []ipset.Change) {
	add, _ := setPhases(id)
	for _, ch := range ipset.Diff(d.set(id, f), d.have.entries(id, f), d.want.entries(id, f)) {
		tuple := ch.Entry.EntryKey
		tuple.Net2 = netip.Prefix{}
		switch {
		case ch.Op != ipset.DeleteEntry:
			d.at(add).Sets = append(d.at(add).Sets, ch)
		case id == setRanges && d.moved(tuple, f):
			d.at(WithdrawRanges).Sets = append(d.at(WithdrawRanges).Sets, ch)
		default:
			deletes = append(deletes, ch)
		}
		if id == setExternal || id == setLocal {
			d.flows(staleTuple(keyOf(tuple), netip.AddrPort{})...) // another source NAT, other endpoints
		}
	}
	return deletes
}

func (d *differ) flows(stale ...conntrack.Match) {
	d.at(DeleteFlows).Flows = append(d.at(DeleteFlows).Flows, stale...)
}

func (d *differ) rules() {
	for i, f := range families {
		edits := editRules(d.have.rules[i], d.want.rules[i])
		if len(edits) == 0 {
			continue
		}
		phase := WriteRules
		if d.want.rules[i].chains == nil {
			phase = RemoveRules
		}
		d.at(phase).Rules = append(d.at(phase).Rules, RuleChange{Family: f, Edits: edits})
	}
}

func (d *differ) servers() {
	byMark := d.have.tuplesByMark()
	for _, change := range ipvs.Diff(d.have.servers, d.want.servers) {
		phase := d.serverPhase(change)
		d.at(phase).Servers = append(d.at(phase).Servers, change)
		switch change.Op {
		case ipvs.AddService, ipvs.DeleteService, ipvs.DeleteDestination:
			d.flows(staleFlows(byMark, change)...)
		default: // what flows there are go on
		}
	}
}

func (d *differ) serverPhase(c ipvs.Change) Phase {
	key := c.Service.Key
	byMark := key.Mark != 0
	pick := func(mark, address Phase) Phase {
		if byMark {
			return mark
		}
		return address
	}
	switch c.Op {
	case ipvs.AddService, ipvs.UpdateService:
		return pick(AddMarkServers, AddServers)
	case ipvs.AddDestination, ipvs.UpdateDestination:
		return pick(AddMarkDestinations, AddDestinations)
	default:
		if !byMark && c.Op == ipvs.DeleteDestination && d.moved(tuple(key), key.Family()) {
			return WithdrawDestinations
		}
		return pick(RemoveMarkServers, RemoveServers)
	}
}

func (d *differ) addresses() {
	changes := dummy.Diff(slices.Collect(maps.Keys(d.have.addresses)), slices.Collect(maps.Keys(d.want.addresses)))
	for i, change := range changes {
		phase := AddAddresses
		// An address that changes its means is deleted just before it is added.
		replaced := i+1 < len(changes) && changes[i+1].Address.Addr == change.Address.Addr
		if change.Op == dummy.DeleteAddress && !replaced {
			phase = RemoveAddresses
		}
		d.at(phase).Addresses = append(d.at(phase).Addresses, AddressChange{Link: d.Link, Change: change})
	}
}
