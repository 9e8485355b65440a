//go:build linux

package proxier_test

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/proxier"
)

// realKernel opens the kernel of a namespace.
func realKernel(t *testing.T, ns *testenv.NS) proxier.Kernel {
	t.Helper()
	k, closeAll, err := proxier.OpenKernel(ns.Path())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, closeAll()) })
	return k
}

// trafficServices are services of every kind of frontend and policy, in both
// families and both protocols that every program can speak.
func trafficServices(p vipkit.Protocol) []proxier.Service {
	endpoint := func(addrs [2]string, local bool) []proxier.Endpoint {
		var es []proxier.Endpoint
		for _, a := range addrs {
			e := proxier.ReadyEndpoint(netip.AddrPortFrom(netip.MustParseAddr(a), 8080))
			e.Local = local
			es = append(es, e)
		}
		return es
	}
	podA, far := endpoint(podAAddr, true), endpoint(farAddr, false)
	service := func(name string, kind proxier.FrontendKind, host int, endpoints ...[]proxier.Endpoint) proxier.Service {
		s := proxier.Service{Name: name + "/" + p.String(), Protocol: p, Endpoints: slices.Concat(endpoints...)}
		for _, format := range virtual[kind] {
			s.Frontends = append(s.Frontends, proxier.Frontend{Kind: kind, Addr: netip.MustParseAddr(fmt.Sprintf(format, host)), Port: 80})
		}
		return s
	}
	withNodePort := func(s proxier.Service, port uint16) proxier.Service {
		s.Frontends = append(s.Frontends,
			proxier.Frontend{Kind: proxier.NodePort, Addr: netip.IPv4Unspecified(), Port: port},
			proxier.Frontend{Kind: proxier.NodePort, Addr: netip.IPv6Unspecified(), Port: port})
		return s
	}
	internalLocal := service("internal-local", proxier.ClusterIP, 4, far)
	internalLocal.Internal = proxier.Local
	local := withNodePort(service("local", proxier.LoadBalancerIP, 20, podA, far), 30081)
	local.External = proxier.Local
	noneLocal := withNodePort(service("none-local", proxier.LoadBalancerIP, 30, far), 30082)
	noneLocal.External = proxier.Local
	ranged := service("ranged", proxier.LoadBalancerIP, 40, far)
	ranged.SourceRanges = []netip.Prefix{netip.MustParsePrefix("198.51.100.8/29"), netip.MustParsePrefix("2001:db8:99::8/125")}
	sticky := service("sticky", proxier.LoadBalancerIP, 60, podA, far)
	sticky.External, sticky.Affinity.Timeout = proxier.Local, time.Hour
	wide := service("wide", proxier.LoadBalancerIP, 50, far)
	wide.SourceRanges = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:99::/64")}
	return []proxier.Service{
		service("cluster", proxier.ClusterIP, 1, podA),
		service("remote", proxier.ClusterIP, 2, far),
		service("empty", proxier.ClusterIP, 3),
		internalLocal,
		withNodePort(service("external", proxier.ExternalIP, 10, far), 30080),
		local, noneLocal, ranged, wide, sticky,
	}
}

var virtual = map[proxier.FrontendKind][2]string{
	proxier.ClusterIP:      {"10.96.0.%d", "fd00:10:96::%d"},
	proxier.ExternalIP:     {"203.0.113.%d", "2001:db8:113::%d"},
	proxier.LoadBalancerIP: {"203.0.113.%d", "2001:db8:113::%d"},
}

// trafficTable is what every host must get, by the truth table. A cell is the
// answers that may come, with the family's own addresses for the names in
// braces.
//
//	to                     client                pod-a                   far                     node
var trafficTable = []struct {
	to   string
	want [4]string
}{
	{"cluster 1:80", [4]string{"pod-a saw {bridge}", "pod-a saw {bridge}", "pod-a saw {far}", "pod-a saw {bridge}"}},
	// An endpoint of another node that meets itself here gets no answer: its own
	// node is where its packets go.
	{"cluster 2:80", [4]string{"far saw {router}", "far saw {pod-a}", "silence", "far saw {router}"}},
	{"cluster 3:80", [4]string{"refused", "refused", "refused", "refused"}},
	{"cluster 4:80", [4]string{"silence", "silence", "silence", "silence"}},
	{"cluster 1:9999", [4]string{"refused", "refused", "refused", "refused"}},
	{"cluster 1:81", [4]string{"refused", "refused", "refused", "refused"}},
	{"external 10:80", [4]string{"far saw {router}", "far saw {router}", "far saw {router}", "far saw {router}"}},
	{"external 20:80", [4]string{"pod-a saw {client}", "pod-a saw {bridge}|far saw {pod-a}", "pod-a saw {far}", "pod-a saw {bridge}|far saw {router}"}},
	{"external 30:80", [4]string{"silence", "far saw {pod-a}", "silence", "far saw {router}"}},
	{"external 40:80", [4]string{"far saw {router}", "silence", "silence", "silence"}},
	{"external 50:80", [4]string{"far saw {router}", "silence", "silence", "far saw {router}"}},
	{"external 60:80", [4]string{"pod-a saw {client}", "pod-a saw {bridge}|far saw {pod-a}", "pod-a saw {far}", "pod-a saw {bridge}|far saw {router}"}},
	{"node 30080", [4]string{"far saw {router}", "far saw {router}", "far saw {router}", "far saw {router}"}},
	{"node 30081", [4]string{"pod-a saw {client}", "pod-a saw {bridge}|far saw {pod-a}", "pod-a saw {far}", "pod-a saw {bridge}|far saw {router}"}},
	{"node 30082", [4]string{"silence", "far saw {pod-a}", "silence", "far saw {router}"}},
	{"node 9999", [4]string{"node saw {client}", "node saw {pod-a}", "node saw {far}", "node saw {node}"}},
}

var trafficFrom = [4]string{"client", "pod-a", "far", "node"}

// target returns the address that a row of the table is about.
func target(row string, family int) string {
	kind, rest, _ := strings.Cut(row, " ")
	if kind == "node" {
		return net.JoinHostPort(nodeAddr[family], rest)
	}
	host, port, _ := strings.Cut(rest, ":")
	format := virtual[proxier.ClusterIP]
	if kind == "external" {
		format = virtual[proxier.ExternalIP]
	}
	return net.JoinHostPort(fmt.Sprintf(format[family], atoi(host)), port)
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err) // the table is wrong
	}
	return n
}

func names(family int) *strings.Replacer {
	return strings.NewReplacer("{bridge}", bridgeAddr[family], "{router}", routerAddr[family],
		"{client}", clientAddr[family], "{pod-a}", podAAddr[family], "{far}", farAddr[family], "{node}", nodeAddr[family])
}

func TestKernelTraffic(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS, testenv.IPSet, testenv.IPTables, testenv.Dummy, testenv.Conntrack, testenv.Veth, testenv.Bridge, "curl")
	w := newWorld(t)
	node := w.hosts["node"]
	kernel := realKernel(t, node)
	config := &proxier.Config{
		NodeAddresses: addrs(nodeAddr), ClusterCIDRs: prefixes("10.244.0.0/16", "fd00:244::/32"), PodCIDRs: prefixes("10.244.0.0/24", "fd00:244::/64"),
	}
	p, err := proxier.New(kernel, config)
	require.NoError(t, err)
	services := append(trafficServices(vipkit.TCP), trafficServices(vipkit.UDP)...)
	pre := p.Preflight(t.Context(), services)
	require.NoError(t, pre.Err())
	require.NoError(t, p.SetSysctls(t.Context(), pre.Wrong()))

	touchTables(t, node)
	before := hostState(t, node)
	report, err := p.ApplyServices(t.Context(), services)
	require.NoError(t, err)
	require.Len(t, report.Programmed, len(services))
	require.NotEqual(t, before, hostState(t, node))

	t.Run("packets", func(t *testing.T) { checkTraffic(t, w) })
	t.Run("curl", func(t *testing.T) { checkCurl(t, w) })
	t.Run("removed", func(t *testing.T) {
		_, err := p.ApplyServices(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, before, hostState(t, node), "byte for byte")
	})
}

// checkTraffic sends every packet of the table, in both families and
// protocols, all at once.
func checkTraffic(t *testing.T, w *world) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var wrong []string
	sent := 0
	turns := make(chan bool, 32)
	for family, prefix := range []string{"IPv4", "IPv6"} {
		expand := names(family)
		for _, protocol := range []string{"tcp", "udp"} {
			for _, row := range trafficTable {
				for i, from := range trafficFrom {
					if row.to == "node 9999" && protocol == "udp" {
						continue // the listener answers from whichever address is nearest
					}
					sent++
					wg.Go(func() {
						turns <- true
						defer func() { <-turns }()
						to := target(row.to, family)
						want := expand.Replace(row.want[i])
						patience := 20 * time.Second // the machine may be slow; a lost packet is sent again
						if want == "silence" {
							patience = 2 * time.Second
						}
						got := w.ask(from, protocol, to, patience)
						if got == "denied" && (want == "refused" || want == "silence") {
							return // the host's own packet: dropped or rejected before it left
						}
						if !slices.Contains(strings.Split(want, "|"), got) {
							mu.Lock()
							defer mu.Unlock()
							wrong = append(wrong, fmt.Sprintf("%s %s from %s to %s (%s): got %q, want %q", prefix, protocol, from, to, row.to, got, want))
						}
					})
				}
			}
		}
	}
	wg.Wait()
	slices.Sort(wrong)
	require.Empty(t, strings.Join(wrong, "\n"))
	t.Logf("%d packets, all as the truth table says", sent)
}

// checkCurl asks through each kind of frontend with the operator's own tool.
func checkCurl(t *testing.T, w *world) {
	for family := range 2 {
		for _, row := range []string{"cluster 1:80", "external 10:80", "external 20:80", "node 30080"} {
			out := w.hosts["client"].Run(t, "curl", "-sS", "--max-time", "20", "http://"+target(row, family)+"/")
			require.Contains(t, out, " saw ", row)
		}
	}
}

func addrs(texts [2]string) []netip.Addr {
	return []netip.Addr{netip.MustParseAddr(texts[0]), netip.MustParseAddr(texts[1])}
}

func prefixes(texts ...string) []netip.Prefix {
	var ps []netip.Prefix
	for _, s := range texts {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}
