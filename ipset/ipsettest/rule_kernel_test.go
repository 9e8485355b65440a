//go:build linux

package ipsettest_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/ipset"
)

// TestKernelResizeUnderRule lets a set grow that a rule matches against: the rule
// goes on with the new one, and with what was counted.
func TestKernelResizeUnderRule(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPSet, testenv.IPTables)
	c, ns := openIn(t)
	ns.SetUp(t, "lo")
	set := ipset.Set{Name: "s", Type: ipset.HashIPPort, Family: vipkit.IPv4, Counters: true, MaxElem: 1}
	key, err := ipset.ParseKey("127.0.0.1,udp:9")
	require.NoError(t, err)
	add := ipset.Change{Op: ipset.AddEntry, Set: set, Entry: ipset.Entry{EntryKey: key}}
	require.Nil(t, c.Apply(t.Context(), []ipset.Change{{Op: ipset.CreateSet, Set: set}, add}))
	ns.Run(t, "iptables", "-A", "OUTPUT", "-m", "set", "--match-set", "s", "dst,dst")
	send := func() {
		require.NoError(t, ns.Do(func() error {
			conn, err := net.Dial("udp", "127.0.0.1:9")
			if err != nil {
				return err
			}
			defer conn.Close()
			_, err = conn.Write(make([]byte, 72)) // 100 bytes with its headers
			return err
		}))
	}
	packets := func() (n ipset.Counters) {
		for e, err := range c.Counters(t.Context(), "s") {
			require.NoError(t, err)
			if e.EntryKey == key {
				n = e.Counters
			}
		}
		return n
	}
	send()
	require.Equal(t, ipset.Counters{Packets: 1, Bytes: 100}, packets())
	add.Entry.Port++
	require.ErrorIs(t, c.Apply(t.Context(), []ipset.Change{add})[0], vipkit.ErrFull)
	set.MaxElem = 2
	require.NoError(t, ipset.Resize(t.Context(), c, set))
	require.Nil(t, c.Apply(t.Context(), []ipset.Change{add}))
	send()
	require.Equal(t, ipset.Counters{Packets: 2, Bytes: 200}, packets())
	require.ErrorIs(t, c.Apply(t.Context(), []ipset.Change{{Op: ipset.DestroySet, Set: set}})[0], vipkit.ErrInUse)
}
