package conntrack

import (
	"bytes"
	"context"
	"encoding"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
	"github.com/vipkit/vipkit/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

func flow(p vipkit.Protocol, src, dst, rsrc, rdst string) Flow {
	return Flow{
		Protocol: p,
		Original: Tuple{Src: netip.MustParseAddrPort(src), Dst: netip.MustParseAddrPort(dst)},
		Reply:    Tuple{Src: netip.MustParseAddrPort(rsrc), Dst: netip.MustParseAddrPort(rdst)},
	}
}

var dns = func() Flow {
	f := flow(vipkit.UDP, "10.0.0.9:1234", "10.96.0.10:53", "10.244.0.10:5353", "10.0.0.9:1234")
	f.Zone, f.ReplyZone, f.ID = 5, 5, 214298143
	return f
}()

// query is dns as it was read.
var query = FlowInfo{Flow: dns, Status: StatusConfirmed | StatusSeenReply, Mark: 7, Timeout: 29 * time.Second}

func TestFlowText(t *testing.T) {
	ping := flow(ICMP6, "[fd00::9]:0", "[fd00::1]:0", "[fd00::2]:0", "[fd00::9]:0")
	ping.Original.ICMP, ping.Reply.ICMP, ping.ID = ICMP{9, 128, 0}, ICMP{9, 129, 0}, 4
	one := flow(vipkit.SCTP, "[fd00::9]:1", "[fd00::1]:2", "[fd00::2]:3", "[fd00::9]:1")
	one.ReplyZone = 6
	for text, want := range map[string]Flow{
		"udp      17 src=10.0.0.9 dst=10.96.0.10 sport=1234 dport=53 src=10.244.0.10 dst=10.0.0.9 sport=5353 dport=1234 zone=5 id=214298143": dns,
		"sctp     132 src=fd00::9 dst=fd00::1 sport=1 dport=2 src=fd00::2 dst=fd00::9 sport=3 dport=1 zone-reply=6 id=0":                     one,
		"icmpv6   58 src=fd00::9 dst=fd00::1 type=128 code=0 id=9 src=fd00::2 dst=fd00::9 type=129 code=0 id=9 id=4":                         ping,
		"gre      47 src=10.0.0.9 dst=10.0.0.1 srckey=0x0 dstkey=0xff src=10.0.0.1 dst=10.0.0.9 srckey=0xff dstkey=0x0 id=0":                 flow(47, "10.0.0.9:0", "10.0.0.1:255", "10.0.0.1:255", "10.0.0.9:0"),
		"unknown  2 src=10.0.0.9 dst=10.0.0.1 src=10.0.0.1 dst=10.0.0.9 id=0":                                                                flow(2, "10.0.0.9:0", "10.0.0.1:0", "10.0.0.1:0", "10.0.0.9:0"),
	} {
		require.Equal(t, text, want.String())
		var read Flow
		require.NoError(t, read.UnmarshalText([]byte(text)))
		require.Equal(t, want, read)
	}
}

func TestFlowInfoText(t *testing.T) {
	unreplied, assured, offloaded := query, query, query
	unreplied.Status = StatusConfirmed
	assured.Status |= StatusAssured
	offloaded.Status, offloaded.Timeout = StatusConfirmed|StatusSeenReply|StatusOffload, 0
	stream := assured
	stream.Protocol, stream.State = vipkit.TCP, "ESTABLISHED"
	const original, reply = " src=10.0.0.9 dst=10.96.0.10 sport=1234 dport=53", " src=10.244.0.10 dst=10.0.0.9 sport=5353 dport=1234"
	const rest = " mark=7 zone=5 id=214298143"
	for text, want := range map[string]FlowInfo{
		"udp      17 29" + original + reply + rest:                           query,
		"udp      17 29" + original + " [UNREPLIED]" + reply + rest:          unreplied,
		"udp      17 29" + original + reply + " [ASSURED]" + rest:            assured,
		"udp      17" + original + reply + " [OFFLOAD]" + rest:               offloaded,
		"tcp      6 29 ESTABLISHED" + original + reply + " [ASSURED]" + rest: stream,
	} {
		require.Equal(t, text, want.String())
		var read FlowInfo
		require.NoError(t, read.UnmarshalText([]byte(text)))
		require.Equal(t, want, read)
	}
	var read FlowInfo
	line := "ipv4     2 udp      17 29" + original + " packets=1 bytes=60" + reply + " packets=0 bytes=0 [ASSURED] mark=7 secctx=x zone=5 use=2 id=214298143"
	require.NoError(t, read.UnmarshalText([]byte(line)))
	require.Equal(t, assured, read)
	for _, bad := range []string{
		"", "udp", "udp x", "udp 17", "udp 256 src=10.0.0.1", "udp 17 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2",
		"udp 17 src=x dst=10.0.0.2 sport=1 dport=2 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2",
		"udp 17 src=10.0.0.1 src=10.0.0.1 src=10.0.0.1", "udp 17 sport=65536", "udp 17 mark=-1", "udp 17 src=10.0.0.1 mark=-1",
		"udp 17" + original + reply + " id=1 id=2", "udp 17" + original + " sport=4" + reply, "udp 17 29 29 29" + original + reply,
		"udp 17 x" + original + reply, "igmp 2" + original + reply, "udp 17" + original + " src=::1 dst=::2 sport=1 dport=2",
		"icmp 1 src=10.0.0.1 dst=10.0.0.2 type=3 code=0 id=77 src=10.0.0.2 dst=10.0.0.1 type=0 code=0 id=77",
	} {
		require.Error(t, new(FlowInfo).UnmarshalText([]byte(bad)), bad)
	}
}

func roundTrip(t *testing.T, v encoding.TextMarshaler, into encoding.TextUnmarshaler) {
	t.Helper()
	text, err := v.MarshalText()
	require.NoError(t, err)
	require.NoError(t, into.UnmarshalText(text), "%s", text)
	again, err := into.(encoding.TextMarshaler).MarshalText()
	require.NoError(t, err)
	require.Equal(t, string(text), string(again))
}

func TestMatchText(t *testing.T) {
	one := Match{vipkit.UDP, netip.MustParseAddrPort("10.96.0.10:53"), netip.MustParseAddrPort("10.244.0.10:5353")}
	require.Equal(t, "-p udp --orig-dst 10.96.0.10 --orig-port-dst 53 --reply-src 10.244.0.10 --reply-port-src 5353", one.String())
	roundTrip(t, one, new(Match))
	all := Match{Protocol: vipkit.SCTP, OriginalDst: netip.MustParseAddrPort("[fd00::1]:80")}
	require.Equal(t, "-f ipv6 -p sctp --orig-dst fd00::1 --orig-port-dst 80", all.String())
	roundTrip(t, all, new(Match))
	require.True(t, one.Matches(dns))
	one.ReplySrc = netip.MustParseAddrPort("10.244.0.11:5353")
	require.False(t, one.Matches(dns))
	one.ReplySrc = netip.AddrPort{}
	require.True(t, one.Matches(dns))
	for _, bad := range []string{
		"-p udp -d 10.0.0.1 --dport 53 --mark 1", "-p udp -d 10.0.0.1 --dport 53 -w 0",
		"", "-p", "-p udp", "-p icmp -d 10.0.0.1 --dport 1", "-p udp -d x --dport 1", "-p udp -d 10.0.0.1 --dport 70000",
		"-p udp -d 10.0.0.1 --dport 53 --what 1", "-p udp -d 10.0.0.1 --dport 53 --reply-port-src 1", "-p udp -d 10.0.0.1 --dport 53 -f inet",
	} {
		require.Error(t, new(Match).UnmarshalText([]byte(bad)), bad)
	}
}

func TestValidateReportsAll(t *testing.T) {
	err := Match{ReplySrc: netip.MustParseAddrPort("[::ffff:10.0.0.1]:0")}.Validate()
	for _, field := range []string{"protocol:", "original dst:", "reply src:"} {
		require.ErrorContains(t, err, field)
	}
	err = Flow{}.Validate()
	for _, field := range []string{"protocol:", "original src:", "original dst:", "reply src:", "reply dst:"} {
		require.ErrorContains(t, err, field)
	}
	require.NoError(t, dns.Validate())
}

func TestErrors(t *testing.T) {
	for err, kind := range map[error]error{
		syscall.EPERM: fs.ErrPermission, syscall.EINVAL: errors.ErrUnsupported, syscall.EOPNOTSUPP: errors.ErrUnsupported,
		syscall.ENOENT: fs.ErrNotExist, syscall.EEXIST: fs.ErrExist, syscall.EBUSY: vipkit.ErrInUse,
		vipkit.ErrReplyLost: vipkit.ErrReplyLost, context.Canceled: context.Canceled, syscall.EIO: syscall.EIO,
	} {
		got := opError("list", "", err)
		require.ErrorIs(t, got, kind)
		var op *vipkit.OpError
		require.ErrorAs(t, got, &op)
	}
	require.ErrorContains(t, opError("list", "", syscall.EINVAL), "nf_conntrack_netlink")
}

func TestFilterText(t *testing.T) {
	addr := netip.MustParseAddrPort
	for text, want := range map[string]Filter{
		"":                             {},
		"-f ipv6":                      {Family: vipkit.IPv6},
		"-p icmpv6":                    {Protocol: ICMP6},
		"-p 99 --mark 1/255 -w 0":      {Protocol: 99, Mark: 1, MarkMask: 255, Zone: InZone(0)},
		"-p udp --orig-port-dst 53":    {Protocol: vipkit.UDP, OriginalDst: netip.AddrPortFrom(netip.Addr{}, 53)},
		"-f ipv4 --reply-src 10.0.0.1": {Family: vipkit.IPv4, ReplySrc: netip.AddrPortFrom(addr("10.0.0.1:0").Addr(), 0)},
		"-f ipv6 -p tcp --orig-dst fd00::1 -w 65535 --status 0/2": {
			Family: vipkit.IPv6, Protocol: vipkit.TCP, OriginalDst: netip.AddrPortFrom(addr("[fd00::1]:0").Addr(), 0), Zone: InZone(65535), StatusMask: 2,
		},
	} {
		require.Equal(t, text, want.String())
		var read Filter
		require.NoError(t, read.UnmarshalText([]byte(text)), text)
		require.Equal(t, want, read)
	}
	for _, bad := range []string{
		"-p", "-p 256", "-p x", "-f 4", "-f ipv4 -d fd00::1", "-w 65536", "--mark 2/1", "--mark x", "--mark 1/x", "-d 10.0.0.1 -r fd00::1", "-x 1", "-u 9/1",
	} {
		require.Error(t, new(Filter).UnmarshalText([]byte(bad)), bad)
	}
	_, err := Filter{Family: 5}.MarshalText()
	require.Error(t, err)
	require.Equal(t, "-f 5", Filter{Family: 5}.String())
}

// encoded returns a flow as the kernel sends it.
func encoded(f FlowInfo) []byte {
	var b nl.Batch
	b.Begin(cmdNew, 0)
	b.Nfgen(nfFamily(vipkit.FamilyOf(f.Original.Src.Addr())))
	appendTuple(&b, attrTupleOrig, f.Protocol, &f.Original)
	appendTuple(&b, attrTupleReply, f.Protocol, &f.Reply)
	if f.Zone != 0 {
		b.Be16(attrZone, f.Zone)
	}
	b.Be32(attrStatus, uint32(f.Status))
	b.Be32(attrTimeout, uint32(f.Timeout/time.Second))
	if f.State != "" {
		info := b.Nest(attrProtoInfo)
		tcp := b.Nest(infoTCP)
		b.U8(infoState, uint8(slices.Index(tcpStates, f.State)))
		b.EndNest(tcp)
		b.EndNest(info)
	}
	b.Be32(attrMark, f.Mark)
	b.Be32(attrID, f.ID)
	b.End()
	return b.Message(0)
}

func every(vipkit.Protocol, *Tuple) bool { return true }

func TestDecode(t *testing.T) {
	ping := query
	ping.Protocol, ping.Original, ping.Reply = ICMP4, Tuple{netip.MustParseAddrPort("10.0.0.1:0"), netip.MustParseAddrPort("10.0.0.2:0"), ICMP{3, 8, 0}},
		Tuple{netip.MustParseAddrPort("10.0.0.2:0"), netip.MustParseAddrPort("10.0.0.1:0"), ICMP{3, 0, 0}}
	stream := query
	stream.Protocol, stream.State = vipkit.TCP, "TIME_WAIT"
	for _, want := range []FlowInfo{query, ping, stream} {
		data := encoded(want)
		var got FlowInfo
		ok, err := decodeFlow(data, &got, every)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, want, got)
		for n := range data { // cut short is never taken for whole: the ID comes last
			_, err := decodeFlow(data[:n], new(FlowInfo), every)
			require.Error(t, err, "%d bytes", n)
		}
	}
	data := encoded(query)
	ok, err := decodeFlow(data, new(FlowInfo), func(_ vipkit.Protocol, o *Tuple) bool { return o.Dst.Port() == 54 })
	require.NoError(t, err)
	require.False(t, ok)
	var f FlowInfo
	require.Zero(t, testing.AllocsPerRun(100, func() { f = FlowInfo{}; _, _ = decodeFlow(data, &f, every) }))
}

// TestHostileReplies has whole attributes that do not make a flow.
func TestHostileReplies(t *testing.T) {
	good := encoded(query)
	other := encoded(FlowInfo{Flow: flow(vipkit.UDP, "[fd00::9]:1", "[fd00::1]:2", "[fd00::2]:3", "[fd00::9]:1"), Status: StatusConfirmed})
	attrs := make(map[uint16][]byte) // with their headers
	for rest := good[nfgenLen:]; len(rest) > 0; {
		a, next, ok := nl.Next(rest)
		require.True(t, ok)
		attrs[a.Type], rest = rest[:len(rest)-len(next)], next
	}
	header := good[:nfgenLen]
	otherReply := slices.Clone(other[nfgenLen:])
	first, otherReply, _ := nl.Next(otherReply)
	require.EqualValues(t, attrTupleOrig, first.Type)
	otherReply = otherReply[:len(otherReply)-32] // without status, timeout, mark and ID
	tail := slices.Concat(attrs[attrStatus], attrs[attrID])
	var number nl.Batch
	number.Begin(0, 0)
	number.U8(attrID, 1)
	for name, data := range map[string][]byte{
		"empty": {}, "header": header, "no reply": slices.Concat(header, attrs[attrTupleOrig], tail),
		"no original":      slices.Concat(header, attrs[attrTupleReply], tail),
		"reply first":      slices.Concat(header, attrs[attrTupleReply], attrs[attrTupleOrig], tail),
		"two originals":    slices.Concat(header, attrs[attrTupleOrig], attrs[attrTupleOrig], attrs[attrTupleReply], tail),
		"two replies":      slices.Concat(header, attrs[attrTupleOrig], attrs[attrTupleReply], attrs[attrTupleReply], tail),
		"no status":        slices.Concat(header, attrs[attrTupleOrig], attrs[attrTupleReply], attrs[attrID]),
		"no id":            slices.Concat(header, attrs[attrTupleOrig], attrs[attrTupleReply], attrs[attrStatus]),
		"another family":   slices.Concat(header, attrs[attrTupleOrig], otherReply, tail),
		"id of one byte":   slices.Concat(header, attrs[attrTupleOrig], attrs[attrTupleReply], attrs[attrStatus], number.Message(0)),
		"another protocol": slices.Concat(header, attrs[attrTupleOrig], protocolChanged(t, attrs[attrTupleReply]), tail),
	} {
		_, err := decodeFlow(data, new(FlowInfo), every)
		require.Error(t, err, name)
	}
	_, err := decodeFlow(slices.Concat(header, attrs[attrTupleOrig], attrs[attrTupleReply], tail), new(FlowInfo), every)
	require.NoError(t, err)
}

// protocolChanged returns a tuple with the protocol TCP.
func protocolChanged(t *testing.T, tuple []byte) []byte {
	t.Helper()
	changed := slices.Clone(tuple)
	i := bytes.Index(changed, []byte{5, 0, protoNum, 0, byte(vipkit.UDP)})
	require.Positive(t, i)
	changed[i+4] = byte(vipkit.TCP)
	return changed
}

func TestDecodeStats(t *testing.T) {
	var b nl.Batch
	b.Begin(cmdStats, 0)
	b.Nfgen(0)
	b.Be32(statsEntries, 7)
	b.Be32(statsMax, 65536)
	n, limit, err := decodeStats(b.Message(0))
	require.NoError(t, err)
	require.Equal(t, []int{7, 65536}, []int{n, limit})
	for cut := range nfgenLen + 8 {
		_, _, err := decodeStats(b.Message(0)[:cut])
		require.Error(t, err)
	}
}

func TestStateNames(t *testing.T) {
	require.Equal(t, "ESTABLISHED", stateName(tcpStates, 3))
	require.Equal(t, "ESTABLISHED", stateName(sctpStates, 4))
	require.Equal(t, "77", stateName(sctpStates, 77))
}

func TestEncodeAllocatesNothing(t *testing.T) {
	var b nl.Batch
	run := func() {
		b.Reset()
		for range 100 {
			appendDelete(&b, &dns)
		}
	}
	run()
	require.Zero(t, testing.AllocsPerRun(10, run))
}

func TestSelectorFilters(t *testing.T) {
	require.Empty(t, selector{}.filters(), "nothing selected: nothing read")
	var matches []Match
	var each []Filter
	for port := range uint16(fewDumps) {
		m := Match{Protocol: vipkit.UDP, OriginalDst: netip.AddrPortFrom(dns.Original.Dst.Addr(), port+1)}
		matches, each = append(matches, m), append(each, Filter{Family: vipkit.IPv4, Protocol: vipkit.UDP, OriginalDst: m.OriginalDst})
	}
	s, err := newSelector(matches)
	require.NoError(t, err)
	require.Equal(t, each, s.filters(), "a dump a service")
	more := append(matches, Match{Protocol: vipkit.UDP, OriginalDst: netip.MustParseAddrPort("10.96.0.10:99")})
	s, _ = newSelector(more)
	ofAddress := Filter{Family: vipkit.IPv4, Protocol: vipkit.UDP, OriginalDst: netip.AddrPortFrom(dns.Original.Dst.Addr(), 0)}
	require.Equal(t, []Filter{ofAddress}, s.filters(), "those of the address")
	more = append(more, Match{Protocol: vipkit.UDP, OriginalDst: netip.MustParseAddrPort("[fd00::1]:53")})
	s, _ = newSelector(more)
	require.Equal(t, []Filter{ofAddress, {Family: vipkit.IPv6, Protocol: vipkit.UDP, OriginalDst: netip.MustParseAddrPort("[fd00::1]:53")}}, s.filters(), "one a family")
	more = append(more, Match{Protocol: vipkit.TCP, OriginalDst: netip.MustParseAddrPort("10.0.0.1:53")}, Match{Protocol: vipkit.TCP, OriginalDst: netip.MustParseAddrPort("[fd00::2]:54")})
	s, _ = newSelector(more)
	require.Equal(t, []Filter{{}}, s.filters(), "one for all")
}

func TestSelectorRemove(t *testing.T) {
	one := Match{Protocol: vipkit.UDP, OriginalDst: dns.Original.Dst, ReplySrc: dns.Reply.Src}
	two, whole := one, one
	two.ReplySrc = netip.MustParseAddrPort("10.244.0.11:53")
	whole.ReplySrc, whole.Protocol = netip.AddrPort{}, vipkit.TCP
	s, err := newSelector([]Match{two, one, one, whole, whole})
	require.NoError(t, err)
	require.Equal(t, []Match{whole, one, two}, s.matches())
	s.remove(one)
	s.remove(whole)
	require.Equal(t, []Match{two}, s.matches())
	s.remove(two)
	require.Empty(t, s)
}

// TestWhatTheKernelSelects: only what the kernel compares rightly is left to it.
func TestWhatTheKernelSelects(t *testing.T) {
	for text, want := range map[string]bool{
		"-p udp -d 10.0.0.1 --dport 53": true, "-p tcp -d 10.0.0.1 --dport 53 -r 10.0.0.2 --reply-port-src 53": true,
		"-p sctp -d 10.0.0.1 --dport 53": false, "-p udp -d fd00::1 --dport 53": false,
	} {
		var m Match
		require.NoError(t, m.UnmarshalText([]byte(text)))
		require.Equal(t, want, kernelSelects(&m), text)
		var b nl.Batch
		f := m.Filter()
		appendDump(&b, &f, false)
		require.Equal(t, want, bytes.Contains(b.Message(0), m.OriginalDst.Addr().AsSlice()) && bytes.Contains(b.Message(0), []byte{0, 53}), text)
	}
}

func TestEncodeManyAsOne(t *testing.T) {
	var flows []*Flow
	add := func(p vipkit.Protocol, client, endpoint string, icmp ICMP) {
		to, from := netip.MustParseAddrPort(client), netip.MustParseAddrPort(endpoint)
		tuple := Tuple{Src: from, Dst: to, ICMP: icmp}
		n := uint32(len(flows)) + 1
		flows = append(flows, &Flow{Protocol: p, Original: Tuple{Src: to, Dst: from, ICMP: icmp}, Reply: tuple, ReplyZone: uint16(n), ID: n << 20})
	}
	for _, p := range []vipkit.Protocol{vipkit.UDP, vipkit.TCP, vipkit.SCTP, ICMP4, udplite, 50} {
		v4, v6 := []string{"10.0.0.1:1", "10.0.0.2:513", "[fd00::1]:2", "[fd00::2]:3"}, "[fd00::3]:4"
		for _, client := range v4 {
			switch {
			case p == ICMP4:
				add(ICMP4, "10.0.0.1:0", "10.0.0.9:0", ICMP{Type: 8, ID: 7})
				add(ICMP6, "[fd00::1]:0", "[fd00::2]:0", ICMP{Type: 128, ID: 8})
			case p == 50:
				add(p, "10.0.0.1:0", "10.0.0.9:0", ICMP{})
			case client[0] == '[':
				add(p, client, v6, ICMP{})
			default:
				add(p, client, "10.1.2.3:65535", ICMP{})
			}
		}
	}
	var many nl.Batch
	appendDeletes(&many, flows)
	require.Equal(t, len(flows), many.Len())
	for i, f := range flows {
		require.NoError(t, f.Validate())
		var one nl.Batch
		appendDelete(&one, f)
		require.Equal(t, one.Message(0), many.Message(i), "%v", f)
	}
}
