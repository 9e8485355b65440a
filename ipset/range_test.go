package ipset

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
)

func TestRange(t *testing.T) {
	for _, test := range []struct {
		typ               Type
		first, last, want string
	}{
		{BitmapPort, "80", "83", "80 81 82 83"},
		{BitmapPort, "65535", "65535", "65535"},
		{HashIP, "10.0.0.254", "10.0.1.1", "10.0.0.254 10.0.0.255 10.0.1.0 10.0.1.1"},
		{HashIP, "255.255.255.254", "255.255.255.255", "255.255.255.254 255.255.255.255"},
		{HashIP, "10.0.0.0/30", "10.0.0.0/30", "10.0.0.0 10.0.0.1 10.0.0.2 10.0.0.3"},
		{HashIP, "fd00::ffff", "fd00::1:0", "fd00::ffff fd00::1:0"},
		{HashNet, "10.0.0.1", "10.0.0.8", "10.0.0.1 10.0.0.2/31 10.0.0.4/30 10.0.0.8"},
		{HashNet, "10.0.0.0", "10.0.0.255", "10.0.0.0/24"},
		{HashNet, "10.0.0.0/24", "10.0.2.0/24", "10.0.0.0/23 10.0.2.0/24"},
		{HashNet, "0.0.0.0", "255.255.255.255", "0.0.0.0/1 128.0.0.0/1"},
		{HashNet, "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/1 8000::/1"},
		{HashIPPort, "10.0.0.1,tcp:80", "10.0.0.2,tcp:81", "10.0.0.1,tcp:80 10.0.0.1,tcp:81 10.0.0.2,tcp:80 10.0.0.2,tcp:81"},
		{HashIPPortIP, "10.0.0.1,udp:1,10.1.0.1", "10.0.0.1,udp:1,10.1.0.2", "10.0.0.1,udp:1,10.1.0.1 10.0.0.1,udp:1,10.1.0.2"},
		{HashIPPortNet, "10.0.0.1,udp:1,10.1.0.0", "10.0.0.1,udp:1,10.1.0.2", "10.0.0.1,udp:1,10.1.0.0/31 10.0.0.1,udp:1,10.1.0.2"},
	} {
		first, err := ParseKey(test.first)
		require.NoError(t, err)
		last, err := ParseKey(test.last)
		require.NoError(t, err)
		keys, err := Range(test.typ, first, last)
		require.NoError(t, err)
		var got []string
		for _, k := range keys {
			got = append(got, k.String())
			require.NoError(t, k.Validate(test.typ, vipkit.FamilyOf(k.Net.Addr())))
		}
		require.Equal(t, test.want, strings.Join(got, " "))
	}
	for _, bad := range []struct {
		typ         Type
		first, last string
	}{
		{"hash:nonsense", "80", "83"}, {BitmapPort, "2", "1"}, {HashIP, "10.0.0.2", "10.0.0.1"}, {HashIP, "10.0.0.1", "fd00::1"},
		{HashIP, "10.0.0.0", "10.16.0.0"}, {HashIPPort, "10.0.0.0,tcp:0", "10.0.0.16,tcp:65535"}, {HashIPPort, "10.0.0.1,tcp:1", "10.0.0.1,udp:1"},
		{HashIP, "10.0.0.1", "80"}, {HashIPPortIP, "10.0.0.1,tcp:1", "10.0.0.1,tcp:1,10.0.0.1"},
	} {
		first, err := ParseKey(bad.first)
		require.NoError(t, err)
		last, err := ParseKey(bad.last)
		require.NoError(t, err)
		_, err = Range(bad.typ, first, last)
		require.Error(t, err, bad.first)
	}
}

func TestParseRange(t *testing.T) {
	changes, err := Parse(`create ports bitmap:port range 0-65535 counters
add ports 80-82 packets 1
create nets hash:net
add nets 10.0.0.0-10.0.2.255
create s hash:ip,port,ip family inet6
add s fd00::1-fd00::2,sctp:1-2,fd00::3-fd00::4 -exist
create ips hash:ip
del ips 10.0.0.0/31
`)
	require.NoError(t, err)
	require.Len(t, changes, 4+3+2+8+2)
	require.True(t, changes[1].Set.Counters)
	require.Equal(t, "add ports 80 packets 1", changes[1].String())
	require.Equal(t, "add nets 10.0.2.0/24", changes[6].String())
	require.Equal(t, "add s fd00::2,sctp:2,fd00::4 -exist", changes[15].String())
	require.Equal(t, "del ips 10.0.0.1", changes[18].String())
	for _, bad := range []string{"add s 1-2-3", "add s 10.0.0.2-10.0.0.1", "add s 10.0.0.1,tcp-udp:1", "add s 0.0.0.0-0.0.0.1", "add s -", "add s 1,tcp:1-"} {
		_, err := Parse(bad)
		require.Error(t, err, bad)
	}
}

func FuzzRange(f *testing.F) {
	f.Add(string(HashNet), "10.0.0.1", "10.0.0.9")
	f.Add(string(HashIPPortNet), "fd00::1,tcp:1,fd00::1", "fd00::2,tcp:2,fd00::ffff")
	f.Add(string(HashIP), "255.255.255.254", "255.255.255.255")
	f.Add(string(BitmapPort), "0", "65535")
	f.Fuzz(func(t *testing.T, typ, a, b string) {
		first, err := ParseKey(a)
		if err != nil {
			return
		}
		last, err := ParseKey(b)
		if err != nil {
			return
		}
		keys, err := Range(Type(typ), first, last)
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(keys), maxRange)
		require.Equal(t, first.Net.Masked().Addr(), keys[0].Net.Addr())
		require.Equal(t, last.Port, keys[len(keys)-1].Port)
		var before netip.Prefix
		for _, k := range keys {
			if k.Net != before && before.IsValid() { // neither gaps nor overlaps
				require.Equal(t, lastAddr(before).Next(), k.Net.Addr())
			}
			before = k.Net
		}
		if before.IsValid() {
			require.Equal(t, lastAddr(last.Net), lastAddr(before))
		}
	})
}
