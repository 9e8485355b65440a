package oracle

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vipkit/vipkit"
)

// Network is what the host knows of the world around it: its links with their
// addresses, and its routes. Virtual addresses are not part of it.
type Network struct {
	Links  []Link
	Routes []Route
}

// Link is a link of the host that is up.
type Link struct {
	Name string
	// Addrs are the host's addresses on it, with the prefix that is reached
	// without a gateway, in the kernel's order: the first is the primary one.
	Addrs []netip.Prefix
}

// Route is a way to a destination. It is comparable.
type Route struct {
	To   netip.Prefix
	Via  netip.Addr // not valid: directly
	Link string
}

// ParseNetwork reads a network in the words of ip -batch, a line each:
//
//	addr add 198.51.100.1/24 dev eth0
//	route add 10.244.1.0/24 via 198.51.100.2 dev eth0
//	route add 10.244.0.5/32 dev pod5
//
// Empty lines, and those that begin with '#', are passed over.
func ParseNetwork(text string) (Network, error) {
	var n Network
	for i, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if err := n.parse(words); err != nil {
			return Network{}, fmt.Errorf("line %d: %q: %w", i+1, line, err)
		}
	}
	return n, nil
}

func (n *Network) parse(words []string) error {
	if words[0] == "ip" {
		words = words[1:]
	}
	if len(words) == 5 && words[0] == "addr" && words[1] == "add" && words[3] == "dev" {
		p, err := netip.ParsePrefix(words[2])
		if err != nil {
			return err
		}
		n.AddAddr(words[4], p)
		return nil
	}
	if len(words) < 5 || words[0] != "route" || words[1] != "add" {
		return fmt.Errorf("want: addr add ADDRESS/LEN dev LINK, or route add PREFIX [via ADDRESS] dev LINK")
	}
	r := Route{}
	var err error
	if r.To, err = netip.ParsePrefix(words[2]); err != nil {
		return err
	}
	rest := words[3:]
	if rest[0] == "via" && len(rest) == 4 {
		if r.Via, err = netip.ParseAddr(rest[1]); err != nil {
			return err
		}
		rest = rest[2:]
	}
	if len(rest) != 2 || rest[0] != "dev" {
		return fmt.Errorf("want: route add PREFIX [via ADDRESS] dev LINK")
	}
	r.Link = rest[1]
	n.Routes = append(n.Routes, r)
	return nil
}

// AddAddr adds an address to a link, which is made if it is not there.
func (n *Network) AddAddr(link string, p netip.Prefix) {
	i := slices.IndexFunc(n.Links, func(l Link) bool { return l.Name == link })
	if i < 0 {
		n.Links = append(n.Links, Link{Name: link})
		i = len(n.Links) - 1
	}
	n.Links[i].Addrs = append(n.Links[i].Addrs, p)
}

// String returns the network as [ParseNetwork] reads it.
func (n Network) String() string {
	var b strings.Builder
	for _, l := range n.Links {
		for _, p := range l.Addrs {
			fmt.Fprintf(&b, "addr add %v dev %s\n", p, l.Name)
		}
	}
	for _, r := range n.Routes {
		fmt.Fprintf(&b, "route add %v ", r.To)
		if r.Via.IsValid() {
			fmt.Fprintf(&b, "via %v ", r.Via)
		}
		fmt.Fprintf(&b, "dev %s\n", r.Link)
	}
	return b.String()
}

// holds reports whether an address is the host's own, virtual ones aside.
func (n Network) holds(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	for _, l := range n.Links {
		for _, p := range l.Addrs {
			if p.Addr() == a {
				return true
			}
		}
	}
	return false
}

// lookup returns the most specific route to an address.
func (n Network) lookup(to netip.Addr) (best Route, ok bool) {
	better := func(r Route) {
		if r.To.Contains(to) && (!ok || r.To.Bits() > best.To.Bits()) {
			best, ok = r, true
		}
	}
	for _, l := range n.Links {
		for _, p := range l.Addrs {
			better(Route{To: p.Masked(), Link: l.Name})
		}
	}
	for _, r := range n.Routes {
		better(r)
	}
	return best, ok
}

// sourceFor returns the address that the host puts on what leaves by a route:
// of the link's addresses the first that shares a subnet with the next hop,
// else the first (net/ipv4/devinet.c, inet_select_addr), else the first of any
// other link.
func (n Network) sourceFor(r Route, to netip.Addr) netip.Addr {
	f := vipkit.FamilyOf(to)
	hop := to
	if r.Via.IsValid() {
		hop = r.Via
	}
	var first, elsewhere netip.Addr
	for _, l := range n.Links {
		for _, p := range l.Addrs {
			switch {
			case vipkit.FamilyOf(p.Addr()) != f || p.Addr().IsLoopback():
			case l.Name == r.Link && p.Contains(hop):
				return p.Addr()
			case l.Name == r.Link && !first.IsValid():
				first = p.Addr()
			case l.Name != r.Link && !elsewhere.IsValid():
				elsewhere = p.Addr()
			}
		}
	}
	if first.IsValid() {
		return first
	}
	return elsewhere
}

// nearest returns the address of the host that is nearest to an IPv6 address on
// no link (net/ipv6/addrconf.c, ipv6_dev_get_saddr; RFC 6724, rules 6 and 8): one
// that is unique-local too, if it is, then the longest common prefix, which
// counts no further than the address's own.
func (n Network) nearest(to netip.Addr) (best netip.Addr) {
	const sameScope = 256
	score := func(p netip.Prefix) int {
		common := 0
		for a, b := p.Addr().As16(), to.As16(); common < p.Bits() && a[common/8]>>(7-common%8)&1 == b[common/8]>>(7-common%8)&1; {
			common++
		}
		if p.Addr().IsPrivate() == to.IsPrivate() {
			common += sameScope
		}
		return common
	}
	top := -1
	for _, l := range n.Links {
		for _, p := range l.Addrs {
			if p.Addr().Is6() && !p.Addr().IsLoopback() && score(p) > top {
				best, top = p.Addr(), score(p)
			}
		}
	}
	return best
}

// onLink reports whether an address is a neighbour on a link.
func (n Network) onLink(link string, a netip.Addr) bool {
	for _, l := range n.Links {
		if l.Name != link {
			continue
		}
		for _, p := range l.Addrs {
			if p.Contains(a) {
				return true
			}
		}
	}
	return false
}
