//go:build linux

package realserver

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/ipvs"
)

// look returns a namespace as tools show it, without the numbers of links.
func look(t *testing.T, ns *testenv.NS) string {
	t.Helper()
	return ns.Run(t, "bash", "-c", `ip -o -d link | sed 's/^[0-9]*: //; s/permaddr [^ ]*//; s,link/ether [^ ]*,,' | sort
		ip -o addr | sed 's/^[0-9]*: //' | sort
		ip -4 route show table all | sort
		ip -6 route show table all | sort
		ip -4 fou show | sort
		ip -6 fou show | sort
		cd /proc/sys/net/ipv4/conf && grep . */arp_ignore */arp_announce */rp_filter`)
}

// carryOut does the first steps only, as a process that dies does, and returns how
// many there would have been.
func carryOut(t *testing.T, ns *testenv.NS, w want, n int) int {
	t.Helper()
	h, err := openHost(ns.Path(), w.link)
	require.NoError(t, err)
	have, err := h.observe(t.Context(), len(w.ports) > 0)
	require.NoError(t, err)
	p, err := diff(have, w)
	require.NoError(t, err)
	for _, s := range p.steps[:min(n, len(p.steps))] {
		require.NoError(t, h.do(t.Context(), s), "%s", s)
	}
	require.NoError(t, h.close())
	return len(p.steps)
}

// Whatever step was the last, Prepare completes what was begun, and Undo removes it,
// also in more than one attempt.
func TestKernelCrash(t *testing.T) {
	testenv.RequireKernel(t, testenv.Dummy, "bash", "ip", "modprobe")
	ns := testenv.AddNetNS(t)
	ns.Run(t, "modprobe", "-a", "ipip", "sit", "ip6_tunnel", "ip_gre", "ip6_gre", "fou")
	ns.AddDummy(t, "eth0.100") // a name with a dot
	ns.AddAddr(t, "eth0.100", "198.51.100.7/24", "2001:db8::7/64")
	ns.Sysctl(t, "net/ipv4/conf/eth0.100/arp_ignore", "3")
	ns.Sysctl(t, "net.ipv4.conf.all.arp_announce", "1")
	before := look(t, ns)

	c := everything
	c.VirtualAddrs = addrs("192.0.2.80", "2001:db8:1::80")
	c.Tunnels = append([]ipvs.TunnelConfig{{Type: ipvs.GUE, Port: 6081}}, c.Tunnels...)
	w, gone := layout(c), want{link: DefaultLink}
	steps := carryOut(t, ns, w, 1000)
	whole := look(t, ns)
	require.NotEqual(t, before, whole)
	back := carryOut(t, ns, gone, 1000)
	require.Equal(t, before, look(t, ns))

	crashes := 0
	// TestDiffAfterEveryStep tries all; here each takes seconds, and a random seed
	// looks elsewhere.
	const stride = 12
	for n := int(testenv.Seed(t) % stride); n < max(steps, back); n += stride {
		crashes += 3
		carryOut(t, ns, w, n)
		_, err := Undo(t.Context(), ns.Path(), "")
		require.NoError(t, err)
		require.Equal(t, before, look(t, ns), "undo after %d steps", n)

		carryOut(t, ns, w, n)
		_, err = Prepare(t.Context(), ns.Path(), c)
		require.NoError(t, err)
		require.Equal(t, whole, look(t, ns), "prepare after %d steps", n)

		carryOut(t, ns, gone, n)
		_, err = Undo(t.Context(), ns.Path(), "")
		require.NoError(t, err)
		require.Equal(t, before, look(t, ns), "undo after %d steps of undo", n)
	}
	testenv.Count(t, "crashes survived", crashes)
}

// What others own stays theirs.
func TestKernelForeign(t *testing.T) {
	testenv.RequireKernel(t, testenv.Dummy, "ip", "modprobe")
	ns := testenv.AddNetNS(t)
	ns.Run(t, "modprobe", "-a", "ipip", "fou")
	ns.AddDummy(t, "eth0")
	ns.AddAddr(t, "eth0", "198.51.100.7/24")
	c := Config{VirtualAddrs: addrs("192.0.2.80"), Addrs: addrs("198.51.100.7"), Tunnels: []ipvs.TunnelConfig{{Type: ipvs.GUE, Port: 6080}}}

	ns.Run(t, "ip", "link", "add", "name", DefaultLink, "type", "dummy")
	_, err := Prepare(t.Context(), ns.Path(), c)
	requireError(t, err, "file already exists", "somebody else's link, in group 0")
	report, err := Undo(t.Context(), ns.Path(), "")
	require.NoError(t, err)
	require.Equal(t, Report{Left: []string{"link vipkit-rs: somebody else's link, in group 0"}}, report)
	ns.Run(t, "ip", "link", "del", DefaultLink)

	// A tunnel that takes the same packets.
	ns.Run(t, "ip", "link", "add", "name", "mine", "type", "ipip", "local", "198.51.100.7")
	_, err = Prepare(t.Context(), ns.Path(), c)
	requireError(t, err, "realserver add tunnel ip link add vipkit-rs1", "file already exists")
	ns.Run(t, "ip", "link", "del", "mine")

	// A port that is there already is used, and stays.
	_, err = Undo(t.Context(), ns.Path(), "")
	require.NoError(t, err)
	port := layout(c).ports[0]
	ns.Run(t, "ip", "fou", "add", "port", "6080", "gue", "local", "198.51.100.7")
	report, err = Prepare(t.Context(), ns.Path(), c)
	require.NoError(t, err)
	require.Equal(t, []string{portCommand("add", port) + ": it is there, and somebody else's"}, report.Left)
	_, err = Undo(t.Context(), ns.Path(), "")
	require.NoError(t, err)
	require.Contains(t, ns.Run(t, "ip", "fou", "show"), "6080")

	// One that is of another kind is in the way.
	ns.Run(t, "ip", "fou", "del", "port", "6080", "local", "198.51.100.7")
	ns.Run(t, "ip", "fou", "add", "port", "6080", "ipproto", "4", "local", "198.51.100.7")
	_, err = Prepare(t.Context(), ns.Path(), c)
	requireError(t, err, "realserver add GUE port ip fou add port 6080 gue local 198.51.100.7", "file already exists")

	_, err = Prepare(t.Context(), "/run/netns/there-is-none", c)
	requireError(t, err, "realserver open /run/netns/there-is-none", "file does not exist")
	_, err = Prepare(t.Context(), "/proc/self/status", c)
	requireError(t, err, "realserver open /proc/self/status", "not a network namespace")
}

func requireError(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		require.ErrorContains(t, err, part)
	}
}

// A kernel that lacks a module is told by the module's name. The machine is the
// test's own, and its modules come back.
func TestKernelLacksModule(t *testing.T) {
	testenv.RequireKernel(t, testenv.Dummy, "rmmod", "modprobe")
	if !testenv.InVM() {
		t.Log("the modules of this host stay as they are")
		return
	}
	ns := testenv.AddNetNS(t)
	ns.AddDummy(t, "eth0")
	ns.AddAddr(t, "eth0", "198.51.100.7/24", "2001:db8::7/64")
	loader := strings.TrimSpace(ns.ReadSysctl(t, "kernel.modprobe"))
	t.Cleanup(func() { ns.Sysctl(t, "kernel.modprobe", loader) })
	for _, test := range []struct {
		module, option, virtual, own string
		tunnel                       ipvs.TunnelConfig
	}{
		{"ipip", "CONFIG_NET_IPIP", "192.0.2.80", "198.51.100.7", ipvs.TunnelConfig{}},
		{"sit", "CONFIG_IPV6_SIT", "2001:db8:1::80", "198.51.100.7", ipvs.TunnelConfig{}},
		{"ip6_gre", "CONFIG_IPV6_GRE", "192.0.2.80", "2001:db8::7", ipvs.TunnelConfig{Type: ipvs.GRE}},
		{"ip6_tunnel", "CONFIG_IPV6_TUNNEL", "192.0.2.80", "2001:db8::7", ipvs.TunnelConfig{}},
		{"ip_gre", "CONFIG_NET_IPGRE", "192.0.2.80", "198.51.100.7", ipvs.TunnelConfig{Type: ipvs.GRE}},
		{"fou", "CONFIG_NET_FOU", "192.0.2.80", "198.51.100.7", ipvs.TunnelConfig{Type: ipvs.GUE, Port: 6080}},
	} {
		c := Config{VirtualAddrs: addrs(test.virtual), Addrs: addrs(test.own), Tunnels: []ipvs.TunnelConfig{test.tunnel}}
		ns.Run(t, "sh", "-c", fmt.Sprintf("for m in ip6_gre %s; do rmmod $m 2>/dev/null; done; ! grep -w ^%s /proc/modules", test.module, test.module))
		ns.Sysctl(t, "kernel.modprobe", "/nowhere")
		_, err := Prepare(t.Context(), ns.Path(), c)
		requireError(t, err, "unsupported operation", "module "+test.module+", "+test.option)
		ns.Sysctl(t, "kernel.modprobe", loader)
		if test.module == "fou" {
			ns.Run(t, "modprobe", "fou") // it has no alias by which the kernel could
		}
		_, err = Prepare(t.Context(), ns.Path(), c)
		require.NoError(t, err)
		_, err = Undo(t.Context(), ns.Path(), "")
		require.NoError(t, err)
	}
}
