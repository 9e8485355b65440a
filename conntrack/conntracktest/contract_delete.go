package conntracktest

import (
	"io/fs"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
)

func testDelete(t *testing.T, o Opened) {
	require.NoError(t, o.Add(samples(50)...))
	n, err := o.Client.Delete(t.Context(), nil)
	require.NoError(t, err)
	require.Zero(t, n)
	every := all(t, o.Client)
	half := every[:len(every)/2]
	n, err = o.Client.Delete(t.Context(), half)
	require.NoError(t, err)
	require.Equal(t, len(half), n)
	require.ElementsMatch(t, every[len(every)/2:], all(t, o.Client))
	n, err = o.Client.Delete(t.Context(), every)
	require.NoError(t, err)
	require.Equal(t, len(every)-len(half), n)
	require.Empty(t, all(t, o.Client))
}

func testGone(t *testing.T, o Opened) {
	n, err := o.Client.Delete(t.Context(), flowsOf(samples(2)))
	require.NoError(t, err)
	require.Zero(t, n)
	o.deleteMatching(t, 0, conntrack.Match{Protocol: vipkit.UDP, OriginalDst: Service(vipkit.IPv4, 0)})
	require.NoError(t, o.Add(samples(1)...))
	n, err = o.Client.Delete(t.Context(), flowsOf(samples(1))) // with other IDs
	require.NoError(t, err)
	require.Zero(t, n)
	require.Len(t, all(t, o.Client), len(samples(1)))
}

// testReused deletes by what was read before another flow took the tuple.
func testReused(t *testing.T, o Opened) {
	for _, zone := range []uint16{0, 5} {
		flow := samples(1)[0]
		flow.Zone, flow.ReplyZone = zone, zone
		require.NoError(t, o.Add(flow))
		old := all(t, o.Client)
		n, err := o.Client.Delete(t.Context(), old)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		flow.Reply.Src = SampleFlow(vipkit.IPv4, vipkit.TCP, 0, 7, 0).Reply.Src
		require.NoError(t, o.Add(flow))
		n, err = o.Client.Delete(t.Context(), old)
		require.NoError(t, err)
		require.Zero(t, n)
		n, err = o.Client.Delete(t.Context(), all(t, o.Client))
		require.NoError(t, err)
		require.Equal(t, 1, n)
	}
}

func testICMP(t *testing.T, o Opened) {
	for _, f := range []vipkit.Family{vipkit.IPv4, vipkit.IPv6} {
		a, b := SamplePing(f, 0, 7), SamplePing(f, 0, 8)
		require.NoError(t, o.Add(answered(a, b)...))
		require.ErrorIs(t, o.Add(answered(a)...), fs.ErrExist)
		got := list(t, o.Client, conntrack.Filter{Protocol: a.Protocol})
		require.Equal(t, withoutIDs([]conntrack.Flow{a, b}), withoutIDs(got))
		i := slices.IndexFunc(got, func(f conntrack.Flow) bool { return f.Original.ICMP.ID == 7 })
		n, err := o.Client.Delete(t.Context(), got[i:i+1])
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, withoutIDs([]conntrack.Flow{b}), withoutIDs(list(t, o.Client, conntrack.Filter{Protocol: a.Protocol})))
	}
}

func testMatching(t *testing.T, o Opened) {
	for _, f := range []vipkit.Family{vipkit.IPv4, vipkit.IPv6} {
		for _, p := range []vipkit.Protocol{vipkit.TCP, vipkit.UDP, vipkit.SCTP} {
			_, err := o.Client.Delete(t.Context(), all(t, o.Client))
			require.NoError(t, err)
			require.NoError(t, o.Add(samples(3)...)) // 3 flows to each endpoint of each service
			rest := all(t, o.Client)

			o.deleteMatching(t, 0)
			o.deleteMatching(t, 0, conntrack.Match{Protocol: p, OriginalDst: Service(f, 9)})
			one := conntrack.Match{Protocol: p, OriginalDst: Service(f, 0), ReplySrc: SampleFlow(f, p, 0, 1, 0).Reply.Src}
			other := one
			other.ReplySrc = netip.AddrPortFrom(one.ReplySrc.Addr(), 9)
			o.deleteMatching(t, 0, other)
			o.deleteMatching(t, 3, one, one)
			o.deleteMatching(t, 0, one)
			rest = slices.DeleteFunc(rest, one.Matches)
			require.Equal(t, withoutIDs(rest), withoutIDs(all(t, o.Client)))

			whole := conntrack.Match{Protocol: p, OriginalDst: Service(f, 0)}
			o.deleteMatching(t, 3, one, whole, one)
			rest = slices.DeleteFunc(rest, whole.Matches)
			require.Equal(t, withoutIDs(rest), withoutIDs(all(t, o.Client)))
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
			require.NoError(t, o.Add(answered(a, b)...))
			if service < 5 { // stays
				want = append(want, a, b)
				continue
			}
			want = append(want, b)
			matches = append(matches, conntrack.Match{Protocol: p, OriginalDst: a.Original.Dst, ReplySrc: a.Reply.Src})
		}
	}
	o.deleteMatching(t, len(matches), matches...)
	require.Equal(t, withoutIDs(want), withoutIDs(all(t, o.Client)))
}

// testStale deletes by which endpoints are left, of few services and of many.
func testStale(t *testing.T, o Opened) {
	n, err := conntrack.DeleteStale(t.Context(), o.Client, nil)
	require.NoError(t, err)
	require.Zero(t, n)
	for _, services := range []byte{2, 12} {
		var want []conntrack.Flow
		live := make(map[conntrack.Frontend][]netip.AddrPort)
		stale := 0
		for service := range services {
			for _, f := range []vipkit.Family{vipkit.IPv4, vipkit.IPv6} {
				a, b := SampleFlow(f, vipkit.UDP, service, 0, 1), SampleFlow(f, vipkit.UDP, service, 1, 2)
				untranslated := SampleFlow(f, vipkit.UDP, service, 0, 3)
				untranslated.Reply.Src = untranslated.Original.Dst
				other, stream := SampleFlow(f, vipkit.UDP, 100+service, 0, 4), SampleFlow(f, vipkit.TCP, service, 9, 5)
				require.NoError(t, o.Add(answered(a, b, untranslated, other, stream)...))
				key := conntrack.Frontend{Protocol: vipkit.UDP, Addr: a.Original.Dst}
				want = append(want, other, stream)
				switch service % 3 {
				case 0: // nobody is left
					live[key], stale = nil, stale+3
				case 1:
					live[key], stale = []netip.AddrPort{b.Reply.Src, Service(f, 200)}, stale+2
					want = append(want, b)
				default: // not asked for
					want = append(want, a, b, untranslated)
				}
			}
		}
		n, err := conntrack.DeleteStale(t.Context(), o.Client, live)
		require.NoError(t, err)
		require.Equal(t, stale, n)
		require.Equal(t, withoutIDs(want), withoutIDs(all(t, o.Client)))
		n, err = conntrack.DeleteStale(t.Context(), o.Client, live)
		require.NoError(t, err)
		require.Zero(t, n)
		_, err = o.Client.Delete(t.Context(), all(t, o.Client))
		require.NoError(t, err)
	}
	_, err = conntrack.DeleteStale(t.Context(), o.Client, map[conntrack.Frontend][]netip.AddrPort{{}: nil})
	require.ErrorIs(t, err, fs.ErrInvalid)
}

func testZones(t *testing.T, o Opened) {
	a := SampleFlow(vipkit.IPv4, vipkit.UDP, 0, 0, 0)
	b := a
	b.Zone, b.ReplyZone = 5, 5
	require.NoError(t, o.Add(answered(a, b)...))
	require.Equal(t, withoutIDs([]conntrack.Flow{a, b}), withoutIDs(all(t, o.Client)))
	n, err := o.Client.Delete(t.Context(), list(t, o.Client, conntrack.Filter{Zone: conntrack.InZone(5)}))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, withoutIDs([]conntrack.Flow{a}), withoutIDs(all(t, o.Client)))
	require.NoError(t, o.Add(answered(b)...))
	o.deleteMatching(t, 2, conntrack.Match{Protocol: vipkit.UDP, OriginalDst: a.Original.Dst}) // of every zone
	require.Empty(t, all(t, o.Client))
}

// testOneZone has flows that are in a zone with one direction only.
func testOneZone(t *testing.T, o Opened) {
	a := SampleFlow(vipkit.IPv4, vipkit.UDP, 0, 0, 0)
	b, c := a, a
	b.Zone, b.Reply.Dst = 5, netip.AddrPortFrom(a.Reply.Dst.Addr(), 1)
	c.ReplyZone, c.Original.Src = 6, netip.AddrPortFrom(a.Original.Src.Addr(), 2)
	require.NoError(t, o.Add(answered(a, b, c)...))
	got := all(t, o.Client)
	require.Equal(t, withoutIDs([]conntrack.Flow{a, b, c}), withoutIDs(got))
	for zone, want := range map[uint16]conntrack.Flow{0: a, 5: b, 6: c} {
		require.Equal(t, withoutIDs([]conntrack.Flow{want}), withoutIDs(list(t, o.Client, conntrack.Filter{Zone: conntrack.InZone(zone)})))
	}
	for _, f := range got {
		n, err := o.Client.Delete(t.Context(), []conntrack.Flow{f})
		require.NoError(t, err)
		require.Equal(t, 1, n, "%v", f)
	}
}
