package conntracktest

import (
	"context"
	"io/fs"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
)

// Opened is a client, and what puts flows into the table behind it: their IDs do
// not count.
type Opened struct {
	Client conntrack.Client
	Add    func(flows ...conntrack.FlowInfo) error
	// Uncounted says that DeleteMatching may return −1.
	Uncounted bool
}

// TestClient checks that what open returns keeps the contract of
// [conntrack.Client]. Each call of open has to return a client with an empty
// table, of IPv4 and IPv6.
func TestClient(t *testing.T, open func(t *testing.T) Opened) {
	for name, test := range map[string]func(*testing.T, Opened){
		"list": testList, "info": testInfo, "filters": testFilters, "count": testCount,
		"delete": testDelete, "gone": testGone, "reused tuple": testReused, "taken tuples": testTaken, "icmp": testICMP,
		"matching": testMatching, "many matches": testManyMatches, "stale": testStale,
		"invalid": testInvalid, "invalid matches": testInvalidMatches, "zones": testZones, "zones of one direction": testOneZone,
		"cancelled": testCancelled, "early break": testBreak, "concurrent": testConcurrent,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// list returns the flows that the filter selects.
func list(t *testing.T, c conntrack.Client, filter conntrack.Filter) (flows []conntrack.Flow) {
	t.Helper()
	for f, err := range c.Flows(t.Context(), filter) {
		require.NoError(t, err)
		flows = append(flows, f.Flow)
	}
	return flows
}

func all(t *testing.T, c conntrack.Client) []conntrack.Flow {
	t.Helper()
	return list(t, c, conntrack.Filter{})
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

func flowsOf(infos []conntrack.FlowInfo) (flows []conntrack.Flow) {
	for _, f := range infos {
		flows = append(flows, f.Flow)
	}
	return flows
}

// deleteMatching deletes and wants n to be the number.
func (o Opened) deleteMatching(t *testing.T, want int, matches ...conntrack.Match) {
	t.Helper()
	n, err := o.Client.DeleteMatching(t.Context(), matches)
	require.NoError(t, err)
	o.deleted(t, want, n)
}

func (o Opened) deleted(t *testing.T, want, n int) {
	t.Helper()
	if !o.Uncounted || n != -1 {
		require.Equal(t, want, n)
	}
}

func testList(t *testing.T, o Opened) {
	require.Empty(t, all(t, o.Client))
	want := flowsOf(samples(3))
	require.NoError(t, o.Add(samples(3)...))
	got := all(t, o.Client)
	require.Equal(t, withoutIDs(want), withoutIDs(got))
	ids := map[uint32]bool{}
	for _, f := range got {
		ids[f.ID] = true
	}
	require.Len(t, ids, len(want), "IDs are not unique")
}

// testInfo has all that a flow can have.
func testInfo(t *testing.T, o Opened) {
	flows := answered(
		SampleFlow(vipkit.IPv4, vipkit.TCP, 0, 0, 0), SampleFlow(vipkit.IPv6, vipkit.SCTP, 0, 0, 0),
		SampleFlow(vipkit.IPv4, vipkit.UDP, 0, 0, 0), SampleFlow(vipkit.IPv6, vipkit.UDP, 0, 0, 0), SamplePing(vipkit.IPv4, 0, 7))
	flows[0].State, flows[0].Mark = "TIME_WAIT", 1<<31
	flows[1].Zone, flows[1].ReplyZone = 65535, 65535
	flows[2].Status = conntrack.StatusConfirmed
	flows[3].Status = conntrack.StatusConfirmed | conntrack.StatusSeenReply
	require.NoError(t, o.Add(flows...))
	read := 0
	for f, err := range o.Client.Flows(t.Context(), conntrack.Filter{}) {
		require.NoError(t, err)
		i := slices.IndexFunc(flows, func(want conntrack.FlowInfo) bool {
			return want.Protocol == f.Protocol && want.Original == f.Original
		})
		require.GreaterOrEqual(t, i, 0, "%v", f)
		want := flows[i]
		require.LessOrEqual(t, f.Timeout, want.Timeout)
		require.Greater(t, f.Timeout, want.Timeout-time.Minute)
		want.ID, want.Timeout = f.ID, f.Timeout
		f.Status &= conntrack.StatusConfirmed | conntrack.StatusSeenReply | conntrack.StatusAssured
		require.Equal(t, want, f)
		read++
	}
	require.Equal(t, len(flows), read)
}

// testFilters compares what comes through each of many filters with what they
// select of everything.
func testFilters(t *testing.T, o Opened) {
	flows := samples(2)
	for i, f := range []vipkit.Family{vipkit.IPv4, vipkit.IPv6} {
		flows = append(flows, answered(SamplePing(f, 0, 7), SamplePing(f, 0, 8))...)
		zoned := answered(SampleFlow(f, vipkit.UDP, 0, 0, 0))[0]
		zoned.Zone, zoned.ReplyZone = 5, 5
		unreplied := answered(SampleFlow(f, vipkit.UDP, 2, 0, i))[0]
		unreplied.Status, unreplied.Mark = conntrack.StatusConfirmed, 0x105
		flows = append(flows, zoned, unreplied)
	}
	require.NoError(t, o.Add(flows...))
	everything, err := collect(t, o.Client, conntrack.Filter{})
	require.NoError(t, err)
	require.Len(t, everything, len(flows))
	filters := []conntrack.Filter{
		{Zone: conntrack.InZone(0)}, {Zone: conntrack.InZone(5)}, {Zone: conntrack.InZone(6)},
		{Mark: 1, MarkMask: 1}, {MarkMask: 1}, {Mark: 0x100, MarkMask: 0xff00}, {Mark: 0x105, MarkMask: ^uint32(0), Protocol: vipkit.UDP},
		{StatusMask: conntrack.StatusSeenReply}, {Status: conntrack.StatusAssured, StatusMask: conntrack.StatusAssured, Family: vipkit.IPv6},
	}
	for _, f := range []vipkit.Family{0, vipkit.IPv4, vipkit.IPv6} {
		for _, p := range []vipkit.Protocol{0, vipkit.TCP, vipkit.UDP, vipkit.SCTP, conntrack.ICMP4, conntrack.ICMP6, 99} {
			filters = append(filters, conntrack.Filter{Family: f, Protocol: p},
				conntrack.Filter{Family: f, Protocol: p, OriginalDst: netip.AddrPortFrom(netip.Addr{}, 53)},
				conntrack.Filter{Family: f, Protocol: p, ReplySrc: netip.AddrPortFrom(netip.Addr{}, 54)})
			if f == 0 {
				continue
			}
			dst, src := Service(f, 0), SampleFlow(f, p, 0, 1, 0).Reply.Src
			filters = append(filters, conntrack.Filter{Protocol: p, OriginalDst: dst},
				conntrack.Filter{Protocol: p, OriginalDst: netip.AddrPortFrom(dst.Addr(), 0)},
				conntrack.Filter{Protocol: p, OriginalDst: dst, ReplySrc: src},
				conntrack.Filter{Protocol: p, ReplySrc: src, Zone: conntrack.InZone(5)},
				conntrack.Filter{Protocol: p, ReplySrc: netip.AddrPortFrom(src.Addr(), 0), Mark: 1, MarkMask: 1})
		}
	}
	for _, filter := range filters {
		var want []conntrack.Flow
		for _, f := range everything {
			if filter.Selects(f) {
				want = append(want, f.Flow)
			}
		}
		require.ElementsMatch(t, want, list(t, o.Client, filter), "%v", filter)
	}
}

func collect(t *testing.T, c conntrack.Client, filter conntrack.Filter) (flows []conntrack.FlowInfo, last error) {
	t.Helper()
	for f, err := range c.Flows(t.Context(), filter) {
		if err != nil {
			require.NoError(t, last, "nothing follows an error")
			last = err
			continue
		}
		flows = append(flows, f)
	}
	return flows, last
}

func testCount(t *testing.T, o Opened) {
	n, limit, err := o.Client.Count(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	require.GreaterOrEqual(t, limit, 0)
	require.NoError(t, o.Add(samples(3)...))
	n, _, err = o.Client.Count(t.Context())
	require.NoError(t, err)
	require.Equal(t, len(samples(3)), n)
	_, err = o.Client.Delete(t.Context(), all(t, o.Client)[:5])
	require.NoError(t, err)
	n, _, err = o.Client.Count(t.Context())
	require.NoError(t, err)
	require.Equal(t, len(samples(3))-5, n)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = o.Client.Count(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func testTaken(t *testing.T, o Opened) {
	flow := answered(SampleFlow(vipkit.IPv4, vipkit.UDP, 0, 0, 0))[0]
	require.NoError(t, o.Add(flow))
	sameReply, reverse, elsewhere := flow, flow, flow
	sameReply.Original.Dst = Service(vipkit.IPv4, 1)
	reverse.Original, reverse.Reply = flow.Reply, flow.Original
	elsewhere.Zone, elsewhere.ReplyZone = 3, 3
	require.ErrorIs(t, o.Add(flow), fs.ErrExist)
	require.ErrorIs(t, o.Add(sameReply), fs.ErrExist)
	require.ErrorIs(t, o.Add(reverse), fs.ErrExist)
	require.NoError(t, o.Add(elsewhere))
	require.Len(t, all(t, o.Client), 2)
}
