package proxier_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/proxier"
)

// The properties of STYLE that hold for every list of services, on random
// lists. A failure names its seed.

var propertyConfig = proxier.Config{
	NodeAddresses: []netip.Addr{netip.MustParseAddr("192.168.50.11"), netip.MustParseAddr("fd00:50::11")},
	ClusterCIDRs:  []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:244::/48")},
	PodCIDRs:      []netip.Prefix{netip.MustParsePrefix("10.244.0.0/24")},
}

func newProxier(t *testing.T, k proxier.Kernel) *proxier.Proxier {
	t.Helper()
	p, err := proxier.New(k, &propertyConfig)
	require.NoError(t, err)
	return p
}

func apply(t *testing.T, k proxier.Kernel, services []proxier.Service) proxier.Report {
	t.Helper()
	report, err := newProxier(t, k).ApplyServices(t.Context(), services)
	require.NoError(t, err)
	return report
}

// randomServices returns valid services of which no two claim one tuple. Ports
// tell services apart, and addresses are shared.
func randomServices(r *rand.Rand) []proxier.Service {
	var services []proxier.Service
	for i := range 6 {
		if r.IntN(3) == 0 {
			continue
		}
		s := proxier.Service{
			Name:     fmt.Sprintf("ns/svc%d", i),
			Protocol: []vipkit.Protocol{vipkit.TCP, vipkit.UDP, vipkit.SCTP}[r.IntN(3)],
			Internal: proxier.Policy(r.IntN(2)),
			External: proxier.Policy(r.IntN(2)),
		}
		randomFrontends(r, &s, uint16(8000+i))
		randomEndpoints(r, &s)
		randomPolicies(r, &s)
		services = append(services, s)
	}
	r.Shuffle(len(services), func(i, j int) { services[i], services[j] = services[j], services[i] })
	return services
}

func randomFrontends(r *rand.Rand, s *proxier.Service, port uint16) {
	add := func(kind proxier.FrontendKind, addr string) {
		if r.IntN(2) == 0 {
			s.Frontends = append(s.Frontends, proxier.Frontend{Kind: kind, Addr: netip.MustParseAddr(addr), Port: port})
		}
	}
	add(proxier.ClusterIP, fmt.Sprintf("10.96.0.%d", 1+r.IntN(3)))
	add(proxier.ClusterIP, fmt.Sprintf("fd00:10:96::%d", 1+r.IntN(3)))
	add(proxier.ExternalIP, "203.0.113.10")
	add(proxier.LoadBalancerIP, "203.0.113.20")
	add(proxier.LoadBalancerIP, "2001:db8::20")
	if r.IntN(2) == 0 {
		add(proxier.NodePort, "0.0.0.0")
		add(proxier.NodePort, "::")
	}
	if r.IntN(4) == 0 {
		s.Frontends = append(s.Frontends, proxier.Frontend{Kind: proxier.HostPort, Addr: netip.IPv4Unspecified(), Port: port + 1000})
	}
}

func randomEndpoints(r *rand.Rand, s *proxier.Service) {
	v4, v6 := false, false
	for _, f := range s.Frontends {
		v4, v6 = v4 || f.Addr.Is4(), v6 || f.Addr.Is6()
	}
	for i := range 4 {
		for _, e := range []struct {
			ok   bool
			addr string
		}{{v4, fmt.Sprintf("10.244.%d.5", i)}, {v6, fmt.Sprintf("fd00:244:%d::5", i)}} {
			if !e.ok || r.IntN(2) == 0 {
				continue
			}
			ep := proxier.ReadyEndpoint(netip.AddrPortFrom(netip.MustParseAddr(e.addr), 8080))
			ep.Weight = uint32(r.IntN(4))
			ep.Local = i == 0
			if r.IntN(4) == 0 {
				ep.Ready, ep.Terminating = false, r.IntN(2) == 0
			}
			s.Endpoints = append(s.Endpoints, ep)
		}
	}
}

func randomPolicies(r *rand.Rand, s *proxier.Service) {
	if r.IntN(3) == 0 {
		s.SourceRanges = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("192.168.0.0/16")}
	}
	if r.IntN(4) == 0 {
		s.Affinity = proxier.Affinity{Timeout: time.Duration(1+r.IntN(3)) * time.Minute}
	}
	s.Scheduler = []string{"", "wrr", "sh"}[r.IntN(3)]
	s.WithoutEndpoints = proxier.Verdict(r.IntN(2))
	if r.IntN(3) == 0 {
		s.HealthCheckPort = uint16(32000 + r.IntN(2)) // some share one
	}
	ways := 6
	if slices.ContainsFunc(s.Frontends, func(f proxier.Frontend) bool {
		return f.Kind == proxier.NodePort || f.Kind == proxier.HostPort
	}) {
		ways = 1 // endpoints do not hold the host's own addresses
	}
	switch r.IntN(ways) {
	case 0:
		s.Forward, s.External = proxier.FullNAT, proxier.Cluster
	case 1:
		s.Forward = proxier.Direct
	case 2:
		s.Forward, s.Tunnel = proxier.Tunnel, ipvs.TunnelConfig{Type: ipvs.GUE, Port: 6080}
	}
	if s.Forward == proxier.Direct || s.Forward == proxier.Tunnel { // no port is translated
		for i := range s.Frontends {
			s.Frontends[i].Port = 8500 + uint16(s.Name[len(s.Name)-1]) - '0'
		}
		for i := range s.Endpoints {
			s.Endpoints[i].Port = 8500 + uint16(s.Name[len(s.Name)-1]) - '0'
		}
	}
}

// foreignHost returns a host on which others have set things up.
func foreignHost(t *testing.T) *kerneltest.Host {
	t.Helper()
	h := kerneltest.New()
	require.NoError(t, h.Load(`-- ipvsadm --
-A -t 192.0.2.1:80 -s wlc
-a -t 192.0.2.1:80 -r 192.0.2.100:80 -m -w 5
-A -f 17 -s rr
-- ipset --
create SOMEBODY hash:ip family inet hashsize 1024 maxelem 65536
add SOMEBODY 192.0.2.5
-- iptables --
*filter
:INPUT DROP
:FORWARD ACCEPT
:OUTPUT ACCEPT
:SOMEBODY -
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -j SOMEBODY
-A SOMEBODY -m set --match-set SOMEBODY src -j ACCEPT
COMMIT
`))
	return h
}

func forSeeds(t *testing.T, n uint64, f func(t *testing.T, r *rand.Rand)) {
	for seed := range n {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			f(t, rand.New(rand.NewPCG(seed, 7)))
		})
	}
}

// P1 converges, P2 idempotent, P3 no history, P6 ownership.
func TestConvergesWithoutHistory(t *testing.T) {
	forSeeds(t, 25, func(t *testing.T, r *rand.Rand) {
		host := foreignHost(t)
		before := host.Dump("vipkit0")
		rec := kerneltest.Record(host.Kernel())
		p := newProxier(t, rec.Kernel())
		for range 4 {
			services := randomServices(r)
			_, err := p.ApplyServices(t.Context(), services)
			require.NoError(t, err)

			again, err := newProxier(t, host.Kernel()).Plan(t.Context(), services)
			require.NoError(t, err)
			require.Empty(t, again.String(), "P1: the kernel has what is wanted")

			rec.Reset()
			_, err = p.ApplyServices(t.Context(), services)
			require.NoError(t, err)
			require.Empty(t, rec.Writes(), "P2: nothing to write")
			require.Zero(t, rec.Reads(), "P2: nothing to read")

			fresh := foreignHost(t)
			apply(t, fresh.Kernel(), services)
			require.Equal(t, fresh.Dump("vipkit0"), host.Dump("vipkit0"), "P3: no trace of what was before")
		}
		_, err := p.ApplyServices(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, before, host.Dump("vipkit0"), "P6: what others have is as it was")
	})
}

// Changes one by one come to the same as everything at once (P1–P3, P7).
func TestChangesConverge(t *testing.T) {
	forSeeds(t, 25, func(t *testing.T, r *rand.Rand) {
		host := foreignHost(t)
		p := newProxier(t, host.Kernel())
		now := make(map[string]proxier.Service)
		for range 8 {
			next := randomServices(r)
			var c proxier.Changes
			for _, s := range next {
				if r.IntN(2) == 0 {
					c.Upsert = append(c.Upsert, s)
					now[s.Name] = s
				}
			}
			for name := range now {
				if r.IntN(4) == 0 && !slices.ContainsFunc(c.Upsert, func(s proxier.Service) bool { return s.Name == name }) {
					c.Delete = append(c.Delete, name)
					delete(now, name)
				}
			}
			_, err := p.Apply(t.Context(), c)
			require.NoError(t, err)
			fresh := foreignHost(t)
			services := slices.Collect(maps.Values(now))
			apply(t, fresh.Kernel(), services)
			require.Equal(t, fresh.Dump("vipkit0"), host.Dump("vipkit0"))
			plan, err := p.Plan(t.Context(), services)
			require.NoError(t, err)
			require.Empty(t, plan.String(), "the same as everything at once")
		}
	})
}

// P4: a crash before or after any write costs nothing that a new start does not
// mend. P5: so does an answer that is lost.
func TestCrashAnywhere(t *testing.T) {
	forSeeds(t, 4, func(t *testing.T, r *rand.Rand) {
		from, to := randomServices(r), randomServices(r)
		fresh := foreignHost(t)
		apply(t, fresh.Kernel(), to)
		whole := fresh.Dump("vipkit0")
		for _, lost := range []bool{false, true} {
			for cut := 0; ; cut++ {
				host := foreignHost(t)
				apply(t, host.Kernel(), from)
				rec := kerneltest.Record(host.Kernel())
				rec.Fault = func(n int, _ string) kerneltest.Fault {
					switch {
					case lost && n == cut:
						return kerneltest.Fault{After: fmt.Errorf("cut at %d: %w", n, vipkit.ErrReplyLost)}
					case !lost && n >= cut:
						return kerneltest.Fault{Before: fmt.Errorf("crashed at %d", cut)}
					}
					return kerneltest.Fault{}
				}
				p := newProxier(t, rec.Kernel())
				_, err := p.ApplyServices(t.Context(), to)
				if len(rec.Writes()) <= cut {
					require.NoError(t, err)
					break
				}
				if lost {
					rec.Fault = nil // the same process goes on
				} else {
					p = newProxier(t, host.Kernel()) // a new one starts
				}
				_, err = p.ApplyServices(t.Context(), to)
				require.NoError(t, err)
				require.Equal(t, whole, host.Dump("vipkit0"), "cut at write %d, answer lost: %v", cut, lost)
			}
		}
	})
}

// P9: what befalls one service leaves the others right, and its error names it.
func TestIsolation(t *testing.T) {
	forSeeds(t, 40, func(t *testing.T, r *rand.Rand) {
		services := randomServices(r)
		if len(services) < 2 || len(services[0].Frontends) == 0 {
			return
		}
		victim := services[0]
		port := fmt.Sprint(victim.Frontends[0].Port)
		host := foreignHost(t)
		rec := kerneltest.Record(host.Kernel())
		hit := false
		rec.Fault = func(_ int, write string) kerneltest.Fault {
			if strings.Contains(write, ":"+port) && !strings.HasPrefix(write, "conntrack") && r.IntN(2) == 0 {
				hit = true
				return kerneltest.Fault{Before: errInjected}
			}
			return kerneltest.Fault{}
		}
		report, err := newProxier(t, rec.Kernel()).ApplyServices(t.Context(), services)
		if !hit {
			require.NoError(t, err)
			return
		}
		require.ErrorIs(t, err, errInjected)
		require.Len(t, report.Failed, 1, "%v", report)
		require.Equal(t, victim.Name, report.Failed[0].Service)
		require.Len(t, report.Programmed, len(services)-1)
		rec.Fault = nil
		_, err = newProxier(t, rec.Kernel()).ApplyServices(t.Context(), services)
		require.NoError(t, err)
	})
}

// A context that is done, a kernel that cannot be read: nothing is written.
func TestNothingWrittenWhenUnknown(t *testing.T) {
	host := foreignHost(t)
	services := randomServices(rand.New(rand.NewPCG(1, 7)))
	apply(t, host.Kernel(), services)
	before := host.Dump("vipkit0")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newProxier(t, host.Kernel()).ApplyServices(ctx, nil)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, before, host.Dump("vipkit0"))
}
