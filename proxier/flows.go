package proxier

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
	"github.com/vipkit/vipkit/ipvs"
)

// staleFlows returns which tracked flows a change leaves without a destination,
// or with an outdated decision about source NAT: those of UDP, which has no end
// that connection tracking could see. byMark is [state.tuplesByMark].
func staleFlows(byMark map[ipvs.Key][]ipvs.Key, change ipvs.Change) []conntrack.Match {
	var endpoint netip.AddrPort
	if change.Op == ipvs.DeleteDestination {
		endpoint = netip.AddrPortFrom(change.Destination.Addr, change.Destination.Port)
	}
	tuples := []ipvs.Key{change.Service.Key}
	if change.Service.Mark != 0 {
		tuples = byMark[change.Service.Key]
	}
	var stale []conntrack.Match
	for _, key := range tuples {
		stale = append(stale, staleTuple(key, endpoint)...)
	}
	return stale
}

// staleTuple returns the flows of a tuple to one endpoint, or with the zero value
// to all, if it is one of UDP.
func staleTuple(key ipvs.Key, endpoint netip.AddrPort) []conntrack.Match {
	if key.Protocol != vipkit.UDP {
		return nil
	}
	return []conntrack.Match{{Protocol: vipkit.UDP, OriginalDst: netip.AddrPortFrom(key.Addr, key.Port), ReplySrc: endpoint}}
}

// tuplesByMark returns the tuples whose entries send packets to each virtual
// server by mark.
func (s *state) tuplesByMark() map[ipvs.Key][]ipvs.Key {
	byMark := make(map[ipvs.Key][]ipvs.Key)
	for _, f := range families {
		for e, entry := range s.entries(setLocal, f) {
			mark := ipvs.MarkKey(f, entry.Mark)
			byMark[mark] = append(byMark[mark], keyOf(e))
		}
	}
	return byMark
}

// compactFlows returns the matches sorted and each once, and without those that
// one for every endpoint of their tuple stands for.
func compactFlows(flows []conntrack.Match) []conntrack.Match {
	sorted := slices.Clone(flows)
	slices.SortFunc(sorted, func(a, b conntrack.Match) int { // one for every endpoint comes first
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), a.OriginalDst.Compare(b.OriginalDst), a.ReplySrc.Compare(b.ReplySrc))
	})
	var compact []conntrack.Match
	for _, m := range sorted {
		if n := len(compact); n > 0 {
			last := compact[n-1]
			every := last
			every.ReplySrc = m.ReplySrc
			if m == last || m == every && !last.ReplySrc.IsValid() {
				continue
			}
		}
		compact = append(compact, m)
	}
	return compact
}
