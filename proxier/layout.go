package proxier

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/ipvs"
)

// sink takes the kernel objects that services want.
type sink interface {
	entry(id setID, f vipkit.Family, e ipset.Entry)
	address(a dummy.Address)
	// server gets the virtual server made if it wants it.
	server(key ipvs.Key, make func() ipvs.Server)
}

// layout returns the kernel objects that the services want. The services are
// valid and no two claim one tuple; marks has one for each service that
// [needsMark]. Nothing at all is wanted of a family that no frontend has.
func layout(c *config, services []Service, marks map[string]uint32) *state {
	s := newState()
	for _, f := range families {
		if c.usesFamily(services, f) {
			layoutFamily(c, s, f)
		}
	}
	for _, svc := range services {
		layoutService(c, s, svc, marks[svc.Name])
	}
	return s
}

// usesFamily reports whether any service is to be found at an address of f.
func (c *config) usesFamily(services []Service, f vipkit.Family) bool {
	for _, svc := range services {
		for _, fe := range svc.Frontends {
			if vipkit.FamilyOf(fe.Addr) == f && len(c.addressesOf(fe)) > 0 {
				return true
			}
		}
	}
	return false
}

// layoutFamily wants what is there for all services of a family together.
func layoutFamily(c *config, s *state, f vipkit.Family) {
	i := familyIndex(f)
	if s.rules[i].chains != nil {
		return // it does so already
	}
	s.link = true
	for id := range numSets {
		s.sets[id][i] = &set{Set: c.set(id, f), entries: make(map[ipset.EntryKey]ipset.Entry)}
	}
	putNets(s, setPods, f, c.PodCIDRs)
	putNets(s, setClusterNets, f, c.ClusterCIDRs)
	s.rules[i] = c.rulesets[i]
}

func putNets(s *state, id setID, f vipkit.Family, nets []netip.Prefix) {
	for _, n := range nets {
		if vipkit.FamilyOf(n.Addr()) != f {
			continue
		}
		for _, half := range ipset.SplitDefault(n) {
			s.entry(id, f, ipset.Entry{EntryKey: ipset.EntryKey{Net: half}})
		}
	}
}

// layoutService wants what one service is made of.
func layoutService(c *config, to sink, svc Service, mark uint32) {
	for _, fe := range svc.Frontends {
		f := vipkit.FamilyOf(fe.Addr)
		chosen := choose(svc, f, fe.Kind)
		addrs := c.addressesOf(fe)
		for _, addr := range addrs {
			key := ipvs.Key{Protocol: svc.Protocol, Addr: addr, Port: fe.Port}
			layoutFrontend(c, to, svc, fe.Kind, key, chosen, mark)
		}
		if len(addrs) > 0 && len(chosen.outside) > 0 {
			layoutServer(c, to, svc, ipvs.MarkKey(f, mark), chosen.outside)
		}
	}
}

// tuples calls yield for every address, protocol and port that the service
// wants, with the frontend's index.
func (c *config) tuples(svc Service, yield func(frontend int, key ipvs.Key)) {
	for i, fe := range svc.Frontends {
		for _, addr := range c.addressesOf(fe) {
			yield(i, ipvs.Key{Protocol: svc.Protocol, Addr: addr, Port: fe.Port})
		}
	}
}

// addressesOf returns the addresses at which a frontend answers.
func (c *config) addressesOf(fe Frontend) []netip.Addr {
	if fe.Kind != NodePort && !fe.Addr.IsUnspecified() {
		return []netip.Addr{fe.Addr}
	}
	of := c.NodeAddresses
	if fe.Kind == HostPort {
		of = c.HostAddresses
	}
	var addrs []netip.Addr
	for _, a := range of {
		if vipkit.FamilyOf(a) == vipkit.FamilyOf(fe.Addr) {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// layoutFrontend wants one virtual server at an address and the entries of its
// tuple.
func layoutFrontend(c *config, to sink, svc Service, kind FrontendKind, key ipvs.Key, chosen choice, mark uint32) {
	f := key.Family()
	at := ipset.Entry{EntryKey: tuple(key)}
	named := at
	named.Comment = svc.Name
	to.entry(setLedger, f, named)
	to.entry(setOpen, f, at)
	if kind.virtual() {
		to.entry(setAddresses, f, ipset.Entry{EntryKey: ipset.EntryKey{Net: ipset.Host(key.Addr)}})
		to.address(dummy.Address{Addr: key.Addr, Means: c.Means})
	}
	if kind == LoadBalancerIP && svc.HealthCheckPort != 0 {
		to.entry(setHealth, f, ipset.Entry{EntryKey: ipset.Key(key.Addr, vipkit.TCP, svc.HealthCheckPort)})
	}
	if kind == LoadBalancerIP && len(svc.SourceRanges) > 0 {
		layoutRanges(c, to, svc.SourceRanges, key)
	}
	if chosen.drop {
		to.entry(setDrop, f, at)
	}
	switch {
	case svc.Forward == FullNAT:
		to.entry(setExternal, f, at)
	case kind == ClusterIP && svc.Forward.translates():
		to.entry(setCluster, f, at)
	case kind == ClusterIP:
	case svc.External == Cluster && svc.Forward.translates():
		to.entry(setExternal, f, at)
	case svc.External == Cluster:
	case len(chosen.outside) > 0:
		at.Mark, at.MarkMask = mark, ^uint32(0)
		to.entry(setLocal, f, at)
	case len(chosen.endpoints) > 0:
		to.entry(setAbsent, f, at)
	}
	layoutServer(c, to, svc, key, chosen.endpoints)
}

// layoutRanges wants the entries that keep everybody else out of a tuple. The
// host itself comes from the virtual address, so that address may use the tuple
// if a range holds an address of the node.
func layoutRanges(c *config, to sink, ranges []netip.Prefix, key ipvs.Key) {
	f := key.Family()
	e := tuple(key)
	to.entry(setRanged, f, ipset.Entry{EntryKey: e})
	for _, r := range ranges {
		if vipkit.FamilyOf(r.Addr()) != f {
			continue
		}
		for _, half := range ipset.SplitDefault(r) {
			e.Net2 = half
			to.entry(setRanges, f, ipset.Entry{EntryKey: e})
		}
		for _, node := range c.HostAddresses {
			if r.Contains(node) {
				e.Net2 = ipset.Host(key.Addr)
				to.entry(setRanges, f, ipset.Entry{EntryKey: e})
			}
		}
	}
}

// layoutServer wants a virtual server with the endpoints as destinations, and the
// hairpin entries of those that are on this node.
func layoutServer(c *config, to sink, svc Service, key ipvs.Key, endpoints []Endpoint) {
	f := key.Family()
	for _, e := range endpoints {
		if e.Local && svc.Forward.translates() {
			to.entry(setHairpin, f, ipset.Entry{EntryKey: hairpin(e.Addr, svc.Protocol, e.Port)})
		}
	}
	to.server(key, func() ipvs.Server {
		v := ipvs.Server{
			Service: ipvs.Service{
				Key:             key,
				Scheduler:       cmp.Or(svc.Scheduler, c.Scheduler),
				Flags:           svc.Flags,
				Timeout:         svc.Affinity.Timeout,
				PersistenceBits: uint8(key.Addr.BitLen()),
			},
			Destinations: make(map[ipvs.DestKey]ipvs.Destination, len(endpoints)),
		}
		if bits := svc.Affinity.bits(f); v.Timeout != 0 && bits != 0 {
			v.PersistenceBits = bits
		}
		if key.Mark != 0 && v.Timeout != 0 && svc.translatesPort() {
			v.Scheduler, v.Flags, v.Timeout, v.PersistenceBits = "sh", ipvs.Sched1, 0, uint8(key.Addr.BitLen())
		}
		for _, e := range endpoints {
			d := ipvs.DestKey{Addr: e.Addr, Port: e.Port}
			if key.Mark != 0 && !svc.Forward.translates() {
				d.Port = 0 // what the packet has
			}
			v.Destinations[d] = ipvs.Destination{
				DestKey: d, Weight: e.Weight, Upper: e.Upper, Lower: e.Lower,
				Forward: svc.Forward.method(), Tunnel: svc.Tunnel,
			}
		}
		return v
	})
}

// method is the forwarding method of IPVS.
func (f Forward) method() ipvs.Forward {
	switch f {
	case Direct:
		return ipvs.Direct
	case Tunnel:
		return ipvs.Tunnel
	case Masquerade, FullNAT:
	}
	return ipvs.Masquerade
}

// hairpin returns the entry of an endpoint that may meet itself.
func hairpin(a netip.Addr, p vipkit.Protocol, port uint16) ipset.EntryKey {
	k := ipset.Key(a, p, port)
	k.Net2 = k.Net
	return k
}

// translatesPort reports whether some endpoint has another port than some
// external frontend. Persistence of a virtual server by mark does not: it sends
// clients to the port that they asked for
// (net/netfilter/ipvs/ip_vs_core.c, ip_vs_sched_persist).
func (s Service) translatesPort() bool {
	for _, f := range s.Frontends {
		if f.Kind != ClusterIP && slices.ContainsFunc(s.Endpoints, func(e Endpoint) bool { return e.Port != f.Port }) {
			return true
		}
	}
	return false
}

func (a Affinity) bits(f vipkit.Family) uint8 {
	if f == vipkit.IPv4 {
		return a.Bits4
	}
	return a.Bits6
}
