//go:build linux

package proxier_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/kerneltest/oracle"
	"github.com/vipkit/vipkit/proxier"
)

// TestKernelPackets sends the packets of testdata/packets, and gets the answers
// that TestPackets gets of the oracle. After each configuration the host is as
// before.
func TestKernelPackets(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS, testenv.IPSet, testenv.IPTables, testenv.Dummy, testenv.Conntrack, testenv.Veth)
	w := newWorld(t)
	node := w.hosts["node"]
	kernel := realKernel(t, node)
	scenarios, packets := 0, 0
	for _, g := range packetGroups(t) {
		setRules(t, node, g.rules)
		setServers(t, node, g.servers)
		touchTables(t, node)
		p, err := proxier.New(kernel, &g.config)
		require.NoError(t, err)
		pre := p.Preflight(t.Context(), g.services())
		require.NoError(t, pre.Err())
		require.NoError(t, p.SetSysctls(t.Context(), pre.Wrong()))
		before := hostState(t, node)
		report, err := p.ApplyServices(t.Context(), g.services())
		require.NoError(t, err)
		require.Len(t, report.Programmed, len(g.services()))
		askCapture(t, kernel, node.Path(), p.Link(), g)
		packets += sendPackets(t, w, g.scenarios)
		scenarios += len(g.scenarios)
		_, err = p.ApplyServices(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, before, hostState(t, node), "byte for byte")
		setRules(t, node, [2]string{})
		setServers(t, node, "")
	}
	testenv.Count(t, "packet scenarios", scenarios)
	testenv.Count(t, "packets sent", packets)
}

// askCapture asks the oracle on a host in memory that was loaded with what the
// real one holds.
func askCapture(t *testing.T, kernel proxier.Kernel, namespace, link string, g packetGroup) {
	t.Helper()
	network, err := oracle.ReadNetwork(namespace, link)
	require.NoError(t, err)
	capture, err := kerneltest.Capture(t.Context(), kernel, link, network)
	require.NoError(t, err)
	host := kerneltest.New()
	require.NoError(t, host.Load(capture))
	snapshot, err := oracle.Read(t.Context(), host.Kernel(), link, host.Network)
	require.NoError(t, err)
	for _, s := range g.scenarios {
		for _, line := range s.packets {
			got, trace := s.ask(t, snapshot, line)
			require.Equal(t, line.want, got, "%s: on a capture of this host, %s to %s\n%s", s.name(), line.from, line.to, trace)
		}
	}
}

// sendPackets sends every packet of the scenarios, many at once.
func sendPackets(t *testing.T, w *world, scenarios []packetScenario) (sent int) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var wrong []string
	turns := make(chan bool, 48)
	for _, s := range scenarios {
		for _, line := range s.packets {
			sent++
			wg.Go(func() {
				turns <- true
				defer func() { <-turns }()
				if got := w.send(&s, line); !line.allows(got) {
					mu.Lock()
					defer mu.Unlock()
					wrong = append(wrong, fmt.Sprintf("%s: %s to %s: got %q, want %s", s.name(), line.from, line.to, got, strings.Join(line.want, " | ")))
				}
			})
		}
	}
	wg.Wait()
	slices.Sort(wrong)
	require.Empty(t, strings.Join(wrong, "\n"))
	return sent
}

// silent reports whether no answer is among what may come of a packet.
func (p packetLine) silent() bool {
	return slices.Contains(p.want, "dropped") || slices.Contains(p.want, "unanswered")
}

// allows reports whether an observation is one of what may come of a packet.
func (p packetLine) allows(got string) bool {
	switch got {
	case "silence":
		return p.silent()
	case "denied": // the host's own packet was dropped or rejected before it left
		return slices.Contains(p.want, "dropped") || slices.Contains(p.want, "rejected")
	}
	return slices.Contains(p.want, got)
}

// send sends one packet of a scenario and says what came of it.
func (w *world) send(s *packetScenario, line packetLine) string {
	patience := time.Minute // the machine may be slow; what is lost is sent again
	if line.silent() {
		patience = 1500 * time.Millisecond
	}
	if line.ping {
		return w.ping(line.from, line.to, patience)
	}
	got := w.ask(line.from, s.protocol.String(), line.to, patience)
	who, from, answered := strings.Cut(got, " saw ")
	if !answered {
		return got
	}
	a, err := netip.ParseAddr(from)
	if err != nil {
		return got
	}
	return who + " sees " + seen(a, s.family)
}

// TestKernelCurl asks with the operator's own tool.
func TestKernelCurl(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS, testenv.IPSet, testenv.IPTables, testenv.Dummy, testenv.Conntrack, testenv.Veth, "curl")
	w := newWorld(t)
	config := packetConfig()
	p, err := proxier.New(realKernel(t, w.hosts["node"]), &config)
	require.NoError(t, err)
	services, err := proxier.ParseServices(`
service web tcp
  frontend ClusterIP 10.96.0.1:80
  frontend ClusterIP [fd00:10:96::1]:80
  frontend LoadBalancerIP 203.0.113.1:80
  frontend LoadBalancerIP [2001:db8:113::1]:80
  frontend NodePort 0.0.0.0:30080
  frontend NodePort [::]:30080
  endpoint 10.244.0.11:8080 local
  endpoint [fd00:244::11]:8080 local
`)
	require.NoError(t, err)
	require.NoError(t, p.SetSysctls(t.Context(), p.Preflight(t.Context(), services).Wrong()))
	_, err = p.ApplyServices(t.Context(), services)
	require.NoError(t, err)
	for _, to := range []string{
		"10.96.0.1:80", "[fd00:10:96::1]:80", "203.0.113.1:80", "[2001:db8:113::1]:80",
		"198.51.100.1:30080", "[2001:db8:99::1]:30080",
	} {
		out := w.hosts["client"].Run(t, "curl", "-sS", "--max-time", "20", "http://"+to+"/")
		require.Contains(t, out, "pod-a saw ", to)
	}
}
