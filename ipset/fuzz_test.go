package ipset

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzDecode(f *testing.F) {
	f.Add(encoded(v4Set, web))
	f.Add(encoded(Set{Name: "p", Type: BitmapPort}, Entry{EntryKey: EntryKey{Port: 80}}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, entries, err := decoded(data)
		if err != nil {
			return
		}
		_ = s.String()
		p, _ := s.Type.parts()
		for _, e := range entries {
			_ = e.String()
			require.Equal(t, p.addr || p.net, e.Net.IsValid())
		}
		_ = failedLine(data)
		_, _ = decodeRange(data, attrProtocol, attrProtocolMin)
	})
}

func FuzzText(f *testing.F) {
	f.Add(Change{Op: CreateSet, Set: v4Set}.String())
	f.Add(Change{Op: AddEntry, Set: v4Set, Entry: web}.String())
	f.Add("add s fd00::/64 timeout 0 nomatch -exist")
	f.Add("create ports bitmap:port range 30000-32767 timeout 60 counters bucketsize 12 initval 0x1")
	f.Add("del s 10.0.0.1,udp:53,10.0.0.0/8")
	f.Add("swap a b")
	f.Fuzz(func(t *testing.T, line string) {
		var first, second Change
		if first.UnmarshalText([]byte(line)) != nil {
			return
		}
		require.NoError(t, first.Validate())
		require.NoError(t, second.UnmarshalText([]byte(first.String())), first.String())
		require.Equal(t, first, second)
	})
}

func FuzzParse(f *testing.F) {
	f.Add("create s hash:ip,port,ip family inet\nadd s 10.0.0.1,tcp:80,10.0.0.2\ndel s 10.0.0.1,tcp:80,10.0.0.2\n")
	f.Fuzz(func(t *testing.T, text string) {
		changes, err := Parse(text)
		if err != nil {
			return
		}
		again := ""
		for _, c := range changes {
			again += c.String() + "\n"
		}
		second, err := Parse(again)
		require.NoError(t, err, again)
		require.Equal(t, changes, second)
	})
}
