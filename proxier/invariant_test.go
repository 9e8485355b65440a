package proxier_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/proxier"
)

// What must hold after every single write, whatever changes into whatever, and
// whatever fails on the way: what is ours is provably ours, nothing is reachable
// without its safeguards. Endpoints 10.244.0.x are on this node.

var contested = []netip.Addr{netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2"), netip.MustParseAddr("203.0.113.3")}

// contestants returns services that share three addresses out among them anew.
func contestants(r *rand.Rand) []proxier.Service {
	owner := make(map[netip.Addr]int)
	for _, a := range contested {
		owner[a] = r.IntN(5) // 3 and 4: nobody's
	}
	kinds := []proxier.FrontendKind{proxier.ClusterIP, proxier.ExternalIP, proxier.LoadBalancerIP}
	var services []proxier.Service
	for i := range 3 {
		s := proxier.Service{
			Name: fmt.Sprint("s", i), Protocol: vipkit.TCP, External: proxier.Policy(r.IntN(2)),
			Internal: proxier.Policy(r.IntN(2)), WithoutEndpoints: proxier.Verdict(r.IntN(2)),
		}
		for _, a := range contested {
			if owner[a] == i {
				s.Frontends = append(s.Frontends, proxier.Frontend{Kind: kinds[r.IntN(3)], Addr: a, Port: 80})
			}
		}
		for j := range 4 {
			if r.IntN(2) == 0 {
				e := proxier.ReadyEndpoint(netip.MustParseAddrPort(fmt.Sprintf("10.244.%d.%d:8080", j/2, 10*(i+1)+j)))
				e.Local = j < 2
				s.Endpoints = append(s.Endpoints, e)
			}
		}
		if r.IntN(2) == 0 {
			s.SourceRanges = []netip.Prefix{netip.MustParsePrefix([]string{"198.51.100.0/24", "192.0.2.0/24"}[r.IntN(2)])}
		}
		if len(s.Frontends) > 0 {
			services = append(services, s)
		}
	}
	return services
}

// snapshot is a host as the invariants see it.
type snapshot struct {
	sets    map[string]map[ipset.EntryKey]ipset.Entry
	servers map[ipvs.Key]ipvs.Server
	bound   map[netip.Addr]bool
	rules   bool
}

func snapshotOf(t *testing.T, h *kerneltest.Host) snapshot {
	t.Helper()
	m := snapshot{sets: make(map[string]map[ipset.EntryKey]ipset.Entry), bound: make(map[netip.Addr]bool)}
	for s, err := range h.IPSet.Sets(t.Context()) {
		require.NoError(t, err)
		word := strings.TrimSuffix(strings.TrimPrefix(s.Name, "VIPKIT-"), "-4")
		m.sets[word] = make(map[ipset.EntryKey]ipset.Entry)
		for e, err := range h.IPSet.Entries(t.Context(), s.Name) {
			require.NoError(t, err)
			m.sets[word][e.EntryKey] = e
		}
	}
	var err error
	m.servers, err = ipvs.Snapshot(t.Context(), h.IPVS)
	require.NoError(t, err)
	for a, err := range h.Dummy.Addresses(t.Context(), "vipkit0") {
		if err == nil {
			m.bound[a.Addr] = true
		}
	}
	m.rules = strings.Contains(h.IPTables.Dump(vipkit.IPv4), "VIPKIT-GATE")
	return m
}

func (m snapshot) in(set string, k ipset.EntryKey) bool { _, ok := m.sets[set][k]; return ok }

func onThisNode(a netip.Addr) bool { return a.As4()[2] == 0 }

// violations returns what does not hold, on the way from some services to
// others.
func (m snapshot) violations(from, to []proxier.Service) (bad []string) {
	for _, addr := range contested {
		for _, v := range m.violationsAt(addr, from, to) {
			bad = append(bad, addr.String()+": "+v)
		}
	}
	for key, server := range m.servers {
		for d := range server.Destinations {
			h := ipset.Key(d.Addr, vipkit.TCP, d.Port)
			h.Net2 = h.Net
			if onThisNode(d.Addr) && !m.in("HAIRPIN", h) {
				bad = append(bad, fmt.Sprintf("%v: %v may get its own packets and has no hairpin entry", key, d.Addr))
			}
		}
	}
	return bad
}

func (m snapshot) violationsAt(addr netip.Addr, from, to []proxier.Service) (bad []string) {
	key := ipvs.Key{Protocol: vipkit.TCP, Addr: addr, Port: 80}
	k := ipset.Key(addr, vipkit.TCP, 80)
	server, there := m.servers[key]
	if there && !m.in("LEDGER", k) {
		bad = append(bad, "server is not provably ours")
	}
	if m.bound[addr] && !m.in("ADDRESSES", ipset.EntryKey{Net: ipset.Host(addr)}) {
		bad = append(bad, "address is not provably ours")
	}
	if m.bound[addr] && m.in("OPEN", k) && !there {
		bad = append(bad, "open to listeners of the host")
	}
	if !there || len(server.Destinations) == 0 {
		return bad
	}
	if !m.rules {
		return append(bad, "server without rules")
	}
	if m.in("DROP", k) {
		return bad
	}
	reached := m.fromOutside(k, server)
	if !m.in("ABSENT", k) && !m.in("EXTERNAL", k) && !m.in("CLUSTER", k) {
		for d := range reached.Destinations {
			if !onThisNode(d.Addr) {
				bad = append(bad, fmt.Sprintf("clients from outside reach %v without source NAT", d.Addr))
			}
		}
	}
	for d := range server.Destinations {
		bad = append(bad, m.rangesOf(k, d.Addr, from, to)...)
	}
	return bad
}

// fromOutside returns the server that clients from outside reach.
func (m snapshot) fromOutside(k ipset.EntryKey, server ipvs.Server) ipvs.Server {
	if e, ok := m.sets["LOCAL"][k]; ok {
		if byMark, ok := m.servers[ipvs.MarkKey(vipkit.IPv4, e.Mark)]; ok {
			return byMark
		}
	}
	return server
}

// rangesOf checks that an endpoint is reached by clients that its own service
// admits, before or after.
func (m snapshot) rangesOf(k ipset.EntryKey, endpoint netip.Addr, from, to []proxier.Service) (bad []string) {
	both := slices.Concat(from, to)
	has := func(name string) bool { // before or after
		return slices.ContainsFunc(both, func(s proxier.Service) bool {
			return s.Name == name && slices.ContainsFunc(s.Endpoints, func(e proxier.Endpoint) bool { return e.Addr == endpoint })
		})
	}
	var allowed []netip.Prefix
	for _, s := range both {
		for _, f := range s.Frontends {
			if f.Addr != k.Net.Addr() || !has(s.Name) {
				continue
			}
			if f.Kind != proxier.LoadBalancerIP || len(s.SourceRanges) == 0 {
				return nil // before or after, everybody may
			}
			allowed = append(allowed, s.SourceRanges...)
		}
	}
	if len(allowed) == 0 {
		return []string{fmt.Sprintf("%v is an endpoint of nobody who is here", endpoint)}
	}
	if !m.in("RANGED", k) {
		return []string{fmt.Sprintf("everybody reaches %v", endpoint)}
	}
	for e := range m.sets["RANGES"] {
		if e.Net == k.Net && !slices.Contains(allowed, e.Net2) {
			bad = append(bad, fmt.Sprintf("%v reaches %v", e.Net2, endpoint))
		}
	}
	return bad
}

// TestInvariantsAfterEveryWrite goes from random services to others, without a
// fault and with one write that fails.
func TestInvariantsAfterEveryWrite(t *testing.T) {
	for _, faulty := range []bool{false, true} {
		t.Run(fmt.Sprintf("faulty=%v", faulty), func(t *testing.T) {
			t.Parallel()
			checked := 0
			for seed := range uint64(400) {
				checked += invariants(t, seed, faulty)
			}
			t.Logf("%d states checked", checked)
		})
	}
}

func invariants(t *testing.T, seed uint64, faulty bool) (checked int) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	from, to := contestants(r), contestants(r)
	h := kerneltest.New()
	p, err := proxier.New(h.Kernel(), nil)
	require.NoError(t, err)
	_, err = p.ApplyServices(t.Context(), from)
	require.NoError(t, err)
	plan, err := p.Plan(t.Context(), to)
	require.NoError(t, err)

	fails := -1
	if faulty {
		fails = r.IntN(1 + plan.Len())
	}
	rec := kerneltest.Record(h.Kernel())
	last := "nothing"
	check := func() {
		checked++
		if bad := snapshotOf(t, h).violations(from, to); len(bad) > 0 {
			require.Fail(t, "violated", "seed %d, write %d fails, after %q:\n%s\nfrom\n%sto\n%s", seed, fails, last, strings.Join(bad, "\n"), texts(from), texts(to))
		}
	}
	rec.Fault = func(n int, write string) kerneltest.Fault {
		check()
		last, _, _ = strings.Cut(write, "\n")
		if n == fails {
			return kerneltest.Fault{Before: errInjected}
		}
		return kerneltest.Fault{}
	}
	p, err = proxier.New(rec.Kernel(), nil)
	require.NoError(t, err)
	_, err = p.ApplyServices(t.Context(), to)
	if !faulty {
		require.NoError(t, err)
	}
	check()
	return checked
}

func texts(services []proxier.Service) string {
	var b strings.Builder
	for _, s := range services {
		b.WriteString(s.String())
	}
	return b.String()
}
