package ipset

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
)

func FuzzDecode(f *testing.F) {
	f.Add(encoded(v4Set, web))
	f.Add(encoded(Set{Name: "p", Type: BitmapPort}, Entry{EntryKey: EntryKey{Port: 80}}))
	f.Add([]byte{})
	for _, typ := range []Type{HashIP, HashNet, HashIPPort, HashIPPortIP, HashIPPortNet} {
		for a, b := range map[string]string{"10.0.0.1/32": "10.1.0.1/32", "fd00::1/128": "fd00::2/128"} {
			e := Entry{EntryKey: EntryKey{Net: netip.MustParsePrefix(a)}, Comment: "x", Mark: 1, MarkMask: 2, Priority: 3, Queue: 4, Timeout: Forever}
			p, _ := typ.parts()
			if p.proto {
				e.Protocol, e.Port = vipkit.SCTP, 7
			}
			if p.addr2 || p.net2 {
				e.Net2 = netip.MustParsePrefix(b)
			}
			f.Add(encoded(Set{Name: "s", Type: typ, Family: vipkit.FamilyOf(e.Net.Addr()), Timeout: Forever}, e))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, entries, err := decoded(data)
		if err != nil {
			return
		}
		_ = s.String()
		p, _ := s.Type.parts()
		for _, e := range entries {
			require.Equal(t, p.addr || p.net, e.Net.IsValid())
			require.Equal(t, p.addr2 || p.net2, e.Net2.IsValid())
			require.Equal(t, s.Timeout != 0, e.Timeout != 0)
			if e.Validate(s) == nil { // what can be written is what was read
				_, again, err := decoded(encoded(s, e))
				require.NoError(t, err)
				require.Equal(t, []Entry{e}, again)
			}
		}
		_ = failedLine(data)
		_, _ = decodeRange(data, attrProtocol, attrProtocolMin)
	})
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{"80", "10.0.0.1", "10.0.0.0/8", "fd00::1,tcp:80", "10.0.0.1,17:53,10.0.0.0/8", "fd00::1,sctp:0,fd00::2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, err := ParseKey(s)
		if err != nil {
			return
		}
		second, err := ParseKey(first.String())
		require.NoError(t, err, first.String())
		require.Equal(t, first, second)
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
