//go:build linux

package realserver_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/realserver"
)

// methods are the ways in which packets reach a prepared real server.
var methods = []struct {
	name string
	d    ipvs.Destination
}{
	{"direct", ipvs.Destination{Forward: ipvs.Direct}},
	{"ipip", ipvs.Destination{Forward: ipvs.Tunnel}},
	{"gue", ipvs.Destination{Forward: ipvs.Tunnel, Tunnel: ipvs.TunnelConfig{Type: ipvs.GUE, Port: 5555}}},
	{"gue-checksum", ipvs.Destination{Forward: ipvs.Tunnel, Tunnel: ipvs.TunnelConfig{Type: ipvs.GUE, Port: 5556, Flags: ipvs.TunnelChecksum}}},
	{"gue-remote-checksum", ipvs.Destination{Forward: ipvs.Tunnel, Tunnel: ipvs.TunnelConfig{Type: ipvs.GUE, Port: 5557, Flags: ipvs.TunnelRemoteChecksum}}},
	{"gre", ipvs.Destination{Forward: ipvs.Tunnel, Tunnel: ipvs.TunnelConfig{Type: ipvs.GRE}}},
	{"gre-checksum", ipvs.Destination{Forward: ipvs.Tunnel, Tunnel: ipvs.TunnelConfig{Type: ipvs.GRE, Flags: ipvs.TunnelChecksum}}},
}

// config returns what a real server needs for destinations like d, with both virtual
// addresses.
func config(host string, d ipvs.Destination) realserver.Config {
	c := realserver.Config{VirtualAddrs: vips[:]}
	if d.Forward == ipvs.Tunnel {
		c.Tunnels = []ipvs.TunnelConfig{d.Tunnel}
		addrs := members[host]
		c.Addrs = addrs[:]
	}
	return c
}

// Packets of both families and protocols reach both real servers by every method,
// the outside of a tunnel being of either family, and the answers come back, though
// the real servers' reverse path filter is strict. One that is prepared for one
// method becomes one for the next.
func TestKernelTraffic(t *testing.T) {
	requireWorld(t)
	w := newWorld(t)
	before := make(map[string]string)
	for _, rs := range []string{"rs1", "rs2"} {
		w.hosts[rs].Sysctl(t, "net.ipv4.conf.all.rp_filter", "1")
		before[rs] = snapshot(t, w.hosts[rs])
	}
	requests := 0
	for i, m := range methods {
		for _, rs := range []string{"rs1", "rs2"} {
			report, err := realserver.Prepare(t.Context(), w.hosts[rs].Path(), config(rs, m.d))
			require.NoError(t, err, m.name)
			require.NotEmpty(t, report.Done)
			again, err := realserver.Prepare(t.Context(), w.hosts[rs].Path(), config(rs, m.d))
			require.NoError(t, err, m.name)
			require.Empty(t, again.Done, m.name)
			if i == 0 {
				w.serve(t, rs, vips[:]...)
			}
			t.Logf("%s %s\n%s", m.name, rs, report)
		}
		for inner, vip := range vips {
			for outer := range vips {
				if m.d.Forward == ipvs.Direct && inner != outer {
					continue
				}
				w.reset(t)
				for protocol, key := range keys(vip) {
					w.virtualServer(t, key, m.d, members["rs1"][outer], members["rs2"][outer])
					size := 700
					if protocol == "tcp" && m.d.Tunnel.Flags != ipvs.TunnelRemoteChecksum {
						// More than fits beside the outer header. With remote
						// checksums the kernel loses segments of what is
						// offloaded, and minutes go by.
						size = 200_000
					}
					got := w.askAll("client", protocol, netip.AddrPortFrom(vip, port), size)
					require.Equal(t, both, got, "%s %s to %v at %v", m.name, protocol, vip, members["rs1"][outer])
					requests += 2
				}
			}
		}
	}
	testenv.Count(t, "requests through the director", requests)
	for rs, want := range before {
		_, err := realserver.Undo(t.Context(), w.hosts[rs].Path(), "")
		require.NoError(t, err)
		require.Equal(t, want, snapshot(t, w.hosts[rs]), rs)
		again, err := realserver.Undo(t.Context(), w.hosts[rs].Path(), "")
		require.NoError(t, err)
		require.Empty(t, again.Done)
	}
}

// What rp_filter and the address of a tunnel link are for: where the filter is strict,
// neither can be left out.
func TestKernelPathFilter(t *testing.T) {
	requireWorld(t)
	w := newWorld(t)
	rs := w.hosts["rs1"]
	rs.Sysctl(t, "net.ipv4.conf.all.rp_filter", "1")
	d := ipvs.Destination{Forward: ipvs.Tunnel}
	prepare := func() {
		_, err := realserver.Prepare(t.Context(), rs.Path(), config("rs1", d))
		require.NoError(t, err)
	}
	prepare()
	w.serve(t, "rs1", vips[0])
	w.virtualServer(t, keys(vips[0])["tcp"], d, members["rs1"][0])
	w.requireAnswer(t, "rs1", "client", "tcp", vips[0])
	for _, damage := range [][]string{
		{"ip", "addr", "del", vips[0].String() + "/32", "dev", "vipkit-rs1"},
		{"bash", "-c", "echo 0 >/proc/sys/net/ipv4/conf/vipkit-rs1/rp_filter"},
		{"ip", "link", "set", "vipkit-rs1", "down"},
	} {
		rs.Run(t, damage[0], damage[1:]...)
		w.requireAnswer(t, "silence", "client", "tcp", vips[0], damage)
		prepare()
		w.requireAnswer(t, "rs1", "client", "tcp", vips[0], damage)
	}
}
