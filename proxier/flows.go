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
		if key.Protocol == vipkit.UDP {
			stale = append(stale, conntrack.Match{
				Protocol:    vipkit.UDP,
				OriginalDst: netip.AddrPortFrom(key.Addr, key.Port),
				ReplySrc:    endpoint,
			})
		}
	}
	return stale
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

// compactFlows sorts matches and leaves each once. One for every endpoint of a
// tuple stands for those of single endpoints.
func compactFlows(flows []conntrack.Match) []conntrack.Match {
	slices.SortFunc(flows, func(a, b conntrack.Match) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), a.OriginalDst.Compare(b.OriginalDst), a.ReplySrc.Compare(b.ReplySrc))
	})
	return slices.CompactFunc(flows, func(a, b conntrack.Match) bool {
		return a == b || (a.Protocol == b.Protocol && a.OriginalDst == b.OriginalDst && !a.ReplySrc.IsValid())
	})
}
