package proxier

import (
	"net/netip"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/ipvs"
)

// state is what is ours in the kernel, or what should be: layout makes one of
// services, observe another of the kernel, and plan compares the two.
type state struct {
	link      bool // there is a dummy link
	linkDown  bool // and it is down
	addresses map[dummy.Address]bool
	// sets are those that exist, by kind and family.
	sets [numSets][2]*set
	// rules are those of the families that have any.
	rules   [2]ruleset
	servers map[ipvs.Key]ipvs.Server

	// What is not ours and in the way: virtual servers and addresses on our
	// link that no ledger names. Only observe fills them.
	foreignServers   map[ipvs.Key]bool
	foreignAddresses map[netip.Addr]bool

	// due are stale flows from before, whose deletion failed.
	due []conntrack.Match

	// elsewhere is what is known of services that this state leaves out;
	// nil: it leaves out none.
	elsewhere *applied
}

// set is a set with its entries.
type set struct {
	ipset.Set
	entries map[ipset.EntryKey]ipset.Entry
}

func newState() *state {
	return &state{
		addresses: make(map[dummy.Address]bool),
		servers:   make(map[ipvs.Key]ipvs.Server),
	}
}

// empty reports whether there is nothing of ours.
func (s *state) empty() bool {
	if s.link || len(s.servers) > 0 || s.elsewhere != nil && len(s.elsewhere.services) > 0 {
		return false
	}
	for i, f := range families {
		if s.has(f) || len(s.rules[i].chains) > 0 || len(s.rules[i].jumps) > 0 {
			return false
		}
	}
	return true
}

// entry implements [sink]. The set need not exist in a state that is only
// carried around.
func (s *state) entry(id setID, f vipkit.Family, e ipset.Entry) {
	at := &s.sets[id][familyIndex(f)]
	if *at == nil {
		*at = &set{entries: make(map[ipset.EntryKey]ipset.Entry)}
	}
	(*at).entries[e.EntryKey] = e
}

// address implements [sink].
func (s *state) address(a dummy.Address) { s.addresses[a] = true }

// server implements [sink].
func (s *state) server(key ipvs.Key, make func() ipvs.Server) { s.servers[key] = make() }

// layout gives what is in s to a sink.
func (s *state) layout(to sink) {
	for id := range numSets {
		for _, f := range families {
			for _, e := range s.entries(id, f) {
				to.entry(id, f, e)
			}
		}
	}
	for a := range s.addresses {
		to.address(a)
	}
	for key, v := range s.servers {
		to.server(key, func() ipvs.Server { return v })
	}
}

// mark returns the firewall mark of the virtual server by mark in s, if any.
func (s *state) mark() uint32 {
	for key := range s.servers {
		if key.Mark != 0 {
			return key.Mark
		}
	}
	return 0
}

// entries returns a set's entries; none if there is no such set.
func (s *state) entries(id setID, f vipkit.Family) map[ipset.EntryKey]ipset.Entry {
	if set := s.sets[id][familyIndex(f)]; set != nil {
		return set.entries
	}
	return nil
}

// has reports whether the family has its sets: they are made first and go last.
func (s *state) has(f vipkit.Family) bool {
	for id := range numSets {
		if s.sets[id][familyIndex(f)] != nil {
			return true
		}
	}
	return false
}

// holder returns the name of the service whose virtual server is at key, as the
// ledger has it, or "".
func (s *state) holder(key ipvs.Key) string {
	if s.elsewhere != nil {
		return s.elsewhere.tuples[key]
	}
	return s.entries(setLedger, key.Family())[tuple(key)].Comment
}

// tuple returns the set entry of a virtual server's address, protocol and port.
func tuple(k ipvs.Key) ipset.EntryKey { return ipset.Key(k.Addr, k.Protocol, k.Port) }

// keyOf is tuple's inverse.
func keyOf(e ipset.EntryKey) ipvs.Key {
	return ipvs.Key{Protocol: e.Protocol, Addr: e.Net.Addr(), Port: e.Port}
}
