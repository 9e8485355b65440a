package conntrack

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzDecodeFlow(f *testing.F) {
	f.Add(encoded(dns))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, ok, err := decodeFlow(data, every)
		if err != nil || !ok {
			return
		}
		require.True(t, got.Original.Src.IsValid() && got.Reply.Dst.IsValid() && got.Protocol != 0)
		_ = got.String()
	})
}

func FuzzFlowText(f *testing.F) {
	f.Add(dns.String())
	f.Add("icmp     1 29 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=77 src=10.0.0.2 dst=10.0.0.1 type=0 code=0 id=77 mark=0 use=1 id=9")
	f.Fuzz(func(t *testing.T, text string) {
		var first, second Flow
		if first.UnmarshalText([]byte(text)) != nil {
			return
		}
		require.NoError(t, second.UnmarshalText([]byte(first.String())), first.String())
		require.Equal(t, first, second)
	})
}

func FuzzMatchText(f *testing.F) {
	f.Add("-p udp --orig-dst 10.96.0.10 --orig-port-dst 53 --reply-src 10.244.0.10 --reply-port-src 5353")
	f.Add("-f ipv6 -p sctp -d fd00::1 --dport 80")
	f.Fuzz(func(t *testing.T, text string) {
		var first, second Match
		if first.UnmarshalText([]byte(text)) != nil {
			return
		}
		require.NoError(t, first.Validate())
		require.NoError(t, second.UnmarshalText([]byte(first.String())), first.String())
		require.Equal(t, first, second)
	})
}
