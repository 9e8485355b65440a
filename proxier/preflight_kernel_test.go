//go:build linux

package proxier_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/proxier"
)

// TestKernelPreflight asks a real host: everything is there, and nothing is changed.
func TestKernelPreflight(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS, testenv.IPSet, testenv.IPTables, testenv.Dummy, testenv.Conntrack)
	node := testenv.AddNetNS(t)
	touchTables(t, node)
	services, err := proxier.ParseServices(preflightServices)
	require.NoError(t, err)
	for i, name := range ipvs.Schedulers() {
		s := services[0]
		s.Name += name
		s.Scheduler = name
		s.Frontends = slices.Clone(s.Frontends[:1])
		s.Frontends[0].Port = uint16(8000 + i)
		services = append(services, s)
	}
	config := &proxier.Config{Tuning: proxier.Tuning{Timeouts: ipvs.Timeouts{TCP: time.Minute}, StrictARP: true}}
	p, err := proxier.New(realKernel(t, node), config)
	require.NoError(t, err)
	p.Preflight(t.Context(), services) // the kernel loads its modules

	parameters := func() string {
		return node.Run(t, "sh", "-c", "sysctl -a 2>/dev/null | grep -E '^net.(ipv4|ipv6).' | sort")
	}
	if !testenv.InVM() {
		parameters = func() string { return "" }
	}
	before, set := hostState(t, node), parameters()
	pre := p.Preflight(t.Context(), services)
	t.Logf("\n%s", pre)
	require.NoError(t, pre.Err())
	require.Equal(t, before, hostState(t, node))
	require.Equal(t, set, parameters())
	require.Empty(t, pre.Obstacles)
	require.Empty(t, pre.Warnings)
	require.Len(t, pre.Host, 3)

	wrong := pre.Wrong()
	names := func(sysctls []proxier.Sysctl) (list []string) {
		for _, s := range sysctls {
			require.NoError(t, s.Err)
			list = append(list, s.Name)
		}
		return list
	}
	require.Contains(t, names(wrong), "net.ipv4.vs.conntrack")
	require.NotContains(t, names(wrong), "net.ipv4.vs.conn_reuse_mode", "1 is right here and the default")
	require.Error(t, pre.Verify())
	require.NoError(t, p.SetSysctls(t.Context(), wrong))
	require.NoError(t, p.SetTimeouts(t.Context(), pre.Timeouts))
	after := p.Preflight(t.Context(), services)
	require.NoError(t, after.Verify())
	require.Empty(t, names(after.Wrong()))
	require.True(t, after.Timeouts.Fine())
	require.NoError(t, p.SetSysctls(t.Context(), proxier.Previous(wrong)))
	require.NoError(t, p.SetTimeouts(t.Context(), pre.Timeouts.Previous()))
	require.Equal(t, pre, p.Preflight(t.Context(), services), "as before")
}

// TestKernelPreflightFirewall lets somebody else's policy drop what services
// need. Preflight says so where packets stop, and packets pass with the rules that
// it names.
func TestKernelPreflightFirewall(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS, testenv.IPSet, testenv.IPTables, testenv.Dummy, testenv.Conntrack, testenv.Veth)
	w := newWorld(t)
	node := w.hosts["node"]
	config := packetConfig()
	p, err := proxier.New(realKernel(t, node), &config)
	require.NoError(t, err)
	services, err := proxier.ParseServices(`
service web tcp
  frontend ClusterIP 10.96.0.1:80
  frontend ClusterIP [fd00:10:96::1]:80
  frontend LoadBalancerIP 203.0.113.1:80
  external Local
  endpoint 10.244.0.11:8080 local
  endpoint [fd00:244::11]:8080 local
`)
	require.NoError(t, err)
	require.NoError(t, p.SetSysctls(t.Context(), p.Preflight(t.Context(), services).Wrong()))
	_, err = p.ApplyServices(t.Context(), services)
	require.NoError(t, err)
	require.Empty(t, p.Preflight(t.Context(), services).Obstacles)

	for i, family := range []struct {
		vipkit.Family
		tool string
		to   []string
	}{
		{vipkit.IPv4, "iptables", []string{"10.96.0.1:80", "203.0.113.1:80"}},
		{vipkit.IPv6, "ip6tables", []string{"[fd00:10:96::1]:80"}},
	} {
		for _, tt := range []struct {
			chain string
			stops []string // who gets no answer
		}{
			{"INPUT", []string{"client", "pod-b", "node"}},
			{"FORWARD", []string{"client", "pod-b"}},
			{"OUTPUT", []string{"client", "pod-b", "node"}},
		} {
			node.Run(t, family.tool, "-P", tt.chain, "DROP")
			if family.Family == vipkit.IPv6 { // or the hosts do not find one another
				node.Run(t, family.tool, "-A", tt.chain, "-p", "ipv6-icmp", "-j", "ACCEPT")
			}
			pre := p.Preflight(t.Context(), services)
			require.Len(t, pre.Obstacles, 1)
			o := pre.Obstacles[0]
			t.Log(o)
			require.Equal(t, family.Family, o.Family)
			require.Equal(t, tt.chain, o.Chain)
			require.Empty(t, o.Rule)
			require.Equal(t, i, o.Exceptions)
			for _, got := range w.askAll(tt.stops, family.to, time.Second) {
				require.Contains(t, []string{"silence", "denied"}, got)
			}
			for _, r := range o.Allow {
				node.Run(t, family.tool, append([]string{"-t", o.Table, "-I", o.Chain}, strings.Fields(string(r))...)...)
			}
			require.Empty(t, p.Preflight(t.Context(), services).Obstacles)
			for _, got := range w.askAll(tt.stops, family.to, 20*time.Second) {
				require.Contains(t, got, "pod-a saw ")
			}
			for _, r := range o.Allow {
				node.Run(t, family.tool, append([]string{"-t", o.Table, "-D", o.Chain}, strings.Fields(string(r))...)...)
			}
			if family.Family == vipkit.IPv6 {
				node.Run(t, family.tool, "-D", tt.chain, "-p", "ipv6-icmp", "-j", "ACCEPT")
			}
			node.Run(t, family.tool, "-P", tt.chain, "ACCEPT")
		}
	}
}

// askAll has every host ask every address at once.
func (w *world) askAll(from, to []string, patience time.Duration) []string {
	answers := make([]string, len(from)*len(to))
	var wg sync.WaitGroup
	for i, f := range from {
		for j, a := range to {
			wg.Go(func() { answers[i*len(to)+j] = w.ask(f, "tcp", a, patience) })
		}
	}
	wg.Wait()
	return answers
}
