//go:build linux

package conntrack

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
	"github.com/vipkit/vipkit/internal/testenv"
)

// TestKernelFilter pins what kernels do with CTA_FILTER: what it takes from the
// dump, and whether an IPv6 address in it selects the flows of all others.
func TestKernelFilter(t *testing.T) {
	testenv.RequireKernel(t, testenv.Conntrack)
	testenv.NewNetNS(t)
	c, err := nl.Open(nl.Config{Protocol: unix.NETLINK_NETFILTER})
	require.NoError(t, err)
	defer c.Close()
	ends := []netip.AddrPort{
		netip.MustParseAddrPort("10.96.0.1:53"), netip.MustParseAddrPort("10.96.0.2:53"), netip.MustParseAddrPort("10.96.0.2:54"),
		netip.MustParseAddrPort("[fd00::1]:53"), netip.MustParseAddrPort("[fd00::2]:53"), netip.MustParseAddrPort("[fd00::2]:54"),
	}
	var b nl.Batch
	for _, p := range []vipkit.Protocol{vipkit.UDP, vipkit.SCTP} {
		for _, dst := range ends {
			src := netip.AddrPortFrom(dst.Addr().Next().Next(), 1234)
			b.Begin(cmdNew, 0x600)
			b.Nfgen(nfFamily(dst.Addr()))
			appendTuple(&b, attrTupleOrig, p, Tuple{src, dst})
			appendTuple(&b, attrTupleReply, p, Tuple{dst, src})
			b.Be32(7, 600)
			if p == vipkit.SCTP {
				info, sctp := b.Nest(4), b.Nest(3)
				b.U8(1, 4)
				b.Be32(2, 1)
				b.Be32(3, 2)
				b.EndNest(sctp)
				b.EndNest(info)
			}
			b.End()
		}
	}
	require.NoError(t, c.Exec(t.Context(), &b, func(f nl.Failure) { t.Error(f.Errno) }))

	count := func(b *nl.Batch) (n int) {
		for m, err := range c.Query(t.Context(), b) {
			require.NoError(t, err)
			_, _, err = decodeFlow(m.Data, func(end) bool { return true })
			require.NoError(t, err)
			n++
		}
		return n
	}
	v4, v6 := uint8(afInet), uint8(afInet6)
	for _, test := range []struct {
		filter filter
		want   int
	}{
		{filter{}, 12},
		{filter{family: v4}, 6},
		{filter{family: v6}, 6},
		{filter{v4, Match{Protocol: vipkit.SCTP}}, 3},
		{filter{v6, Match{Protocol: vipkit.SCTP}}, 3},
		{filter{v4, Match{Protocol: vipkit.UDP, OriginalDst: ends[1]}}, 1},
		{filter{v4, Match{Protocol: vipkit.UDP, OriginalDst: ends[1], ReplySrc: ends[1]}}, 1},
		{filter{v4, Match{Protocol: vipkit.UDP, OriginalDst: ends[1], ReplySrc: ends[0]}}, 0},
		{filter{v6, Match{Protocol: vipkit.UDP, OriginalDst: ends[4]}}, 2}, // by port only
		{filter{v6, Match{Protocol: vipkit.UDP, OriginalDst: ends[5], ReplySrc: ends[5]}}, 1},
	} {
		b.Reset()
		appendDump(&b, test.filter)
		require.Equal(t, test.want, count(&b), "%+v", test.filter)
	}

	b.Reset()
	b.Begin(cmdGet, flagDump)
	b.Nfgen(afInet6)
	appendFilterTuple(&b, attrTupleOrig, vipkit.UDP, netip.AddrPort{}, ends[3])
	filter := b.Nest(attrFilter)
	b.U32(filterOrig, filterNum|filterIPDst)
	b.U32(filterReply, 0)
	b.EndNest(filter)
	b.End()
	t.Logf("flows that a filter for %v lets through, of 1 that it means and 2 that it does not: %d", ends[3], count(&b))
}
