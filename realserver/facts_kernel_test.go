//go:build linux

package realserver_test

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	mobyipvs "github.com/moby/ipvs"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/realserver"
)

// What a director may rely on, and must not do, with direct routing and tunnels.
// Each is a fact of the kernel, held here so that it is noticed when it changes.

var direct, ipip = methods[0].d, methods[1].d

// readyWorld returns a world whose real servers are prepared for a method, and serve.
func readyWorld(t *testing.T, d ipvs.Destination) *world {
	t.Helper()
	w := newWorld(t)
	for _, rs := range []string{"rs1", "rs2"} {
		_, err := realserver.Prepare(t.Context(), w.hosts[rs].Path(), config(rs, d))
		require.NoError(t, err)
		w.serve(t, rs, vips[:]...)
	}
	return w
}

// nat gives the director the source NAT of a proxier for all packets to the virtual
// addresses: marked in PREROUTING or OUTPUT, masqueraded in POSTROUTING.
func (w *world) nat(t *testing.T) {
	t.Helper()
	for i, tool := range []string{"iptables", "ip6tables"} {
		for _, hook := range []string{"PREROUTING", "OUTPUT"} {
			w.hosts["director"].Run(t, tool, "-t", "nat", "-A", hook, "-d", vips[i].String(), "-j", "MARK", "--set-xmark", "0x4000/0x4000")
		}
		w.hosts["director"].Run(t, tool, "-t", "nat", "-A", "POSTROUTING", "-m", "mark", "--mark", "0x4000/0x4000", "-j", "MASQUERADE")
	}
}

// Source NAT meets packets by direct routing where IPVS keeps conntrack's entries, and
// then nothing comes back: such tuples must stay out of it. What goes into a tunnel
// keeps its source, whatever the rules say.
func TestKernelFactSourceNAT(t *testing.T) {
	requireWorld(t, "iptables")
	for _, m := range []struct {
		name string
		d    ipvs.Destination
	}{{"direct", direct}, {"ipip", ipip}, {"gue", methods[2].d}, {"gre", methods[5].d}} {
		w := readyWorld(t, m.d)
		w.nat(t)
		for _, keep := range []string{"0", "1"} {
			w.hosts["director"].Sysctl(t, "net.ipv4.vs.conntrack", keep)
			for i, vip := range vips {
				w.reset(t)
				for protocol, key := range keys(vip) {
					w.virtualServer(t, key, m.d, members["rs1"][i])
					want := "rs1"
					if m.d.Forward == ipvs.Direct && keep == "1" {
						want = "silence"
					}
					w.requireAnswer(t, want, "client", protocol, vip, m.name, keep)
				}
			}
		}
	}
}

// The virtual address has to be the director's own: by address or by a local route.
func TestKernelFactLocal(t *testing.T) {
	requireWorld(t)
	w := readyWorld(t, direct)
	d := w.hosts["director"]
	d.Sysctl(t, "net.ipv4.ip_forward", "1")
	d.Sysctl(t, "net.ipv6.conf.all.forwarding", "1")
	d.Run(t, "ip", "addr", "del", vips[0].String()+"/32", "dev", "vip")
	d.Run(t, "ip", "addr", "del", vips[1].String()+"/128", "dev", "eth0")
	for i, vip := range vips {
		length := []string{"/32", "/128"}[i]
		w.hosts["client"].AddRoute(t, vip.String()+length, members["director"][i].String(), "eth0")
		w.virtualServer(t, keys(vip)["tcp"], direct, members["rs1"][i])
		w.requireAnswer(t, "silence", "client", "tcp", vip)
		d.Run(t, "ip", "route", "add", "local", vip.String()+length, "dev", "vip")
		w.requireAnswer(t, "rs1", "client", "tcp", vip)
	}
}

// Who may ask: a client on the network. Not the director itself: the answer comes in
// with a source that is its own. A real server meets itself, whoever has the weight,
// and at other ports of the virtual address too, where it has no service.
func TestKernelFactWhoAsks(t *testing.T) {
	requireWorld(t)
	for _, m := range methods[:2] {
		w := readyWorld(t, m.d)
		for i, vip := range vips {
			for protocol, key := range keys(vip) {
				w.virtualServer(t, key, m.d, members["rs2"][i])
				for from, want := range map[string]string{"client": "rs2", "director": "silence", "rs1": "rs1", "rs2": "rs2"} {
					w.requireAnswer(t, want, from, protocol, vip, m.name)
				}
				require.Equal(t, "rejected", w.ask("rs1", protocol, netip.AddrPortFrom(vip, 81), 1))
			}
		}
	}
}

// A destination that is the director itself is delivered there.
func TestKernelFactDirectorServes(t *testing.T) {
	requireWorld(t)
	for _, m := range methods[:2] {
		w := readyWorld(t, m.d)
		w.serve(t, "director", vips[:]...)
		for i, vip := range vips {
			for protocol, key := range keys(vip) {
				w.virtualServer(t, key, m.d, members["director"][i], members["rs1"][i])
				require.Equal(t, map[string]bool{"director": true, "rs1": true},
					w.askAll("client", protocol, netip.AddrPortFrom(vip, port), 1), "%s %s %v", m.name, protocol, vip)
			}
		}
	}
}

// Where the director routes the answers, to or from a pod of its own, they have a
// source that is local there. IPv6 does not mind; IPv4 does not take them unless the
// link by which they come has accept_local.
func TestKernelFactPod(t *testing.T) {
	requireWorld(t)
	for _, m := range methods[:2] {
		w := newWorld(t)
		pod := [2]netip.Addr{netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("fd01::2")}
		w.addPod(t, "pod", pod)
		c := realserver.Config{VirtualAddrs: vips[:]}
		if m.d.Forward == ipvs.Tunnel {
			c.Addrs, c.Tunnels = pod[:], []ipvs.TunnelConfig{m.d.Tunnel}
		}
		_, err := realserver.Prepare(t.Context(), w.hosts["pod"].Path(), c)
		require.NoError(t, err)
		w.serve(t, "pod", vips[:]...)
		for _, accept := range []string{"0", "1"} {
			w.hosts["director"].Sysctl(t, "net.ipv4.conf.pod.accept_local", accept)
			for i, vip := range vips {
				w.reset(t)
				for protocol, key := range keys(vip) {
					w.virtualServer(t, key, m.d, pod[i])
					w.requireAnswer(t, routed("pod", vip, accept), "client", protocol, vip, m.name, accept)
				}
			}
		}
		// A pod as the client of a real server elsewhere.
		_, err = realserver.Prepare(t.Context(), w.hosts["rs1"].Path(), config("rs1", m.d))
		require.NoError(t, err)
		w.serve(t, "rs1", vips[:]...)
		for i, pods := range []string{"10.1.0.0/24", "fd01::/64"} {
			w.hosts["rs1"].AddRoute(t, pods, members["director"][i].String(), "eth0")
		}
		_, err = realserver.Undo(t.Context(), w.hosts["pod"].Path(), "")
		require.NoError(t, err)
		for _, accept := range []string{"0", "1"} {
			w.hosts["director"].Sysctl(t, "net.ipv4.conf.eth0.accept_local", accept)
			for i, vip := range vips {
				w.reset(t)
				for protocol, key := range keys(vip) {
					w.virtualServer(t, key, m.d, members["rs1"][i])
					w.requireAnswer(t, routed("rs1", vip, accept), "pod", protocol, vip, m.name, accept)
				}
			}
		}
	}
}

// routed is what comes of an answer that the director has to route.
func routed(answer string, vip netip.Addr, acceptLocal string) string {
	if vip.Is4() && acceptLocal == "0" {
		return "silence"
	}
	return answer
}

// addPod joins a namespace to the director, which routes for it.
func (w *world) addPod(t *testing.T, name string, addrs [2]netip.Addr) {
	t.Helper()
	w.hosts[name] = testenv.AddNetNS(t)
	d := w.hosts["director"]
	testenv.Connect(t, d, name, w.hosts[name], "eth0")
	d.Sysctl(t, "net.ipv4.ip_forward", "1")
	d.Sysctl(t, "net.ipv6.conf.all.forwarding", "1")
	for i, length := range []string{"/24", "/64"} {
		gateway := netip.MustParseAddr([]string{"10.1.0.1", "fd01::1"}[i])
		d.AddAddr(t, name, gateway.String()+length)
		w.hosts[name].AddAddr(t, "eth0", addrs[i].String()+length)
		w.hosts[name].AddRoute(t, []string{"0.0.0.0/0", "::/0"}[i], gateway.String(), "eth0")
		w.hosts["client"].AddRoute(t, []string{"10.1.0.0/24", "fd01::/64"}[i], members["director"][i].String(), "eth0")
	}
}

// Virtual servers by mark forward like others; the destination's port is nothing.
func TestKernelFactMark(t *testing.T) {
	requireWorld(t, "iptables")
	for _, m := range []int{0, 1, 2, 5} {
		w := readyWorld(t, methods[m].d)
		for i, tool := range []string{"iptables", "ip6tables"} {
			w.hosts["director"].Run(t, tool, "-t", "mangle", "-A", "INPUT", "-d", vips[i].String(), "-j", "MARK", "--set-mark", "7")
			key := ipvs.MarkKey(vipkit.FamilyOf(vips[i]), 7)
			w.virtualServer(t, key, methods[m].d, members["rs1"][i], members["rs2"][i])
			for protocol := range keys(vips[i]) {
				require.Equal(t, both, w.askAll("client", protocol, netip.AddrPortFrom(vips[i], port), 1), "%s %s %v", methods[m].name, protocol, vips[i])
			}
		}
	}
}

// A destination's port is not heeded: the packet keeps its own.
func TestKernelFactPort(t *testing.T) {
	requireWorld(t)
	for _, m := range methods[:2] {
		w := readyWorld(t, m.d)
		require.NoError(t, w.hosts["director"].Do(func() error {
			h, err := mobyipvs.New("")
			if err != nil {
				return err
			}
			defer h.Close()
			s := &mobyipvs.Service{AddressFamily: unix.AF_INET, Address: vips[0].AsSlice(), Port: port, Protocol: unix.IPPROTO_TCP, SchedName: "rr", Netmask: 0xffffffff}
			if err := h.NewService(s); err != nil {
				return err
			}
			return h.NewDestination(s, &mobyipvs.Destination{AddressFamily: unix.AF_INET, Address: members["rs1"][0].AsSlice(), Port: 8080, Weight: 1, ConnectionFlags: uint32(m.d.Forward)})
		}))
		require.Equal(t, "rs1", w.ask("client", "tcp", netip.AddrPortFrom(vips[0], port), 1), m.name)
	}
}

// Conntrack at the director sees one half of a connection only: with IPVS in it the
// first packet is NEW and all that follow are INVALID, none ESTABLISHED; without it
// nearly all are NEW.
func TestKernelFactInvalid(t *testing.T) {
	requireWorld(t, "iptables")
	for _, m := range methods[:2] {
		for _, keep := range []string{"0", "1"} {
			w := readyWorld(t, m.d)
			d := w.hosts["director"]
			d.Sysctl(t, "net.ipv4.vs.conntrack", keep)
			for _, state := range []string{"NEW", "ESTABLISHED", "INVALID"} {
				d.Run(t, "iptables", "-A", "INPUT", "-p", "tcp", "-m", "conntrack", "--ctstate", state)
			}
			w.virtualServer(t, keys(vips[0])["tcp"], m.d, members["rs1"][0])
			require.Equal(t, "rs1", w.ask("client", "tcp", netip.AddrPortFrom(vips[0], port), 1))
			seen := make(map[string]int)
			for line := range strings.Lines(d.Run(t, "iptables", "-nvxL", "INPUT")) {
				if fields := strings.Fields(line); len(fields) > 2 && slices.Contains(fields, "ctstate") {
					n, err := strconv.Atoi(fields[0])
					require.NoError(t, err)
					seen[fields[len(fields)-1]] = n
				}
			}
			require.Zero(t, seen["ESTABLISHED"], "%v", seen)
			if keep == "1" {
				require.Equal(t, 1, seen["NEW"], "%v", seen)
				require.Greater(t, seen["INVALID"], 1, "%v", seen)
			} else {
				require.Greater(t, seen["NEW"], 1, "%v", seen)
			}
		}
	}
}

// An address of the director's own is none to forward to so: a real server that has
// it too cannot talk to the director any more.
func TestKernelFactNodeAddress(t *testing.T) {
	requireWorld(t)
	w := newWorld(t)
	// The director would send from this one, which is as near to the real server's.
	w.hosts["director"].Run(t, "ip", "addr", "del", vips[1].String()+"/128", "dev", "eth0")
	node, own := members["director"], members["rs1"]
	w.serve(t, "rs1", own[:]...)
	ask := func() (answers [2]string) {
		for i := range own {
			answers[i] = w.ask("director", "tcp", netip.AddrPortFrom(own[i], port), 1)
		}
		return answers
	}
	require.Equal(t, [2]string{"rs1", "rs1"}, ask())
	w.patience = impatience
	_, err := realserver.Prepare(t.Context(), w.hosts["rs1"].Path(), realserver.Config{VirtualAddrs: node[:]})
	require.NoError(t, err)
	require.NotContains(t, ask(), "rs1")
}
