package ipvs

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/internal/nl"
)

// manyChanges makes n services with five destinations each.
func manyChanges(n int) []Change {
	var changes []Change
	for i := range n {
		var c Change
		if err := c.UnmarshalText(fmt.Appendf(nil, "-A -t 10.%d.%d.%d:80 -s rr", i>>16, i>>8&255, i&255)); err != nil {
			panic(err)
		}
		changes = append(changes, c)
		for j := range 5 {
			var d Change
			if err := d.UnmarshalText(fmt.Appendf(nil, "-a -t 10.0.0.1:80 -r 10.200.%d.%d:8080 -m -w 1", j, i&255)); err != nil {
				panic(err)
			}
			d.Service.Key = c.Service.Key
			changes = append(changes, d)
		}
	}
	return changes
}

// TestEncodeAllocatesNothing once the batch has grown.
func TestEncodeAllocatesNothing(t *testing.T) {
	changes := manyChanges(100)
	var b nl.Batch
	e := encoder{family: 30}
	encode := func() {
		b.Reset()
		for i := range changes {
			e.append(&b, &changes[i])
		}
	}
	encode()
	require.Zero(t, testing.AllocsPerRun(10, encode))
	require.Equal(t, len(changes), b.Len())
}

// TestEncoderTemplates shows that a request copied and patched is the one that would
// have been made anew, for every pair of changes and every operation.
func TestEncoderTemplates(t *testing.T) {
	var changes []Change
	for _, line := range append([]string{
		"-A -t 10.0.0.2:81 -s rr", "-A -t 10.0.0.2:81 -s wrr -p 7", "-A -t [fd00::9]:53 -s rr", "-A -u 10.0.0.1:80 -s rr", "-A -f 4 -s rr",
		"-a -t 10.0.0.2:81 -r 10.1.0.2:81 -g -w 1", "-a -t 10.0.0.2:80 -r 10.1.0.2:80 -i -w 9 -x 2", "-a -t [fd00::7]:80 -r [fd00::3]:9 -m -w 65535 -x 6 -y 1",
		"-a -t [fd00::7]:80 -r 10.3.0.1:80 -i -w 2", "-a -f 4 -r 10.3.0.1:80 -m -w 2", "-a -f 4 -6 -r [fd00::3]:80 -m -w 2",
	}, codecLines...) {
		var c Change
		require.NoError(t, c.UnmarshalText([]byte(line)))
		for op := AddService; op <= DeleteDestination; op++ {
			if c.Op = op; c.Validate() == nil {
				changes = append(changes, c)
			}
		}
	}
	require.Greater(t, len(changes), 50)
	for i := range changes {
		for j := range changes {
			e := encoder{family: 30}
			var got, want nl.Batch
			for _, c := range []*Change{&changes[i], &changes[j]} {
				e.append(&got, c)
				appendChange(&want, 30, c)
			}
			require.Equal(t, want.Last(), got.Last(), "%s, then %s", changes[i], changes[j])
			require.Less(t, len(want.Last()), maxRequest)
		}
	}
}

// request returns the payload of the request for a change: what the kernel would
// answer has the same attributes.
func request(t testing.TB, line string) nl.Message {
	t.Helper()
	var c Change
	require.NoError(t, c.UnmarshalText([]byte(line)))
	var b nl.Batch
	appendChange(&b, 30, &c)
	return nl.Message{Type: 30, Data: b.Message(0)}
}

var codecLines = []string{
	"-A -t 10.0.0.1:80 -s rr", "-A -u [fd00::1]:53 -s sh -p 300 -M 64 -b sh-fallback,sh-port", "-A -f 17 -s wrr -p 9 -M 255.255.0.0 --pe sip",
	"-A -f 17 -6 -s wrr", "-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 7 -x 5 -y 3",
	"-a -t 10.0.0.1:80 -r [fd00::2]:80 -i -w 7 --tun-type gue --tun-port 6080 --tun-csum",
}

func TestDecodeWhatWasEncoded(t *testing.T) {
	for _, line := range codecLines {
		var want Change
		require.NoError(t, want.UnmarshalText([]byte(line)))
		m := request(t, line)
		if want.Op == AddService {
			if want.Service.Mark != 0 || want.Service.Addr.Is6() || want.Service.Addr.Is4() {
				s, ok := decodeService(m)
				require.True(t, ok, line)
				require.Equal(t, want.Service, s.Service)
			}
			continue
		}
		d, ok := decodeDestination(m, want.Service.Key)
		require.True(t, ok, line)
		require.Equal(t, want.Destination, d.Destination)
	}
}

// TestDecodeTruncated cuts replies everywhere: none may be read as a whole one.
func TestDecodeTruncated(t *testing.T) {
	for _, line := range codecLines {
		m := request(t, line)
		for n := range len(m.Data) {
			cut := nl.Message{Data: m.Data[:n]}
			_, ok := decodeService(cut)
			require.False(t, ok)
			_, ok = decodeDestination(cut, Key{})
			require.False(t, ok)
			_, ok = decodeInfo(cut)
			require.False(t, ok)
			_, ok = decodeDaemon(cut)
			require.False(t, ok)
		}
	}
}

func TestDecodeStats(t *testing.T) {
	var b nl.Batch
	b.Begin(30, 0)
	b.Genl(1, 1)
	at := b.Nest(attrDest)
	appendDestination(&b, &Destination{DestKey: manyChanges(1)[1].Destination.DestKey}, true)
	wide := b.Nest(destStats64)
	for i := range uint16(10) {
		b.Bytes(i+1, binary.NativeEndian.AppendUint64(nil, 1<<40+uint64(i)))
	}
	b.EndNest(wide)
	narrow := b.Nest(destStats)
	b.U32(statConnections, 1)
	b.EndNest(narrow)
	b.EndNest(at)
	b.End()
	d, ok := decodeDestination(nl.Message{Data: b.Message(0)}, Key{})
	require.True(t, ok)
	require.Equal(t, Stats{1 << 40, 1<<40 + 1, 1<<40 + 2, 1<<40 + 3, 1<<40 + 4, Rates{
		1<<40 + 5, 1<<40 + 6, 1<<40 + 7, 1<<40 + 8, 1<<40 + 9,
	}}, d.Stats)
}

// TestDecodeSettings reads timeouts and a daemon, whole and cut.
func TestDecodeSettings(t *testing.T) {
	want := Timeouts{TCP: 900e9, TCPFin: 120e9, UDP: 300e9}
	var b nl.Batch
	appendTimeouts(&b, 30, want)
	have, ok := decodeTimeouts(nl.Message{Data: b.Message(0)})
	require.True(t, ok)
	require.Equal(t, want, have)
	_, ok = decodeTimeouts(nl.Message{Data: b.Message(0)[:9]})
	require.False(t, ok)

	b.Reset()
	b.Begin(30, 0)
	b.Genl(9, genlVersion)
	at := b.Nest(attrDaemon)
	b.U32(daemonState, 2)
	b.String(daemonInterface, "eth0")
	b.U32(daemonSyncID, 7)
	b.U16(daemonMaxLen, 1472)
	b.Addr(daemonGroup6, netip.MustParseAddr("ff02::81"))
	b.U16(daemonPort, 8848)
	b.U8(daemonTTL, 1)
	b.EndNest(at)
	b.End()
	daemon, ok := decodeDaemon(nl.Message{Data: b.Message(0)})
	require.True(t, ok)
	require.Equal(t, "--start-daemon backup --mcast-interface eth0 --syncid 7 --sync-maxlen 1472 "+
		"--mcast-group ff02::81 --mcast-port 8848 --mcast-ttl 1", daemon.String())
	for n := range len(b.Message(0)) {
		_, ok = decodeDaemon(nl.Message{Data: b.Message(0)[:n]})
		require.False(t, ok)
	}
}

// TestDaemonRequest reads back what starts a daemon: the kernel's answer has the same
// attributes.
func TestDaemonRequest(t *testing.T) {
	for _, group := range []string{"224.0.0.81", "ff02::81"} {
		want := Daemon{
			State: Backup, Interface: "eth0", SyncID: 7, MaxLen: 1400, Group: netip.MustParseAddr(group), Port: 8849, TTL: 3,
		}
		require.NoError(t, want.Validate())
		var b nl.Batch
		appendDaemon(&b, 1, cmdNewDaemon, &want)
		have, ok := decodeDaemon(nl.Message{Data: b.Message(0)})
		require.True(t, ok)
		require.Equal(t, want, have)
	}
	require.Equal(t, "--start-daemon master --mcast-interface eth0 --syncid 0", Daemon{State: Master, Interface: "eth0"}.String())
}

// FuzzDecode: hostile replies neither panic nor give a value that the package
// cannot print and read again.
func FuzzDecode(f *testing.F) {
	for _, line := range codecLines {
		f.Add(request(f, line).Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m := nl.Message{Data: data}
		if s, ok := decodeService(m); ok {
			require.True(t, s.Addr.IsValid())
			require.Equal(t, s.Service, s.Canonical())
			_ = s.String()
			_ = s.Validate()
		}
		if d, ok := decodeDestination(m, manyChanges(1)[0].Service.Key); ok {
			require.True(t, d.Addr.IsValid())
			_ = d.String()
		}
		_, _ = decodeInfo(m)
		if timeouts, ok := decodeTimeouts(m); ok {
			_ = timeouts.String()
		}
		if daemon, ok := decodeDaemon(m); ok {
			require.NotZero(t, daemon.State)
			_ = daemon.String()
		}
	})
}
