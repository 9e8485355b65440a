package proxier_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/proxier"
)

// Two proxiers with different prefixes share a host: neither sees what the other
// has, and what is left when one goes is the other's.
func TestTwoPrefixes(t *testing.T) { twoPrefixes(t, kerneltest.New().Kernel()) }

func twoPrefixes(t *testing.T, kernel proxier.Kernel) {
	t.Helper()
	open := func(prefix string) *proxier.Proxier {
		config := packetConfig()
		config.Prefix = prefix
		p, err := proxier.New(kernel, &config)
		require.NoError(t, err)
		return p
	}
	dump := func() string {
		text := ""
		for _, link := range []string{"edge0", "vipkit0"} {
			one, err := kerneltest.Dump(t.Context(), kernel, link)
			require.NoError(t, err)
			text += one
		}
		return text
	}
	text := func(net int) string {
		return fmt.Sprintf(`
service web tcp
  frontend ClusterIP 10.%[1]d.0.1:80
  frontend LoadBalancerIP 203.0.%[1]d.1:80
  frontend NodePort 0.0.0.0:3%04[1]d
  endpoint 10.244.0.11:8080 local
  endpoint 10.244.1.5:8080
  external Local
`, net)
	}
	one, two := open("VIPKIT"), open("EDGE")
	apply := func(p *proxier.Proxier, text string) {
		services, err := proxier.ParseServices(text)
		require.NoError(t, err)
		_, err = p.ApplyServices(t.Context(), services)
		require.NoError(t, err)
	}
	apply(one, text(96))
	alone := dump()
	apply(two, text(97))
	both := dump()

	for i, p := range []*proxier.Proxier{open("VIPKIT"), open("EDGE")} { // as after a restart
		services, err := proxier.ParseServices(text(96 + i))
		require.NoError(t, err)
		plan, err := p.Plan(t.Context(), services)
		require.NoError(t, err)
		require.Empty(t, plan.String(), "nothing of the other is in the way")
	}
	require.Equal(t, both, dump())

	// What the other has cannot be had.
	services, err := proxier.ParseServices(text(97))
	require.NoError(t, err)
	_, err = one.ApplyServices(t.Context(), services)
	require.ErrorIs(t, err, proxier.ErrConflict)

	apply(one, text(96))
	apply(two, "")
	require.Equal(t, alone, dump())
}

// The number of rules and of sets does not depend on how many services there are,
// or of which kinds.
func TestRulesAndSetsAreConstant(t *testing.T) {
	const many = 10_000
	kinds := []proxier.FrontendKind{proxier.ClusterIP, proxier.ExternalIP, proxier.LoadBalancerIP, proxier.NodePort, proxier.HostPort}
	var services []proxier.Service
	for i := range many {
		kind := kinds[i%len(kinds)]
		s := proxier.Service{
			Name: fmt.Sprint("s", i), Protocol: []vipkit.Protocol{vipkit.TCP, vipkit.UDP, vipkit.SCTP}[i%3],
			Internal: proxier.Policy(i / 2 % 2), External: proxier.Policy(i / 4 % 2),
		}
		for f, addr := range []netip.Addr{
			netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}),
			netip.AddrFrom16([16]byte{0: 0xfd, 2: 0x96, 14: byte(i >> 8), 15: byte(i)}),
		} {
			port := uint16(80)
			if kind == proxier.NodePort || kind == proxier.HostPort {
				addr, port = [2]netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}[f], uint16(10_000+i)
			}
			s.Frontends = append(s.Frontends, proxier.Frontend{Kind: kind, Addr: addr, Port: port})
		}
		e := proxier.ReadyEndpoint(netip.MustParseAddrPort("10.244.0.11:8080"))
		e.Local = i%2 == 0
		s.Endpoints = []proxier.Endpoint{e}
		if kind == proxier.LoadBalancerIP {
			s.SourceRanges = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
			s.HealthCheckPort = 31000
		}
		services = append(services, s)
	}
	count := func(n int) (rules, sets int) {
		host := kerneltest.New()
		config := packetConfig()
		p, err := proxier.New(host.Kernel(), &config)
		require.NoError(t, err)
		report, err := p.ApplyServices(t.Context(), services[:n])
		require.NoError(t, err)
		require.Len(t, report.Programmed, n)
		for _, f := range []vipkit.Family{vipkit.IPv4, vipkit.IPv6} {
			rules += strings.Count(host.IPTables.Dump(f), "\n-A ")
		}
		for _, err := range host.IPSet.Sets(t.Context()) {
			require.NoError(t, err)
			sets++
		}
		return rules, sets
	}
	rules, sets := count(1)
	require.NotZero(t, rules)
	require.NotZero(t, sets)
	manyRules, manySets := count(many)
	require.Equal(t, rules, manyRules)
	require.Equal(t, sets, manySets)
	t.Logf("%d rules and %d sets for 1 and for %d services", rules, sets, many)
}
