package ipvs

import (
	"io/fs"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
)

// TestValidateNamesAllFaults breaks everything at once.
func TestValidateNamesAllFaults(t *testing.T) {
	s := Service{
		Key:               Key{Protocol: 1, Addr: netip.MustParseAddr("::ffff:10.0.0.1")},
		Flags:             OnePacket | 0x1000,
		PersistenceBits:   130,
		PersistenceEngine: "has space",
	}
	err := s.Validate()
	require.ErrorIs(t, err, fs.ErrInvalid)
	require.Equal(t, []string{
		"protocol 1: want tcp, udp or sctp",
		"virtual address ::ffff:10.0.0.1: IPv4 mapped into IPv6, want 10.0.0.1",
		"port 0 (every port): needs persistence",
		`scheduler "": want 1 to 15 bytes`,
		"flags 0x1000: unknown",
		"one-packet scheduling: 1, want udp",
		"persistence bits 130: want 1 to 128",
		`persistence engine "has space": want lower-case letters, digits, _ and -`,
		"persistence engine has space: no timeout, so no persistence",
	}, strings.Split(err.Error(), "\n"))

	d := Destination{
		DestKey: DestKey{Addr: netip.MustParseAddr("fe80::1"), Port: 81}, Weight: 70_000, Lower: 2, Upper: 1 << 31,
		Forward: Direct, Tunnel: TunnelConfig{Type: GUE},
	}
	d.Upper, d.Lower = 1<<31, 1<<31+1
	of := Key{Protocol: vipkit.TCP, Addr: netip.MustParseAddr("10.0.0.1"), Port: 80}
	err = d.Validate(of)
	require.ErrorIs(t, err, fs.ErrInvalid)
	require.Equal(t, []string{
		"destination address fe80::1: no unicast address",
		"destination address fe80::1: not IPv4, which only tunnels allow",
		"weight 70000: want 0 to 65535",
		"upper threshold 2147483648: want 0 to 2147483647",
		"lower threshold 2147483649: above the upper one, 2147483648",
		"destination port 81: Route does not translate, want 80",
		"tunnel: forwarding method is Route",
	}, strings.Split(err.Error(), "\n"))
}

func TestValidateKeys(t *testing.T) {
	mark := MarkKey(vipkit.IPv6, 5)
	require.NoError(t, mark.Validate())
	mark.Port = 1
	require.ErrorContains(t, mark.Validate(), "mark 5: has a protocol or port too")
	mark = Key{Mark: 5, Addr: netip.MustParseAddr("10.0.0.1")}
	require.ErrorContains(t, mark.Validate(), "want the unspecified one")
	require.ErrorContains(t, Key{Protocol: vipkit.TCP}.Validate(), "virtual address: none")
	require.ErrorContains(t, Key{Protocol: vipkit.TCP, Addr: netip.MustParseAddr("fe80::1%eth0")}.Validate(), "has a zone")
	require.ErrorContains(t, Key{Protocol: vipkit.TCP, Addr: netip.MustParseAddr("224.0.0.1")}.Validate(), "no unicast")
}

func TestValidateTimeouts(t *testing.T) {
	s := Service{Key: Key{Protocol: vipkit.TCP, Addr: netip.MustParseAddr("10.0.0.1"), Port: 80}, Scheduler: "rr"}
	for timeout, ok := range map[time.Duration]bool{
		0: true, time.Second: true, maxTimeout: true, maxTimeout + time.Second: false,
		-time.Second: false, time.Millisecond: false, 1500 * time.Millisecond: false,
	} {
		s.Timeout = timeout
		require.Equal(t, ok, s.Validate() == nil, timeout)
	}
}

// TestValidateAllocatesNothing where nothing is wrong.
func TestValidateAllocatesNothing(t *testing.T) {
	changes := manyChanges(2)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for i := range changes {
			if changes[i].Validate() != nil {
				t.Fail()
			}
		}
	}))
}
