//go:build linux

package dummy

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/internal/nl"
)

// FuzzParse gives the decoder of lists whatever a message may hold.
func FuzzParse(f *testing.F) {
	f.Add(true, []byte{2, 32, 0, 0, 7, 0, 0, 0, 8, 0, 2, 0, 10, 96, 0, 1})
	f.Add(false, []byte{2, 32, 0, 0, 255, 4, 254, 2, 0, 0, 0, 0, 8, 0, 1, 0, 10, 96, 0, 1, 8, 0, 4, 0, 7, 0, 0, 0})
	f.Fuzz(func(t *testing.T, address bool, data []byte) {
		typ := uint16(unix.RTM_NEWROUTE)
		if address {
			typ = unix.RTM_NEWADDR
		}
		for _, family := range families {
			a, ok, err := parse(nl.Message{Type: typ, Data: data}, 7, family)
			if !ok || err != nil {
				require.Zero(t, ok && err != nil)
				continue
			}
			require.NoError(t, a.Validate())
			require.Equal(t, address, a.Means == ByAddress)
			require.Equal(t, family, familyOf(a.Addr))
		}
	})
}

// FuzzLink gives the decoder of links whatever a message may hold.
func FuzzLink(f *testing.F) {
	f.Add(linkMessage(7, "vipkit0").Data)
	f.Fuzz(func(t *testing.T, data []byte) {
		l, index, ok := parseLink(data)
		if !ok {
			require.Zero(t, l)
			return
		}
		require.NoError(t, CheckName(l.Name))
		require.Positive(t, index)
	})
}

// FuzzHostTable plays messages to a table, each behind its type and length, and
// compares what it tells with what it then knows.
func FuzzHostTable(f *testing.F) {
	var seed []byte
	for _, m := range []nl.Message{
		linkMessage(7, "eth0"), addressMessage(7, "192.0.2.1/24", 0), addressMessage(7, "fd00::1/64", unix.IFA_F_TENTATIVE),
		gone(addressMessage(7, "192.0.2.1/24", 0)), addressMessage(7, "fd00::1/64", 0), gone(linkMessage(7, "eth0")),
	} {
		seed = append(append(seed, byte(m.Type), byte(len(m.Data))), m.Data...)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		table := newHostTable()
		held := make(map[HostKey]HostAddress)
		for len(data) >= 2 {
			n := min(2+int(data[1]), len(data))
			table.take(nl.Message{Type: uint16(data[0]), Data: data[2:n]})
			if data = data[n:]; len(data)%3 == 0 {
				continue // several changes at once
			}
			table.tell(func(e Event) bool {
				have, is := held[e.Address.HostKey]
				if e.Kind == Gone {
					require.True(t, is)
					require.Equal(t, have, e.Address)
					delete(held, e.Address.HostKey)
					return true
				}
				require.Equal(t, Present, e.Kind)
				require.False(t, is && have == e.Address)
				require.True(t, e.Address.Prefix.IsValid())
				held[e.Address.HostKey] = e.Address
				return true
			})
			require.Len(t, held, len(table.now))
			for _, a := range table.now {
				require.Equal(t, a, held[a.HostKey])
			}
		}
	})
}

// linkMessage returns an RTM_NEWLINK.
func linkMessage(index uint32, name string) nl.Message {
	var b nl.Batch
	beginLink(&b, unix.RTM_NEWLINK, 0, index, unix.IFF_UP, 0)
	b.String(unix.IFLA_IFNAME, name)
	b.U32(unix.IFLA_MTU, 1500)
	b.U32(unix.IFLA_GROUP, 3)
	at := b.Nest(unix.IFLA_LINKINFO)
	b.String(unix.IFLA_INFO_KIND, Kind)
	b.EndNest(at)
	b.End()
	return nl.Message{Type: unix.RTM_NEWLINK, Data: b.Message(0)}
}

// addressMessage returns an RTM_NEWADDR.
func addressMessage(index uint32, prefix string, flags uint32) nl.Message {
	p := netip.MustParsePrefix(prefix)
	b := binary.NativeEndian.AppendUint32([]byte{familyOf(p.Addr()), byte(p.Bits()), byte(flags), 0}, index)
	var batch nl.Batch
	batch.Begin(unix.RTM_NEWADDR, 0)
	batch.Raw(b...)
	batch.Addr(unix.IFA_ADDRESS, p.Addr())
	batch.U32(unix.IFA_FLAGS, flags)
	batch.End()
	return nl.Message{Type: unix.RTM_NEWADDR, Data: batch.Message(0)}
}

// gone returns the message of the end of what m tells of.
func gone(m nl.Message) nl.Message {
	m.Type++
	return m
}
