package conntrack

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/internal/nl"
)

// FuzzDecodeFlow: what is read of a reply can be asked for again, and its text read.
func FuzzDecodeFlow(f *testing.F) {
	f.Add(encoded(query))
	stream := query
	stream.Protocol, stream.State = 6, "ESTABLISHED"
	f.Add(encoded(stream))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		var got FlowInfo
		ok, err := decodeFlow(data, &got, every)
		if err != nil {
			require.False(t, ok)
			return
		}
		require.True(t, ok)
		require.True(t, got.Original.Src.IsValid() && got.Reply.Dst.IsValid() && got.Protocol != 0)
		require.Equal(t, got.Original.Src.Addr().Is4(), got.Reply.Dst.Addr().Is4())
		text := got.String()
		if got.Validate() != nil {
			return // of a kind that the kernel would not track
		}
		var read FlowInfo
		require.NoError(t, read.UnmarshalText([]byte(text)), text)
		require.Equal(t, got.Flow, read.Flow)
		var b nl.Batch
		appendDelete(&b, &got.Flow)
		require.True(t, nl.ValidAttrs(b.Message(0)[nfgenLen:]))
	})
}

func FuzzDecodeStats(f *testing.F) {
	var b nl.Batch
	b.Begin(cmdStats, 0)
	b.Nfgen(0)
	b.Be32(statsEntries, 7)
	b.Be32(statsMax, 65536)
	f.Add(b.Message(0))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, limit, err := decodeStats(data)
		require.True(t, n >= 0 && limit >= 0)
		if err != nil {
			require.Zero(t, n+limit)
		}
	})
}

func FuzzFlowText(f *testing.F) {
	f.Add(query.String())
	f.Add("tcp      6 99 ESTABLISHED src=10.0.0.9 dst=10.96.0.10 sport=1234 dport=53 src=10.244.0.10 dst=10.0.0.9 sport=53 dport=1234 [ASSURED] mark=0 use=1 id=3")
	f.Add("icmp     1 29 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=77 src=10.0.0.2 dst=10.0.0.1 type=0 code=0 id=77 mark=0 use=1 id=9")
	f.Add("gre      47 29 src=10.0.0.1 dst=10.0.0.2 srckey=0x0 dstkey=0xff [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 srckey=0xff dstkey=0x0 zone-orig=3")
	f.Fuzz(func(t *testing.T, text string) {
		var first, second FlowInfo
		if first.UnmarshalText([]byte(text)) != nil {
			return
		}
		require.NoError(t, first.Validate())
		require.NoError(t, second.UnmarshalText([]byte(first.String())), first.String())
		require.Equal(t, first.String(), second.String())
		require.Equal(t, first.Flow, second.Flow)
	})
}

func FuzzFilterText(f *testing.F) {
	f.Add("-f ipv4 -p udp --orig-dst 10.96.0.10 --orig-port-dst 53 --reply-src 10.244.0.10 --reply-port-src 53 --mark 1/0xff -w 5 --status 0/2")
	f.Add("-p icmpv6 -d fd00::1")
	f.Fuzz(func(t *testing.T, text string) {
		var first, second Filter
		if first.UnmarshalText([]byte(text)) != nil {
			return
		}
		require.NoError(t, first.Validate())
		require.NoError(t, second.UnmarshalText([]byte(first.String())), first.String())
		require.Equal(t, first, second)
		var b nl.Batch
		appendDump(&b, &first, false)
		require.True(t, nl.ValidAttrs(b.Message(0)[nfgenLen:]))
		var match, again Match
		if match.UnmarshalText([]byte(text)) == nil {
			require.NoError(t, again.UnmarshalText([]byte(match.String())))
			require.Equal(t, match, again)
		}
	})
}
