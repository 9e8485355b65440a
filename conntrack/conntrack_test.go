package conntrack

import (
	"context"
	"encoding"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
	"github.com/vipkit/vipkit/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

func flow(p vipkit.Protocol, src, dst, rsrc, rdst string) Flow {
	return Flow{
		Protocol: p,
		Original: Tuple{netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)},
		Reply:    Tuple{netip.MustParseAddrPort(rsrc), netip.MustParseAddrPort(rdst)},
	}
}

var dns = func() Flow {
	f := flow(vipkit.UDP, "10.0.0.9:1234", "10.96.0.10:53", "10.244.0.10:5353", "10.0.0.9:1234")
	f.Mark, f.Zone, f.ID = 7, 5, 214298143
	return f
}()

func TestFlowText(t *testing.T) {
	for text, want := range map[string]Flow{
		"udp      17 src=10.0.0.9 dst=10.96.0.10 sport=1234 dport=53 src=10.244.0.10 dst=10.0.0.9 sport=5353 dport=1234 mark=7 zone=5 id=214298143": dns,
		"sctp     132 src=fd00::9 dst=fd00::1 sport=1 dport=2 src=fd00::2 dst=fd00::9 sport=3 dport=1 mark=0 id=0":                                  flow(vipkit.SCTP, "[fd00::9]:1", "[fd00::1]:2", "[fd00::2]:3", "[fd00::9]:1"),
	} {
		require.Equal(t, text, want.String())
		roundTrip(t, want, new(Flow))
	}
	for _, text := range []string{
		"udp      17 29 src=10.0.0.9 dst=10.96.0.10 sport=1234 dport=53 [UNREPLIED] src=10.244.0.10 dst=10.0.0.9 sport=5353 dport=1234 mark=7 zone=5 use=1 id=214298143",
		"ipv4     2 udp      17 29 src=10.0.0.9 dst=10.96.0.10 sport=1234 dport=53 packets=1 bytes=60 src=10.244.0.10 dst=10.0.0.9 sport=5353 dport=1234 packets=0 bytes=0 [ASSURED] mark=7 secctx=x zone=5 use=2 id=214298143",
	} {
		var got Flow
		require.NoError(t, got.UnmarshalText([]byte(text)))
		require.Equal(t, dns, got)
	}
	var ping Flow
	require.NoError(t, ping.UnmarshalText([]byte("icmp     1 29 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=77 src=10.0.0.2 dst=10.0.0.1 type=0 code=0 id=77 mark=0 use=1 id=9")))
	require.Equal(t, uint32(9), ping.ID)
	for _, bad := range []string{
		"", "udp", "udp x", "udp 17", "udp 256 src=10.0.0.1", "udp 17 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2",
		"udp 17 src=x dst=10.0.0.2 sport=1 dport=2 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2",
		"udp 17 src=10.0.0.1 src=10.0.0.1 src=10.0.0.1", "udp 17 sport=65536", "udp 17 mark=-1",
	} {
		require.Error(t, new(Flow).UnmarshalText([]byte(bad)), bad)
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

// encoded returns a flow as the kernel sends it.
func encoded(f Flow) []byte {
	var b nl.Batch
	b.Begin(cmdNew, 0)
	b.Nfgen(nfFamily(f.Original.Src.Addr()))
	appendTuple(&b, attrTupleOrig, f.Protocol, f.Original)
	appendTuple(&b, attrTupleReply, f.Protocol, f.Reply)
	b.Be32(attrMark, f.Mark)
	b.Be32(attrID, f.ID)
	b.Be16(attrZone, f.Zone)
	b.End()
	return b.Message(0)
}

func every(end) bool { return true }

func TestDecode(t *testing.T) {
	data := encoded(dns)
	got, ok, err := decodeFlow(data, every)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, dns, got)
	_, ok, err = decodeFlow(data, func(e end) bool { return e.dst.Port() == 54 })
	require.NoError(t, err)
	require.False(t, ok)
	for n := range data {
		// A cut between two attributes leaves a valid run; what is missing then
		// is the mark, the ID or the zone.
		if f, ok, err := decodeFlow(data[:n], every); err == nil {
			require.True(t, ok)
			require.Equal(t, dns.Reply, f.Reply)
		}
	}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		_, _, _ = decodeFlow(data, func(e end) bool { return e.protocol == vipkit.TCP })
	}), "a skipped flow costs no allocation")
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
	var each []filter
	for port := range uint16(fewDumps) {
		m := Match{Protocol: vipkit.UDP, OriginalDst: netip.AddrPortFrom(dns.Original.Dst.Addr(), port+1)}
		matches, each = append(matches, m), append(each, filter{afInet, m})
	}
	s, err := newSelector(matches)
	require.NoError(t, err)
	require.ElementsMatch(t, each, s.filters(), "a dump a service")
	more := append(matches, Match{Protocol: vipkit.UDP, OriginalDst: dns.Original.Dst})
	s, _ = newSelector(more)
	require.Equal(t, ofProtocol(vipkit.UDP), s.filters(), "those of the protocol")
	s, _ = newSelector(append(more, Match{Protocol: vipkit.TCP, OriginalDst: dns.Original.Dst}))
	require.Equal(t, []filter{{}}, s.filters(), "one for all")
}
