package main

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/kerneltest/oracle"
	"github.com/vipkit/vipkit/proxier"
	"github.com/vipkit/vipkit/proxier/kube"
)

// The links of the node.
const (
	uplink  = "eth0"
	podLink = "pods"
)

// neighbourhood is the world around the node as far as a dump tells, and as it
// mostly is for what a dump does not tell.
type neighbourhood struct {
	oracle.Network
	node kube.Node
	// taken are the addresses that somebody has: nodes, endpoints, services.
	taken map[netip.Addr]bool
	// gateway is the link's address for pods, by family.
	gateway map[vipkit.Family]netip.Addr
}

// around returns the neighbourhood of the cluster's node. Addresses of other nodes
// that cannot be read are added to the cluster's faults.
func (h *host) around() *neighbourhood {
	n := &neighbourhood{
		node:  h.Node,
		taken: make(map[netip.Addr]bool), gateway: make(map[vipkit.Family]netip.Addr),
	}
	var others []kube.Node
	for _, name := range h.Objects.NodeNames() {
		node, err := h.Objects.Node(name)
		h.Faults.Add(err)
		for _, a := range node.Addresses {
			n.taken[a] = true
		}
		if name != h.Node.Name {
			others = append(others, node)
		}
	}
	for _, s := range h.Services {
		for _, e := range s.Endpoints {
			n.taken[e.Addr] = true
		}
		for _, f := range s.Frontends {
			n.taken[f.Addr] = true
		}
	}
	for _, f := range []vipkit.Family{vipkit.IPv4, vipkit.IPv6} {
		router := n.addUplink(f)
		n.addPods(f, h.Services)
		n.addOthers(f, others, router)
	}
	return n
}

// addUplink puts the node's addresses on a link with a default route, and returns
// the router; none where the node has no address.
func (n *neighbourhood) addUplink(f vipkit.Family) (router netip.Addr) {
	for _, a := range n.node.Addresses {
		if vipkit.FamilyOf(a) != f {
			continue
		}
		r := n.addUplinkAddr(a)
		if !router.IsValid() {
			router = r
			n.Routes = append(n.Routes, oracle.Route{To: everywhere(f), Via: router, Link: uplink})
		}
	}
	return router
}

// addUplinkAddr adds an address of the node, and returns another one of its
// network.
func (n *neighbourhood) addUplinkAddr(a netip.Addr) (router netip.Addr) {
	bits := 24
	if a.Is6() {
		bits = 64
	}
	p := netip.PrefixFrom(a, bits)
	n.AddAddr(uplink, p)
	return n.free(p.Masked().Addr(), p)
}

// assume gives the node an address in each family in which it has none.
func (n *neighbourhood) assume() {
	for _, a := range []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")} {
		if f := vipkit.FamilyOf(a); !n.has(f) {
			n.Routes = append(n.Routes, oracle.Route{To: everywhere(f), Via: n.addUplinkAddr(a), Link: uplink})
		}
	}
}

// has reports whether the node has an address of a family.
func (n *neighbourhood) has(f vipkit.Family) bool {
	return slices.ContainsFunc(n.node.Addresses, func(a netip.Addr) bool { return vipkit.FamilyOf(a) == f })
}

func everywhere(f vipkit.Family) netip.Prefix {
	if f == vipkit.IPv4 {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// addPods routes the node's pods to links of their own, which are one here. The
// node's address on them is the first one.
func (n *neighbourhood) addPods(f vipkit.Family, services []proxier.Service) {
	for _, p := range n.node.PodCIDRs {
		if vipkit.FamilyOf(p.Addr()) != f {
			continue
		}
		if !n.gateway[f].IsValid() {
			if a := n.free(p.Masked().Addr(), p); a.IsValid() {
				n.gateway[f], n.taken[a] = a, true
				n.AddAddr(podLink, single(a))
			}
		}
		n.Routes = append(n.Routes, oracle.Route{To: p.Masked(), Link: podLink})
	}
	for _, s := range services {
		for _, e := range s.Endpoints {
			if e.Local && vipkit.FamilyOf(e.Addr) == f {
				n.addPod(e.Addr)
			}
		}
	}
}

// addPod routes to a pod of the node, if none of the routes there are does.
func (n *neighbourhood) addPod(a netip.Addr) {
	if !n.isPod(a) && !n.own(a) {
		n.Routes = append(n.Routes, oracle.Route{To: single(a), Link: podLink})
	}
}

// addOthers routes to the pods of other nodes by way of those, or of the router
// where they are not on the link.
func (n *neighbourhood) addOthers(f vipkit.Family, others []kube.Node, router netip.Addr) {
	if !router.IsValid() {
		return
	}
	for _, node := range others {
		via := router
		for _, a := range slices.Backward(node.Addresses) {
			if vipkit.FamilyOf(a) == f && n.onUplink(a) {
				via = a
			}
		}
		for _, p := range node.PodCIDRs {
			if vipkit.FamilyOf(p.Addr()) == f {
				n.Routes = append(n.Routes, oracle.Route{To: p.Masked(), Via: via, Link: uplink})
			}
		}
	}
}

func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// free returns the first address of a network after another one that nobody has;
// none if there is none.
func (n *neighbourhood) free(after netip.Addr, in netip.Prefix) netip.Addr {
	for a := after.Next(); a.IsValid() && in.Contains(a); a = a.Next() {
		if !n.taken[a] {
			return a
		}
	}
	return netip.Addr{}
}

// lines returns the network in the words of ip -batch.
func (n *neighbourhood) lines() []string {
	return strings.Split(strings.TrimSuffix(n.String(), "\n"), "\n")
}

// own reports whether an address is the node's on one of its links.
func (n *neighbourhood) own(a netip.Addr) bool {
	for _, l := range n.Links {
		for _, p := range l.Addrs {
			if p.Addr() == a {
				return true
			}
		}
	}
	return false
}

// isPod reports whether an address is that of a pod of the node.
func (n *neighbourhood) isPod(a netip.Addr) bool {
	return !n.own(a) && slices.ContainsFunc(n.Routes, func(r oracle.Route) bool {
		return r.Link == podLink && r.To.Contains(a)
	})
}

func (n *neighbourhood) onUplink(a netip.Addr) bool {
	for _, l := range n.Links {
		for _, p := range l.Addrs {
			if l.Name == uplink && p.Contains(a) {
				return true
			}
		}
	}
	return false
}

// pod returns an address for a pod of the node that nobody has.
func (n *neighbourhood) pod(f vipkit.Family) (netip.Addr, bool) {
	for _, p := range n.node.PodCIDRs {
		if vipkit.FamilyOf(p.Addr()) == f {
			a := n.free(p.Masked().Addr(), p)
			return a, a.IsValid()
		}
	}
	return netip.Addr{}, false
}

// documentation are networks that nobody has (RFC 5737, RFC 3849), from the
// address that an outsider would get.
var documentation = map[vipkit.Family][]netip.Prefix{
	vipkit.IPv4: {netip.MustParsePrefix("198.51.100.9/24"), netip.MustParsePrefix("203.0.113.9/24"), netip.MustParsePrefix("192.0.2.9/24")},
	vipkit.IPv6: {netip.MustParsePrefix("2001:db8:99::9/120"), netip.MustParsePrefix("2001:db8:98::9/120")},
}

// outsider returns an address of somebody beyond the node that nobody has; if
// there are networks, one of theirs.
func (n *neighbourhood) outsider(f vipkit.Family, within []netip.Prefix) (netip.Addr, bool) {
	inside := func(a netip.Addr) bool {
		return len(within) == 0 || slices.ContainsFunc(within, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	for _, p := range documentation[f] {
		for a := p.Addr(); p.Contains(a); a = a.Next() {
			if inside(a) && !n.taken[a] && !n.isPod(a) && !n.onUplink(a) {
				return a, true
			}
		}
	}
	for _, p := range within {
		if vipkit.FamilyOf(p.Addr()) != f {
			continue
		}
		for a := p.Masked().Addr(); a.IsValid() && p.Contains(a); {
			if i := slices.IndexFunc(n.node.PodCIDRs, func(pods netip.Prefix) bool { return pods.Contains(a) }); i >= 0 {
				a = last(n.node.PodCIDRs[i]).Next()
				continue
			}
			if !n.taken[a] && !n.isPod(a) {
				return a, true
			}
			a = a.Next()
		}
	}
	return netip.Addr{}, false
}

// last returns the last address of a network.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b) // of a length that addresses have
	return a
}
