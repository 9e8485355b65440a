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
// dump, what it deletes, and why it is not told IPv6 addresses and SCTP ports.
func TestKernelFilter(t *testing.T) {
	testenv.RequireKernel(t, testenv.Conntrack)
	testenv.NewNetNS(t)
	c, err := nl.Open(nl.Config{Protocol: unix.NETLINK_NETFILTER})
	require.NoError(t, err)
	defer c.Close()
	addr := netip.MustParseAddrPort
	ends := []netip.AddrPort{
		addr("10.96.0.1:53"), addr("10.96.0.2:53"), addr("10.96.0.2:54"),
		addr("[fd00::1]:53"), addr("[fd00::2]:53"), addr("[fd00::2]:54"),
	}
	fill := func(wantFailures int) {
		var b nl.Batch
		for _, p := range []vipkit.Protocol{vipkit.UDP, vipkit.SCTP} {
			for _, dst := range ends {
				appendTestFlow(&b, p, dst)
			}
		}
		failures := 0
		require.NoError(t, c.Exec(t.Context(), &b, func(f nl.Failure) {
			require.Equal(t, unix.EEXIST, f.Errno)
			failures++
		}))
		require.Equal(t, wantFailures, failures)
	}
	fill(0)
	count := func(b *nl.Batch) (n int) {
		for m, err := range c.Query(t.Context(), b) {
			require.NoError(t, err)
			_, err = decodeFlow(m.Data, new(FlowInfo), every)
			require.NoError(t, err)
			n++
		}
		return n
	}
	var b nl.Batch
	for text, want := range map[string]int{
		"": 12, "-f ipv4": 6, "-f ipv6": 6, "-f ipv4 -p sctp": 3, "-f ipv6 -p sctp": 3, "-f ipv4 -p udp --dport 53": 2,
		"-d 10.96.0.2": 4, "-p udp -d 10.96.0.2": 2, "-p udp -d 10.96.0.2 --dport 53": 1,
		"-p udp -d 10.96.0.2 --dport 53 -r 10.96.0.2 --reply-port-src 53": 1,
		"-p udp -d 10.96.0.2 --dport 53 -r 10.96.0.1 --reply-port-src 53": 0,
		"-p sctp -d 10.96.0.2 --dport 53":                                 2, // by address only
		"-p udp -d fd00::2 --dport 53":                                    2, // by port only
		"-p udp -d fd00::2 --dport 54 -r fd00::2 --reply-port-src 54":     1,
	} {
		var f Filter
		require.NoError(t, f.UnmarshalText([]byte(text)))
		b.Reset()
		appendDump(&b, &f, false)
		require.Equal(t, want, count(&b), text)
		b.Reset()
		appendDump(&b, &f, true)
		require.GreaterOrEqual(t, count(&b), want, text)
	}

	// What we do not ask for: ports of SCTP, and an address of IPv6.
	require.Equal(t, 2, count(rawFilter(&b, cmdGet, flagDump, vipkit.SCTP, ends[1], filterNum|filterIPDst|filterDstPort)),
		"SCTP ports are compared now: appendFilterTuple can use them on this kernel")
	meant := count(rawFilter(&b, cmdGet, flagDump, vipkit.UDP, ends[3], filterNum|filterIPDst))
	require.Contains(t, []int{1, 2}, meant) // of 3, the one that is meant or the two that are not
	t.Logf("the kernel compares IPv6 addresses rightly: %v", meant == 1)

	deletes := true
	require.NoError(t, c.Exec(t.Context(), rawFilter(&b, cmdDelete, 0, vipkit.UDP, ends[1], filterNum|filterIPDst|filterDstPort), func(f nl.Failure) {
		require.Equal(t, unix.EINVAL, f.Errno)
		deletes = false
	}))
	b.Reset()
	appendDump(&b, &Filter{}, false)
	left := 12
	if deletes {
		left = 11
	}
	require.Equal(t, left, count(&b), "the one that is meant, or none")
	fill(left)
	t.Logf("the kernel deletes by filter: %v", deletes)
	var name unix.Utsname
	require.NoError(t, unix.Uname(&name))
	old := unix.ByteSliceToString(name.Release[:])[:3] == "6.1" && name.Release[3] == '.'
	require.Equal(t, !old, deletes, "of the kernels that we test on, only 6.1 does not")

	conn, err := Open(&Config{Uncounted: true})
	require.NoError(t, err)
	defer conn.Close()
	for i, dst := range ends {
		n, err := conn.DeleteMatching(t.Context(), []Match{{Protocol: vipkit.UDP, OriginalDst: dst}})
		require.NoError(t, err)
		if deletes && dst.Addr().Is4() {
			require.Equal(t, -1, n)
		} else {
			require.Equal(t, 1, n)
		}
		require.Equal(t, !deletes, conn.oneByOne.Load(), "asked once")
		b.Reset()
		appendDump(&b, &Filter{}, false)
		require.Equal(t, 12-1-i, count(&b))
	}
}

func appendTestFlow(b *nl.Batch, p vipkit.Protocol, dst netip.AddrPort) {
	src := netip.AddrPortFrom(dst.Addr().Next().Next(), 1234)
	b.Begin(cmdNew, 0x600)
	b.Nfgen(nfFamily(vipkit.FamilyOf(dst.Addr())))
	appendTuple(b, attrTupleOrig, p, &Tuple{Src: src, Dst: dst})
	appendTuple(b, attrTupleReply, p, &Tuple{Src: dst, Dst: src})
	b.Be32(attrTimeout, 600)
	if p == vipkit.SCTP {
		info, sctp := b.Nest(attrProtoInfo), b.Nest(infoSCTP)
		b.U8(infoState, 4)
		b.Be32(2, 1)
		b.Be32(3, 2)
		b.EndNest(sctp)
		b.EndNest(info)
	}
	b.End()
}

// rawFilter makes a request about the flows to dst, as our encoder would not.
func rawFilter(b *nl.Batch, cmd, flags uint16, p vipkit.Protocol, dst netip.AddrPort, compare uint32) *nl.Batch {
	b.Reset()
	b.Begin(cmd, flags)
	b.Nfgen(nfFamily(vipkit.FamilyOf(dst.Addr())))
	tuple := b.Nest(attrTupleOrig)
	ip := b.Nest(tupleIP)
	appendIP(b, ipV4Dst, ipV6Dst, dst.Addr())
	b.EndNest(ip)
	proto := b.Nest(tupleProto)
	b.U8(protoNum, uint8(p))
	b.Be16(protoDst, dst.Port())
	b.EndNest(proto)
	b.EndNest(tuple)
	filter := b.Nest(attrFilter)
	b.U32(filterOrig, compare)
	b.U32(filterReply, 0)
	b.EndNest(filter)
	b.End()
	return b
}
