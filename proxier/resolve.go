package proxier

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/ipvs"
)

// others says of services that are in the kernel and not named by the caller
// whether they stay.
type others func(name string) (stays bool)

// noOthers is for callers that say everything they want.
func noOthers(string) bool { return false }

// resolution is what becomes of a caller's services.
type resolution struct {
	want *state
	// accepted are the services that can be had, sorted by name, and marks
	// those that some of them need.
	accepted []Service
	marks    map[string]uint32
	// kept is what the kernel holds of services that stay as they are.
	kept    map[string]*state
	refused refusals
}

// resolve turns what a caller wants into the state to reach: the layout of the
// services that can be had; for those that are refused, and those of others that
// stay, what have holds of them. What is denied speaks against services from
// outside. It is pure.
func resolve(c *config, services []Service, denied refusals, rest others, have *state) resolution {
	refused := make(refusals)
	named := byName(services, refused)
	for name, svc := range named {
		refused.add(name, svc.Validate())
		refused.add(name, c.ownAddresses(svc))
		refused.add(name, foreign(c, svc, have))
		refused.add(name, errors.Join(denied[name]...))
	}
	stays := func(name string) bool {
		if name == "" {
			return false // nobody's
		}
		if _, ok := named[name]; ok {
			return refused[name] != nil
		}
		return rest(name)
	}
	var accepted []Service
	var marks map[string]uint32
	for settled := false; !settled; {
		settled = claimTuples(c, named, stays, have, refused)
		if !settled {
			continue
		}
		accepted = accepted[:0]
		for name, svc := range named {
			if refused[name] == nil {
				accepted = append(accepted, svc)
			}
		}
		slices.SortFunc(accepted, func(a, b Service) int { return strings.Compare(a.Name, b.Name) })
		var unmarked map[string]error
		marks, unmarked = assignMarks(c, accepted, have)
		for name, err := range unmarked {
			refused.add(name, err)
			settled = false // what it has may be in the way of others now
		}
	}
	want := layout(c, accepted, marks)
	kept := keep(c, have, want, stays)
	return resolution{want: want, accepted: accepted, marks: marks, kept: kept, refused: refused}
}

// claimTuples refuses services that want a tuple which another has, and reports
// whether there was none to refuse. The service that has a tuple in the kernel
// keeps it, and otherwise the first by name gets it. A service that is refused
// claims nothing new and keeps what it has, so refusing one can make room for
// another, or none: only those are refused that lose to a service that does not
// lose itself, and the caller asks again.
func claimTuples(c *config, named map[string]Service, stays others, have *state, refused refusals) (settled bool) {
	first := make(map[ipvs.Key]string, len(named))
	contested := make(map[ipvs.Key][]string)
	for name, svc := range named {
		if refused[name] != nil {
			continue
		}
		c.tuples(svc, func(_ int, key ipvs.Key) {
			other, claimed := first[key]
			if !claimed {
				first[key] = name
			}
			if h := have.holder(key); claimed || h != name && stays(h) {
				contested[key] = append(contested[key], name)
			}
			if claimed && len(contested[key]) == 1 {
				contested[key] = append(contested[key], other)
			}
		})
	}
	losses := make(map[string]map[ipvs.Key]string) // who loses what to whom
	for key, names := range contested {
		winner := slices.Min(names)
		if h := have.holder(key); slices.Contains(names, h) || stays(h) {
			winner = h
		}
		for _, name := range names {
			if name != winner {
				if losses[name] == nil {
					losses[name] = make(map[ipvs.Key]string)
				}
				losses[name][key] = winner
			}
		}
	}
	if len(losses) == 0 {
		return true
	}
	before := len(refused)
	for name, lost := range losses {
		for _, key := range sortedKeys(lost) {
			if winner := lost[key]; losses[winner] == nil {
				refused.add(name, fmt.Errorf("%v: %w %q", key, ErrClaimed, winner))
			}
		}
	}
	if len(refused) == before { // they lose to one another in a circle
		name := slices.Max(slices.Collect(maps.Keys(losses)))
		for _, key := range sortedKeys(losses[name]) {
			refused.add(name, fmt.Errorf("%v: %w %q", key, ErrClaimed, losses[name][key]))
		}
	}
	return false
}

// keep carries over what have holds of services that stay, and returns it by
// name.
func keep(c *config, have, want *state, stays others) map[string]*state {
	kept := make(map[string]*state)
	for _, f := range families {
		of := make(map[ipset.EntryKey]*state) // whose tuples are kept
		at := make(map[netip.Prefix]*state)   // one of those that are kept at an address
		for e, entry := range have.entries(setLedger, f) {
			name := entry.Comment
			if _, taken := want.entries(setLedger, f)[e]; taken || !stays(name) {
				continue
			}
			if kept[name] == nil {
				kept[name] = newState()
			}
			of[e], at[e.Net] = kept[name], kept[name]
			keepTuple(c, have, kept[name], keyOf(e))
		}
		for e, entry := range have.entries(setHealth, f) {
			if s := at[e.Net]; s != nil {
				s.entry(setHealth, f, entry)
			}
		}
		for r, entry := range have.entries(setRanges, f) {
			if r.Net2 = (netip.Prefix{}); of[r] != nil {
				of[r].entry(setRanges, f, entry)
			}
		}
		if len(of) > 0 {
			layoutFamily(c, want, f)
		}
	}
	for _, s := range kept {
		s.layout(want)
	}
	return kept
}

func keepTuple(c *config, have, kept *state, key ipvs.Key) {
	f := key.Family()
	e := tuple(key)
	for id := setLedger; id < numSets; id++ {
		if id == setHealth {
			continue // it may be another service's
		}
		if entry, ok := have.entries(id, f)[e]; ok {
			kept.entry(id, f, entry)
		}
	}
	host := ipset.EntryKey{Net: ipset.Host(key.Addr)}
	if entry, ok := have.entries(setAddresses, f)[host]; ok {
		kept.entry(setAddresses, f, entry)
		kept.address(dummy.Address{Addr: key.Addr, Means: c.Means})
	}
	keepServer(have, kept, key, key.Protocol)
	if mark := have.entries(setLocal, f)[e].Mark; mark != 0 {
		keepServer(have, kept, ipvs.MarkKey(f, mark), key.Protocol)
	}
}

func keepServer(have, kept *state, key ipvs.Key, p vipkit.Protocol) {
	server, ok := have.servers[key]
	if !ok {
		return
	}
	kept.servers[key] = server
	for d := range server.Destinations {
		if entry, ok := have.entries(setHairpin, key.Family())[hairpin(d.Addr, p, d.Port)]; ok {
			kept.entry(setHairpin, key.Family(), entry)
		}
	}
}

// sortedKeys returns the keys of m in the order of their text's parts.
func sortedKeys[V any](m map[ipvs.Key]V) []ipvs.Key {
	keys := make([]ipvs.Key, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sortKeys(keys)
	return keys
}

func sortKeys(keys []ipvs.Key) { slices.SortFunc(keys, compareKeys) }

func compareKeys(a, b ipvs.Key) int {
	return cmp.Or(cmp.Compare(a.Mark, b.Mark), a.Addr.Compare(b.Addr), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
}
