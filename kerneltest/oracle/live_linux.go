package oracle

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// ReadNetwork reads the network of a namespace, given by its path ("" is the
// current one): the global addresses of links that are up, and the unicast routes
// of table main. The named dummy link and the loopback link are left out. Of a
// route with several ways it takes the first.
func ReadNetwork(namespace, link string) (Network, error) {
	n, err := readNetwork(namespace, link)
	if err != nil {
		return Network{}, fmt.Errorf("oracle: read network: %w", err)
	}
	return n, nil
}

func readNetwork(namespace, link string) (n Network, err error) {
	h, err := handleAt(namespace)
	if err != nil {
		return n, err
	}
	defer h.Close()
	links, err := h.LinkList()
	if err != nil {
		return n, err
	}
	names := make(map[int]string)
	for _, l := range links {
		a := l.Attrs()
		if a.Name == link || a.Flags&net.FlagLoopback != 0 || a.Flags&net.FlagUp == 0 {
			continue
		}
		names[a.Index] = a.Name
		addrs, err := h.AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			return n, err
		}
		for _, addr := range addrs {
			if p, ok := prefixOf(addr.IPNet); ok && addr.Scope == unix.RT_SCOPE_UNIVERSE {
				n.AddAddr(a.Name, p)
			}
		}
	}
	routes, err := h.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return n, err
	}
	for _, r := range routes {
		if way, ok := routeOf(r, names); ok {
			n.Routes = append(n.Routes, way)
		}
	}
	return n, nil
}

func handleAt(namespace string) (*netlink.Handle, error) {
	if namespace == "" {
		return netlink.NewHandle(unix.NETLINK_ROUTE)
	}
	ns, err := netns.GetFromPath(namespace)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	return netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
}

// routeOf returns a route to where packets of services may go.
func routeOf(r netlink.Route, names map[int]string) (Route, bool) {
	if len(r.MultiPath) > 0 {
		r.LinkIndex, r.Gw = r.MultiPath[0].LinkIndex, r.MultiPath[0].Gw
	}
	name, known := names[r.LinkIndex]
	if !known || r.Type != unix.RTN_UNICAST {
		return Route{}, false
	}
	way := Route{Link: name}
	if gateway, ok := netip.AddrFromSlice(r.Gw); ok {
		way.Via = gateway.Unmap()
	}
	to, ok := prefixOf(r.Dst)
	if !ok {
		all := netip.IPv4Unspecified()
		if r.Family == unix.AF_INET6 {
			all = netip.IPv6Unspecified()
		}
		to = netip.PrefixFrom(all, 0)
	}
	way.To = to
	return way, !to.Addr().IsLinkLocalUnicast() && !to.Addr().IsMulticast()
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits), ok
}
