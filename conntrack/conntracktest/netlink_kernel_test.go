//go:build linux

package conntracktest_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
	"github.com/vipkit/vipkit/conntrack/conntracktest"
	"github.com/vipkit/vipkit/internal/testenv"
)

// TestKernelNetlink reads with one library what the other one reads, and what it
// wrote. (It reads the ports of SCTP as 0, and knows no ICMP.)
func TestKernelNetlink(t *testing.T) {
	testenv.RequireKernel(t, testenv.Conntrack)
	o, _ := openKernel(t, nil)
	for _, f := range []vipkit.Family{vipkit.IPv4, vipkit.IPv6} {
		family := netlink.InetFamily(unix.AF_INET)
		if f == vipkit.IPv6 {
			family = unix.AF_INET6
		}
		for i, p := range []vipkit.Protocol{vipkit.TCP, vipkit.UDP, vipkit.SCTP} {
			info := conntrack.FlowInfo{Flow: conntracktest.SampleFlow(f, p, byte(i), 1, i), Mark: 5, Status: conntrack.StatusSeenReply}
			info.Zone, info.ReplyZone = 4, 4
			if p != vipkit.UDP {
				info.State = "ESTABLISHED"
			}
			require.NoError(t, o.Add(info))
		}
		theirs, err := netlink.ConntrackTableList(netlink.ConntrackTable, family)
		require.NoError(t, err)
		require.Len(t, theirs, 3)
		for _, flow := range theirs {
			if flow.Forward.Protocol == uint8(vipkit.SCTP) {
				flow.Forward.SrcPort, flow.Forward.DstPort, flow.Reverse.SrcPort, flow.Reverse.DstPort = 20002, 53, 5353, 20002
			}
			filter := conntrack.Filter{Family: f, Protocol: vipkit.Protocol(flow.Forward.Protocol)}
			for ours, err := range o.Client.Flows(t.Context(), filter) {
				require.NoError(t, err)
				require.Equal(t, ours.Original, tupleOf(flow.Forward))
				require.Equal(t, ours.Reply, tupleOf(flow.Reverse))
				require.Equal(t, []uint32{ours.Mark, uint32(ours.Zone)}, []uint32{flow.Mark, uint32(flow.Zone)})
				require.InDelta(t, ours.Timeout.Seconds(), flow.TimeOut, 2)
			}
		}
		want := readAll(t, o.Client)
		_, err = o.Client.Delete(t.Context(), []conntrack.Flow{want[0].Flow, want[1].Flow, want[2].Flow})
		require.NoError(t, err)
		for _, flow := range theirs {
			if flow.Forward.Protocol == uint8(vipkit.UDP) {
				require.NoError(t, netlink.ConntrackCreate(netlink.ConntrackTable, family, flow))
			}
		}
		got := readAll(t, o.Client)
		require.Len(t, got, 1)
		flow := conntracktest.SampleFlow(f, vipkit.UDP, 1, 1, 1)
		require.Equal(t, []conntrack.Tuple{flow.Original, flow.Reply}, []conntrack.Tuple{got[0].Original, got[0].Reply})
		require.EqualValues(t, 5, got[0].Mark)
		_, err = o.Client.Delete(t.Context(), []conntrack.Flow{got[0].Flow})
		require.NoError(t, err)
	}
}

func tupleOf(t netlink.IPTuple) conntrack.Tuple {
	src, _ := netip.AddrFromSlice(t.SrcIP)
	dst, _ := netip.AddrFromSlice(t.DstIP)
	return conntrack.Tuple{Src: netip.AddrPortFrom(src.Unmap(), t.SrcPort), Dst: netip.AddrPortFrom(dst.Unmap(), t.DstPort)}
}
