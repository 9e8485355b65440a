//go:build linux

package realserver_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/realserver"
)

// Of all hosts that have the virtual addresses the director alone answers who asks
// for them on the network, ARP and neighbour discovery; without quiet ARP a real
// server does too, and by asking for others it takes the address over.
func TestKernelQuiet(t *testing.T) {
	requireWorld(t)
	w := newWorld(t)
	director := w.mac(t, "director")
	for _, rs := range []string{"rs1", "rs2"} {
		_, err := realserver.Prepare(t.Context(), w.hosts[rs].Path(), config(rs, ipvs.Destination{Forward: ipvs.Direct}))
		require.NoError(t, err)
		w.serve(t, rs, vips[:]...)
	}
	for _, vip := range vips {
		require.Equal(t, director, w.whoHas(t, "client", vip))
		for protocol, key := range keys(vip) {
			w.virtualServer(t, key, ipvs.Destination{Forward: ipvs.Direct}, members["rs1"][family(vip)], members["rs2"][family(vip)])
			for _, rs := range []string{"rs1", "rs2"} {
				w.hosts[rs].Run(t, "ip", "neigh", "flush", "dev", "eth0")
			}
			// The real servers have to ask for the client to answer it.
			require.Equal(t, both, w.askAll("client", protocol, netip.AddrPortFrom(vip, port), 1))
			require.Equal(t, director, w.neighbour(t, "client", vip))
		}
	}

	// With the director gone nobody answers.
	w.hosts["director"].Run(t, "ip", "addr", "del", vips[0].String()+"/32", "dev", "vip")
	w.hosts["director"].Run(t, "ip", "addr", "del", vips[1].String()+"/128", "dev", "eth0")
	for _, vip := range vips {
		require.Empty(t, w.whoHas(t, "client", vip), "%v", vip)
	}

	// What the parameters are for: without them this real server answers.
	w.hosts["rs2"].Run(t, "ip", "link", "set", "eth0", "down")
	w.hosts["rs1"].Sysctl(t, "net.ipv4.conf.all.arp_ignore", "0")
	require.Equal(t, w.mac(t, "rs1"), w.whoHas(t, "client", vips[0]))
	// 3 of the link means 3 of all, and that is not quiet.
	w.hosts["rs1"].Sysctl(t, "net.ipv4.conf.all.arp_ignore", "1")
	w.hosts["rs1"].Sysctl(t, "net.ipv4.conf.eth0.arp_ignore", "3")
	require.Equal(t, w.mac(t, "rs1"), w.whoHas(t, "client", vips[0]))
	report, err := realserver.Prepare(t.Context(), w.hosts["rs1"].Path(), config("rs1", ipvs.Destination{Forward: ipvs.Direct}))
	require.NoError(t, err)
	require.Contains(t, report.Done, "sysctl -w net.ipv4.conf.eth0.arp_ignore=1")
	require.Empty(t, w.whoHas(t, "client", vips[0]))
}

func family(a netip.Addr) int {
	if a.Is6() {
		return 1
	}
	return 0
}

// neighbour returns the link address that a host has for an address, without asking.
func (w *world) neighbour(t *testing.T, host string, addr netip.Addr) string {
	t.Helper()
	neighbours, err := w.hosts[host].Handle().NeighList(0, netlink.FAMILY_ALL)
	require.NoError(t, err)
	for _, n := range neighbours {
		if got, ok := netip.AddrFromSlice(n.IP); ok && got.Unmap() == addr {
			return n.HardwareAddr.String()
		}
	}
	return ""
}
