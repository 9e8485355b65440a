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

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/kerneltest/oracle"
	"github.com/vipkit/vipkit/proxier"
)

// deliveryNetwork is the node that [contestants] are for: 10.244.0.0/24 are its
// pods, 10.244.1.0/24 those of another node.
const deliveryNetwork = `
addr add 198.51.100.1/24 dev eth0
addr add 192.0.2.1/24 dev eth1
route add 10.244.0.0/24 dev pods
route add 10.244.1.0/24 via 198.51.100.2 dev eth0
addr add 10.244.0.1/32 dev pods
`

// TestDeliveryAfterEveryWrite goes from random services to others, and asks the
// oracle after every single write: a packet that an endpoint gets before and
// after gets an endpoint at every moment between, one of before or after; and
// nobody sees it from an address that neither has. Whoever gets nothing before
// and after, as for the source ranges, gets nothing between.
func TestDeliveryAfterEveryWrite(t *testing.T) {
	states, packets := 0, 0
	for seed := range uint64(60) {
		s, p := delivery(t, seed)
		states += s
		packets += p
	}
	t.Logf("%d states, %d packets", states, packets)
	require.NotZero(t, packets)
}

// gets is what may become of a packet: the endpoints that get it, each with
// whether all see the sender by an address of this host, or what else.
type gets struct {
	endpoints map[string]bool
	masked    bool
	others    map[oracle.Outcome]bool
}

func getsOf(verdicts []oracle.Verdict) gets {
	g := gets{endpoints: make(map[string]bool), masked: true, others: make(map[oracle.Outcome]bool)}
	for _, v := range verdicts {
		if v.Outcome != oracle.ToEndpoint {
			g.others[v.Outcome] = true
			continue
		}
		g.endpoints[v.To.String()] = true
		if from := v.Source.Addr().String(); !strings.Contains(deliveryNetwork, " "+from+"/") {
			g.masked = false
		}
	}
	return g
}

func (g gets) String() string {
	return fmt.Sprintf("%v masked=%v %v", slices.Sorted(maps.Keys(g.endpoints)), g.masked, slices.Sorted(maps.Keys(g.others)))
}

// delivered reports whether an endpoint gets the packet whatever is picked.
func (g gets) delivered() bool { return len(g.endpoints) > 0 && len(g.others) == 0 }

// refused reports whether the packet is rejected or dropped.
func (g gets) refused() bool {
	return len(g.endpoints) == 0 && !g.others[oracle.ToHost] && !g.others[oracle.Passed]
}

func delivery(t *testing.T, seed uint64) (states, packets int) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 5))
	from, to := contestants(r), contestants(r)
	config := &proxier.Config{
		ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/24")},
	}
	h := kerneltest.New()
	require.NoError(t, h.Load("-- network --\n"+deliveryNetwork))
	p, err := proxier.New(h.Kernel(), config)
	require.NoError(t, err)
	require.NoError(t, p.SetSysctls(t.Context(), p.Preflight(t.Context(), from).Wrong()))
	_, err = p.ApplyServices(t.Context(), from)
	require.NoError(t, err)
	before := ask(t, h)

	var between []map[string]gets
	var after []string
	rec := kerneltest.Record(h.Kernel())
	rec.Fault = func(_ int, write string) kerneltest.Fault {
		between = append(between, ask(t, h))
		after = append(after, write)
		return kerneltest.Fault{}
	}
	p, err = proxier.New(rec.Kernel(), config)
	require.NoError(t, err)
	_, err = p.ApplyServices(context.Background(), to)
	require.NoError(t, err)
	finally := ask(t, h)

	for i, now := range between {
		for packet, got := range now {
			b, a := before[packet], finally[packet]
			where := fmt.Sprintf("seed %d, %s, before write %d, %q: %v; first %v, in the end %v\nfrom\n%sto\n%s",
				seed, packet, i, after[i], got, b, a, texts(from), texts(to))
			_, address, _ := strings.Cut(packet, " to ")
			if sharesService(from, to, address) && b.delivered() && a.delivered() && shares(b, a) {
				packets++
				require.True(t, got.delivered(), where)
			}
			if b.refused() && a.refused() {
				packets++
				require.True(t, got.refused(), where)
			}
			for endpoint := range got.endpoints {
				require.True(t, isOf(slices.Concat(from, to), endpoint, address), where)
			}
			if b.delivered() && b.masked && a.delivered() && a.masked {
				require.True(t, got.masked, where)
			}
			require.True(t, !got.others[oracle.ToHost] || b.others[oracle.ToHost] || a.others[oracle.ToHost], where)
		}
	}
	return len(between), packets
}

// shares reports whether some endpoint may get the packet in both.
func shares(a, b gets) bool {
	for endpoint := range a.endpoints {
		if b.endpoints[endpoint] {
			return true
		}
	}
	return false
}

// isOf reports whether an endpoint is one of a service that has an address, both
// as it was and as it is to be.
func isOf(services []proxier.Service, endpoint, address string) bool {
	has := func(name string) bool {
		return slices.ContainsFunc(services, func(s proxier.Service) bool {
			return s.Name == name && slices.ContainsFunc(s.Frontends, func(f proxier.Frontend) bool { return f.Addr.String() == address })
		})
	}
	return slices.ContainsFunc(services, func(s proxier.Service) bool {
		return has(s.Name) && slices.ContainsFunc(s.Endpoints, func(e proxier.Endpoint) bool {
			return netip.AddrPortFrom(e.Addr, e.Port).String() == endpoint
		})
	})
}

// sharesService reports whether an address is one service's throughout, and of
// one kind.
func sharesService(from, to []proxier.Service, address string) bool {
	owner := func(services []proxier.Service) string {
		for _, s := range services {
			for _, f := range s.Frontends {
				if f.Addr.String() == address {
					return s.Name + f.Kind.String()
				}
			}
		}
		return ""
	}
	return owner(from) == owner(to)
}

// ask returns who may get each packet of a client outside, one that is in no
// range, a pod of this node and one of another, and the host, to each address.
func ask(t *testing.T, h *kerneltest.Host) map[string]gets {
	t.Helper()
	all := make(map[string]gets)
	snapshot, err := oracle.Read(t.Context(), h.Kernel(), "vipkit0", h.Network)
	require.NoError(t, err)
	for _, client := range []string{"198.51.100.9", "192.0.2.9", "10.244.0.77", "10.244.1.77", ""} {
		for _, a := range contested {
			p := oracle.Packet{Protocol: vipkit.TCP, Destination: netip.AddrPortFrom(a, 80)}
			name := "host"
			if client != "" {
				p.Source = netip.AddrPortFrom(netip.MustParseAddr(client), 4000)
				name = client
			}
			verdicts, err := snapshot.Trace(p)
			if err != nil && client == "" {
				continue // no address to send from
			}
			require.NoError(t, err)
			all[name+" to "+a.String()] = getsOf(verdicts)
		}
	}
	return all
}
