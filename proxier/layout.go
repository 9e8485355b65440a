package proxier

import (
	"net/netip"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/ipvs"
)

// layout returns the kernel objects that the services want. The services are
// valid and no two claim one tuple; marks has one for each service that
// [needsMark]. Nothing at all is wanted of a family that no frontend has.
func layout(c *config, services []Service, marks map[string]uint32) *state {
	s := newState()
	for _, f := range families {
		if usesFamily(services, f) {
			layoutFamily(c, s, f)
		}
	}
	for _, svc := range services {
		layoutService(c, s, svc, marks[svc.Name])
	}
	return s
}

func usesFamily(services []Service, f vipkit.Family) bool {
	for _, svc := range services {
		for _, fe := range svc.Frontends {
			if vipkit.FamilyOf(fe.Addr) == f {
				return true
			}
		}
	}
	return false
}

// layoutFamily wants what is there for all services of a family together.
func layoutFamily(c *config, s *state, f vipkit.Family) {
	s.link = true
	i := familyIndex(f)
	for id := range numSets {
		s.sets[id][i] = &set{Set: c.set(id, f), entries: make(map[ipset.EntryKey]ipset.Entry)}
	}
	putNets(s, setPods, f, c.PodCIDRs)
	putNets(s, setClusterNets, f, c.ClusterCIDRs)
	s.rules[i] = c.rules(f)
}

func putNets(s *state, id setID, f vipkit.Family, nets []netip.Prefix) {
	for _, n := range nets {
		if vipkit.FamilyOf(n.Addr()) != f {
			continue
		}
		for _, half := range ipset.SplitDefault(n) {
			s.put(id, f, ipset.Entry{EntryKey: ipset.EntryKey{Net: half}})
		}
	}
}

// layoutService wants what one service is made of.
func layoutService(c *config, s *state, svc Service, mark uint32) {
	for _, fe := range svc.Frontends {
		f := vipkit.FamilyOf(fe.Addr)
		chosen := choose(svc, f, fe.Kind)
		for _, addr := range c.addressesOf(fe) {
			key := ipvs.Key{Protocol: svc.Protocol, Addr: addr, Port: fe.Port}
			layoutFrontend(c, s, svc, fe.Kind, key, chosen, mark)
		}
		if fe.Kind != ClusterIP && chosen.outside != nil && mark != 0 {
			s.addServer(c, svc, ipvs.MarkKey(f, mark), chosen.outside)
		}
	}
}

// addressesOf returns the addresses at which a frontend answers.
func (c *config) addressesOf(fe Frontend) []netip.Addr {
	if fe.Kind != NodePort {
		return []netip.Addr{fe.Addr}
	}
	var addrs []netip.Addr
	for _, a := range c.NodeAddresses {
		if vipkit.FamilyOf(a) == vipkit.FamilyOf(fe.Addr) {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// layoutFrontend wants one virtual server at an address and the entries of its
// tuple.
func layoutFrontend(c *config, s *state, svc Service, kind FrontendKind, key ipvs.Key, chosen choice, mark uint32) {
	f := key.Family()
	at := ipset.Entry{EntryKey: tuple(key)}
	named := at
	named.Comment = svc.Name
	s.put(setLedger, f, named)
	s.put(setOpen, f, at)
	if kind != NodePort {
		s.put(setAddresses, f, ipset.Entry{EntryKey: ipset.EntryKey{Net: ipset.Host(key.Addr)}})
		s.addresses[dummy.Address{Addr: key.Addr, Means: c.Means}] = true
	}
	if kind == LoadBalancerIP && len(svc.SourceRanges) > 0 {
		layoutRanges(c, s, svc.SourceRanges, key)
	}
	if chosen.drop {
		s.put(setDrop, f, at)
	}
	switch {
	case kind == ClusterIP:
		s.put(setCluster, f, at)
	case svc.External == Cluster:
		s.put(setExternal, f, at)
	case chosen.outside != nil:
		at.Mark, at.MarkMask = mark, ^uint32(0)
		s.put(setLocal, f, at)
	case len(chosen.endpoints) > 0:
		at.Mark, at.MarkMask = c.dropMark, ^uint32(0)
		s.put(setLocal, f, at)
	}
	s.addServer(c, svc, key, chosen.endpoints)
}

// layoutRanges wants the entries that keep everybody else out of a tuple. The
// host itself comes from the virtual address, so that address may use the tuple
// if a range holds an address of the node.
func layoutRanges(c *config, s *state, ranges []netip.Prefix, key ipvs.Key) {
	f := key.Family()
	e := tuple(key)
	s.put(setRanged, f, ipset.Entry{EntryKey: e})
	for _, r := range ranges {
		if vipkit.FamilyOf(r.Addr()) != f {
			continue
		}
		for _, half := range ipset.SplitDefault(r) {
			e.Net2 = half
			s.put(setRanges, f, ipset.Entry{EntryKey: e})
		}
		for _, node := range c.NodeAddresses {
			if r.Contains(node) {
				e.Net2 = ipset.Host(key.Addr)
				s.put(setRanges, f, ipset.Entry{EntryKey: e})
			}
		}
	}
}

// addServer wants a virtual server with the endpoints as destinations, and the
// hairpin entries of those that are on this node.
func (s *state) addServer(c *config, svc Service, key ipvs.Key, endpoints []Endpoint) {
	f := key.Family()
	v := ipvs.Server{
		Service: ipvs.Service{
			Key:             key,
			Scheduler:       svc.Scheduler,
			Flags:           svc.Flags,
			Timeout:         svc.Affinity.Timeout,
			PersistenceBits: uint8(key.Addr.BitLen()),
		},
		Destinations: make(map[ipvs.DestKey]ipvs.Destination, len(endpoints)),
	}
	if v.Scheduler == "" {
		v.Scheduler = c.Scheduler
	}
	if bits := svc.Affinity.bits(f); v.Timeout != 0 && bits != 0 {
		v.PersistenceBits = bits
	}
	for _, e := range endpoints {
		d := ipvs.DestKey{Addr: e.Addr, Port: e.Port}
		v.Destinations[d] = ipvs.Destination{DestKey: d, Weight: e.Weight, Upper: e.Upper, Lower: e.Lower}
		if e.Local {
			h := ipset.Key(e.Addr, svc.Protocol, e.Port)
			h.Net2 = h.Net
			s.put(setHairpin, f, ipset.Entry{EntryKey: h})
		}
	}
	s.servers[key] = v
}

func (a Affinity) bits(f vipkit.Family) uint8 {
	if f == vipkit.IPv4 {
		return a.Bits4
	}
	return a.Bits6
}
