package conntracktest

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
)

// Opened is a client, and what puts flows into the table behind it: their IDs do
// not count.
type Opened struct {
	Client conntrack.Client
	Add    func(flows ...conntrack.Flow) error
}

// TestClient checks that what open returns keeps the contract of
// [conntrack.Client]. Each call of open has to return a client with an empty
// table, of IPv4 and IPv6.
func TestClient(t *testing.T, open func(t *testing.T) Opened) {
	for name, test := range map[string]func(*testing.T, Opened){
		"list": testList, "delete": testDelete, "gone": testGone, "reused tuple": testReused,
		"matching": testMatching, "many matches": testManyMatches, "invalid": testInvalid, "zones": testZones,
		"cancelled": testCancelled, "early break": testBreak, "concurrent": testConcurrent,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// list returns the flows, with IDs, in order.
func list(t *testing.T, c conntrack.Client, of ...vipkit.Protocol) (flows []conntrack.Flow) {
	t.Helper()
	for f, err := range c.Flows(t.Context(), of...) {
		require.NoError(t, err)
		flows = append(flows, f)
	}
	return flows
}

// withoutIDs returns the flows as text, sorted, with their IDs set to zero.
func withoutIDs(flows []conntrack.Flow) (lines []string) {
	for _, f := range flows {
		f.ID = 0
		lines = append(lines, f.String())
	}
	slices.Sort(lines)
	return lines
}

func testList(t *testing.T, o Opened) {
	require.Empty(t, list(t, o.Client))
	want := samples(3)
	require.NoError(t, o.Add(want...))
	got := list(t, o.Client)
	require.Equal(t, withoutIDs(want), withoutIDs(got))
	ids := map[uint32]bool{}
	for _, f := range got {
		ids[f.ID] = true
	}
	require.Len(t, ids, len(want), "IDs are not unique")
	for _, of := range [][]vipkit.Protocol{{vipkit.UDP}, {vipkit.TCP, vipkit.SCTP}, {vipkit.SCTP}, {99}} {
		some := slices.DeleteFunc(slices.Clone(want), func(f conntrack.Flow) bool { return !slices.Contains(of, f.Protocol) })
		require.Equal(t, withoutIDs(some), withoutIDs(list(t, o.Client, of...)), "%v", of)
	}
}

func testDelete(t *testing.T, o Opened) {
	require.NoError(t, o.Add(samples(50)...))
	n, err := o.Client.Delete(t.Context(), nil)
	require.NoError(t, err)
	require.Zero(t, n)
	all := list(t, o.Client)
	half := all[:len(all)/2]
	n, err = o.Client.Delete(t.Context(), half)
	require.NoError(t, err)
	require.Equal(t, len(half), n)
	require.ElementsMatch(t, all[len(all)/2:], list(t, o.Client))
	n, err = o.Client.Delete(t.Context(), all)
	require.NoError(t, err)
	require.Equal(t, len(all)-len(half), n)
	require.Empty(t, list(t, o.Client))
}

func testGone(t *testing.T, o Opened) {
	n, err := o.Client.Delete(t.Context(), samples(2))
	require.NoError(t, err)
	require.Zero(t, n)
}

// testReused deletes by what was read before another flow took the tuple.
func testReused(t *testing.T, o Opened) {
	flow := samples(1)[0]
	require.NoError(t, o.Add(flow))
	require.ErrorIs(t, o.Add(flow), fs.ErrExist)
	old := list(t, o.Client)
	n, err := o.Client.Delete(t.Context(), old)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	flow.Reply.Src = SampleFlow(vipkit.IPv4, vipkit.TCP, 0, 7, 0).Reply.Src
	require.NoError(t, o.Add(flow))
	n, err = o.Client.Delete(t.Context(), old)
	require.NoError(t, err)
	require.Zero(t, n)
	require.Len(t, list(t, o.Client), 1)
}

func testMatching(t *testing.T, o Opened) {
	for _, f := range []vipkit.Family{vipkit.IPv4, vipkit.IPv6} {
		for _, p := range []vipkit.Protocol{vipkit.TCP, vipkit.UDP, vipkit.SCTP} {
			_, err := o.Client.Delete(t.Context(), list(t, o.Client))
			require.NoError(t, err)
			require.NoError(t, o.Add(samples(3)...)) // 3 flows to each endpoint of each service
			all := list(t, o.Client)

			for _, none := range [][]conntrack.Match{nil, {}, {{Protocol: p, OriginalDst: Service(f, 9)}}} {
				n, err := o.Client.DeleteMatching(t.Context(), none)
				require.NoError(t, err)
				require.Zero(t, n)
			}
			one := conntrack.Match{Protocol: p, OriginalDst: Service(f, 0), ReplySrc: SampleFlow(f, p, 0, 1, 0).Reply.Src}
			other := one
			other.ReplySrc = netip.AddrPortFrom(one.ReplySrc.Addr(), 9)
			for _, m := range [][]conntrack.Match{{other}, {one, one}, {one}} {
				n, err := o.Client.DeleteMatching(t.Context(), m)
				require.NoError(t, err)
				want := 0
				if m[0] == one && len(m) == 2 {
					want = 3
				}
				require.Equal(t, want, n, "%v", m)
			}
			rest := slices.DeleteFunc(slices.Clone(all), one.Matches)
			require.Equal(t, withoutIDs(rest), withoutIDs(list(t, o.Client)))

			whole := conntrack.Match{Protocol: p, OriginalDst: Service(f, 0)}
			n, err := o.Client.DeleteMatching(t.Context(), []conntrack.Match{one, whole, one})
			require.NoError(t, err)
			require.Equal(t, 3, n)
			rest = slices.DeleteFunc(rest, whole.Matches)
			require.Equal(t, withoutIDs(rest), withoutIDs(list(t, o.Client)))
		}
	}
}

// testManyMatches has more services than are worth a dump each, of several
// protocols and families.
func testManyMatches(t *testing.T, o Opened) {
	var matches []conntrack.Match
	var want []conntrack.Flow
	for service := range byte(40) {
		for _, f := range []vipkit.Family{vipkit.IPv4, vipkit.IPv6} {
			p := []vipkit.Protocol{vipkit.UDP, vipkit.TCP}[service&1]
			a, b := SampleFlow(f, p, service, 0, 1), SampleFlow(f, p, service, 1, 2)
			require.NoError(t, o.Add(a, b))
			if service < 5 { // stays
				want = append(want, a, b)
				continue
			}
			want = append(want, b)
			matches = append(matches, conntrack.Match{Protocol: p, OriginalDst: a.Original.Dst, ReplySrc: a.Reply.Src})
		}
	}
	n, err := o.Client.DeleteMatching(t.Context(), matches)
	require.NoError(t, err)
	require.Equal(t, len(matches), n)
	require.Equal(t, withoutIDs(want), withoutIDs(list(t, o.Client)))
}

func testInvalid(t *testing.T, o Opened) {
	require.NoError(t, o.Add(samples(1)...))
	all := list(t, o.Client)
	service := Service(vipkit.IPv4, 0)
	good := conntrack.Match{Protocol: vipkit.UDP, OriginalDst: service}
	for name, bad := range map[string]func(*conntrack.Match){
		"zero":          func(m *conntrack.Match) { *m = conntrack.Match{} },
		"no protocol":   func(m *conntrack.Match) { m.Protocol = 0 },
		"icmp":          func(m *conntrack.Match) { m.Protocol = 1 },
		"no port":       func(m *conntrack.Match) { m.OriginalDst = netip.AddrPortFrom(service.Addr(), 0) },
		"no address":    func(m *conntrack.Match) { m.OriginalDst = netip.AddrPort{} },
		"unspecified":   func(m *conntrack.Match) { m.OriginalDst = netip.AddrPortFrom(netip.IPv4Unspecified(), 53) },
		"mapped":        func(m *conntrack.Match) { m.OriginalDst = netip.MustParseAddrPort("[::ffff:10.96.0.1]:53") },
		"other family":  func(m *conntrack.Match) { m.ReplySrc = Service(vipkit.IPv6, 0) },
		"half endpoint": func(m *conntrack.Match) { m.ReplySrc = netip.AddrPortFrom(netip.Addr{}, 53) },
	} {
		m := good
		bad(&m)
		n, err := o.Client.DeleteMatching(t.Context(), []conntrack.Match{m})
		require.ErrorIs(t, err, fs.ErrInvalid, name)
		require.Zero(t, n, name)
	}
	for name, bad := range map[string]func(*conntrack.Flow){
		"zero":        func(f *conntrack.Flow) { *f = conntrack.Flow{} },
		"icmp":        func(f *conntrack.Flow) { f.Protocol = 1 },
		"no address":  func(f *conntrack.Flow) { f.Original.Src = netip.AddrPort{} },
		"two familes": func(f *conntrack.Flow) { f.Original.Dst = Service(vipkit.IPv6, 0) },
	} {
		f := all[0]
		if !f.Original.Src.Addr().Is4() {
			f = SampleFlow(vipkit.IPv4, vipkit.UDP, 0, 0, 0)
		}
		bad(&f)
		n, err := o.Client.Delete(t.Context(), []conntrack.Flow{f})
		require.ErrorIs(t, err, fs.ErrInvalid, name)
		require.Zero(t, n, name)
	}
	require.ElementsMatch(t, all, list(t, o.Client))

	n, err := o.Client.DeleteMatching(t.Context(), []conntrack.Match{{}, good})
	require.ErrorIs(t, err, fs.ErrInvalid)
	require.Equal(t, 2, n, "an invalid match does not stop the others")
	n, err = o.Client.Delete(t.Context(), append([]conntrack.Flow{{}}, all...))
	require.ErrorIs(t, err, fs.ErrInvalid)
	require.Equal(t, len(all)-2, n)
}

func testZones(t *testing.T, o Opened) {
	a := SampleFlow(vipkit.IPv4, vipkit.UDP, 0, 0, 0)
	b := a
	b.Zone = 5
	require.NoError(t, o.Add(a, b))
	got := list(t, o.Client, vipkit.UDP)
	require.Equal(t, withoutIDs([]conntrack.Flow{a, b}), withoutIDs(got))
	i := slices.IndexFunc(got, func(f conntrack.Flow) bool { return f.Zone == 5 })
	n, err := o.Client.Delete(t.Context(), got[i:i+1])
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, withoutIDs([]conntrack.Flow{a}), withoutIDs(list(t, o.Client)))
	require.NoError(t, o.Add(b))
	n, err = o.Client.DeleteMatching(t.Context(), []conntrack.Match{{Protocol: vipkit.UDP, OriginalDst: a.Original.Dst}})
	require.NoError(t, err)
	require.Equal(t, 2, n, "a match is of every zone")
}

func testCancelled(t *testing.T, o Opened) {
	require.NoError(t, o.Add(samples(1)...))
	all := list(t, o.Client)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n, err := o.Client.Delete(ctx, all)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, n)
	n, err = o.Client.DeleteMatching(ctx, []conntrack.Match{{Protocol: vipkit.UDP, OriginalDst: Service(vipkit.IPv4, 0)}})
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, n)
	count := 0
	for _, err := range o.Client.Flows(ctx) {
		require.ErrorIs(t, err, context.Canceled)
		count++
	}
	require.Equal(t, 1, count)
	require.ElementsMatch(t, all, list(t, o.Client))
}

func testBreak(t *testing.T, o Opened) {
	require.NoError(t, o.Add(samples(200)...))
	for range 3 {
		for f, err := range o.Client.Flows(t.Context()) {
			require.NoError(t, err)
			n, err := o.Client.Delete(t.Context(), []conntrack.Flow{f})
			require.NoError(t, err)
			require.Equal(t, 1, n, "the client is usable within the loop")
			break
		}
	}
	require.Len(t, list(t, o.Client), len(samples(200))-3)
}

func testConcurrent(t *testing.T, o Opened) {
	flows := samples(50)
	require.NoError(t, o.Add(flows...))
	var deleted atomic.Int64
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			var all []conntrack.Flow
			for f, err := range o.Client.Flows(t.Context()) {
				if err != nil {
					t.Error(err)
				}
				all = append(all, f)
			}
			n, err := o.Client.Delete(t.Context(), all)
			if err != nil {
				t.Error(fmt.Errorf("worker %d: %w", i, err))
			}
			deleted.Add(int64(n))
		})
	}
	group.Wait()
	require.EqualValues(t, len(flows), deleted.Load(), "each flow is deleted once")
	require.Empty(t, list(t, o.Client))
}
