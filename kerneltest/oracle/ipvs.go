package oracle

import (
	"net/netip"
	"slices"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/ipvs"
)

// server returns the virtual server that takes a packet, or nil: by mark, by
// address and port, by address alone (ip_vs_ctl.c, ip_vs_service_find).
func (s *Snapshot) server(p *packet) *server {
	if p.mark != 0 {
		if v := s.servers[ipvs.MarkKey(p.family, p.mark)]; v != nil {
			return v
		}
	}
	key := ipvs.Key{Protocol: p.protocol, Addr: p.dst.Addr(), Port: p.dst.Port()}
	if v := s.servers[key]; v != nil {
		return v
	}
	key.Port = 0
	return s.servers[key]
}

func (v *server) sort() {
	slices.SortFunc(v.destinations, func(a, b ipvs.DestinationInfo) int {
		return netip.AddrPortFrom(a.Addr, a.Port).Compare(netip.AddrPortFrom(b.Addr, b.Port))
	})
}

// has reports whether a virtual server, which may be nil, has a destination.
func (v *server) has(key ipvs.DestKey) bool {
	return v != nil && slices.ContainsFunc(v.destinations, func(d ipvs.DestinationInfo) bool { return d.DestKey == key })
}

// schedule picks a destination for a packet.
func (w *walk) schedule(v *server) (ipvs.DestinationInfo, bool) {
	if w.known != nil {
		for _, d := range v.destinations {
			if d.DestKey == w.known.Destination {
				return d, true
			}
		}
	}
	could := v.candidates()
	if len(could) == 0 {
		return ipvs.DestinationInfo{}, false
	}
	return w.pick(v, could), true
}

// candidates are the destinations that a scheduler could give a new connection.
func (v *server) candidates() []ipvs.DestinationInfo {
	var could []ipvs.DestinationInfo
	heaviest := uint32(0)
	for _, d := range v.destinations {
		if d.Weight > 0 && !overloaded(d) {
			could = append(could, d)
			heaviest = max(heaviest, d.Weight)
		}
	}
	if v.Scheduler == "fo" {
		could = slices.DeleteFunc(could, func(d ipvs.DestinationInfo) bool { return d.Weight < heaviest })
	}
	return could
}

// overloaded is IP_VS_DEST_F_OVERLOAD: the upper threshold is reached.
func overloaded(d ipvs.DestinationInfo) bool {
	return d.Upper != 0 && d.Active+d.Inactive >= d.Upper
}

// boundAddress reports whether the host holds an address as such, and not only
// as a route of type local.
func (s *Snapshot) boundAddress(a netip.Addr) bool {
	if s.network.holds(a) {
		return true
	}
	means, ok := s.virtual[a]
	return ok && means == dummy.ByAddress
}

// forwards reports whether the host forwards packets of a family.
func (s *Snapshot) forwards(f vipkit.Family) bool {
	if f == vipkit.IPv6 {
		return s.on(forwarding6)
	}
	return s.on(forwarding4)
}
