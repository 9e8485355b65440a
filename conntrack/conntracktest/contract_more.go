package conntracktest

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
)

func testInvalidMatches(t *testing.T, o Opened) {
	require.NoError(t, o.Add(samples(1)...))
	every := all(t, o.Client)
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
	require.ElementsMatch(t, every, all(t, o.Client))
	n, err := o.Client.DeleteMatching(t.Context(), []conntrack.Match{{}, good})
	require.ErrorIs(t, err, fs.ErrInvalid)
	o.deleted(t, 2, n) // an invalid match does not stop the others
	require.Len(t, all(t, o.Client), len(every)-2)

	for _, bad := range []conntrack.Filter{
		{Family: 5}, {Family: vipkit.IPv6, OriginalDst: service}, {OriginalDst: service, ReplySrc: Service(vipkit.IPv6, 0)},
		{Mark: 1}, {Mark: 2, MarkMask: 1}, {Status: 1}, {Zone: 7},
		{OriginalDst: netip.MustParseAddrPort("[::ffff:10.96.0.1]:53")}, {ReplySrc: netip.MustParseAddrPort("[fe80::1%eth0]:53")},
	} {
		flows, err := collect(t, o.Client, bad)
		require.ErrorIs(t, err, fs.ErrInvalid, "%+v", bad)
		require.Empty(t, flows)
	}
}

func testInvalid(t *testing.T, o Opened) {
	require.NoError(t, o.Add(samples(1)...))
	every := all(t, o.Client)
	for name, bad := range map[string]func(*conntrack.Flow){
		"zero":         func(f *conntrack.Flow) { *f = conntrack.Flow{} },
		"no protocol":  func(f *conntrack.Flow) { f.Protocol = 0 },
		"icmp ports":   func(f *conntrack.Flow) { f.Protocol, f.Original.ICMP.Type, f.Reply.ICMP.Type = 1, 8, 0 },
		"icmp type":    func(f *conntrack.Flow) { *f = SamplePing(vipkit.IPv4, 0, 1); f.Original.ICMP.Type = 3 },
		"no icmp":      func(f *conntrack.Flow) { f.Original.ICMP.ID = 1 },
		"no address":   func(f *conntrack.Flow) { f.Original.Src = netip.AddrPort{} },
		"mapped":       func(f *conntrack.Flow) { f.Original.Dst = netip.MustParseAddrPort("[::ffff:10.96.0.1]:53") },
		"two families": func(f *conntrack.Flow) { f.Original.Dst = Service(vipkit.IPv6, 0) },
		"family of the reply": func(f *conntrack.Flow) {
			f.Reply.Src, f.Reply.Dst = Service(vipkit.IPv6, 0), Service(vipkit.IPv6, 1)
		},
	} {
		f := SampleFlow(vipkit.IPv4, vipkit.UDP, 0, 0, 0)
		bad(&f)
		n, err := o.Client.Delete(t.Context(), []conntrack.Flow{f})
		require.ErrorIs(t, err, fs.ErrInvalid, name)
		require.Zero(t, n, name)
	}
	require.ElementsMatch(t, every, all(t, o.Client))
	n, err := o.Client.Delete(t.Context(), append([]conntrack.Flow{{}}, every...))
	require.ErrorIs(t, err, fs.ErrInvalid)
	require.Equal(t, len(every), n)
}

func testCancelled(t *testing.T, o Opened) {
	require.NoError(t, o.Add(samples(1)...))
	every := all(t, o.Client)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n, err := o.Client.Delete(ctx, every)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, n)
	n, err = o.Client.DeleteMatching(ctx, []conntrack.Match{{Protocol: vipkit.UDP, OriginalDst: Service(vipkit.IPv4, 0)}})
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, n)
	count := 0
	for _, err := range o.Client.Flows(ctx, conntrack.Filter{}) {
		require.ErrorIs(t, err, context.Canceled)
		count++
	}
	require.Equal(t, 1, count)
	require.ElementsMatch(t, every, all(t, o.Client))
}

func testBreak(t *testing.T, o Opened) {
	require.NoError(t, o.Add(samples(200)...))
	for _, filter := range []conntrack.Filter{{}, {Protocol: vipkit.UDP}, {Family: vipkit.IPv6}} {
		for f, err := range o.Client.Flows(t.Context(), filter) {
			require.NoError(t, err)
			n, err := o.Client.Delete(t.Context(), []conntrack.Flow{f.Flow})
			require.NoError(t, err)
			require.Equal(t, 1, n, "the client is usable within the loop")
			break
		}
	}
	require.Len(t, all(t, o.Client), len(samples(200))-3)
}

func testConcurrent(t *testing.T, o Opened) {
	flows := samples(50)
	require.NoError(t, o.Add(flows...))
	var deleted atomic.Int64
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			var every []conntrack.Flow
			for f, err := range o.Client.Flows(t.Context(), conntrack.Filter{}) {
				if err != nil {
					t.Error(err)
				}
				every = append(every, f.Flow)
			}
			n, err := o.Client.Delete(t.Context(), every)
			if err != nil {
				t.Error(fmt.Errorf("worker %d: %w", i, err))
			}
			deleted.Add(int64(n))
		})
	}
	group.Wait()
	require.EqualValues(t, len(flows), deleted.Load(), "each flow is deleted once")
	require.Empty(t, all(t, o.Client))
}
