package ipset_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/ipset"
)

// openKernel returns a Conn in a fresh namespace, which the test enters.
func openKernel(t testing.TB) (*ipset.Conn, *testenv.NS) {
	t.Helper()
	ns := testenv.NewNetNS(t)
	c, err := ipset.Open(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c, ns
}

// BenchmarkKernel adds, lists and deletes hash:ip,port entries.
func BenchmarkKernel(b *testing.B) {
	for _, n := range []int{100, 10000, 50000} {
		set := ipset.Set{Name: "s", Type: ipset.HashIPPort, Family: vipkit.IPv4}
		adds, deletes := make([]ipset.Change, n), make([]ipset.Change, n)
		for i := range adds {
			a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).Next()
			e := ipset.Entry{EntryKey: ipset.Key(a, vipkit.TCP, 80)}
			adds[i] = ipset.Change{Op: ipset.AddEntry, Set: set, Entry: e}
			deletes[i] = ipset.Change{Op: ipset.DeleteEntry, Set: set, Entry: e}
		}
		open := func(b *testing.B) *ipset.Conn {
			testenv.RequireKernel(b, testenv.IPSet)
			c, _ := openKernel(b)
			require.Nil(b, c.Apply(b.Context(), []ipset.Change{{Op: ipset.CreateSet, Set: set}}))
			b.ReportAllocs()
			return c
		}
		b.Run(fmt.Sprintf("Add/%d", n), func(b *testing.B) {
			c := open(b)
			for b.Loop() {
				require.Nil(b, c.Apply(b.Context(), adds))
				b.StopTimer()
				require.Nil(b, c.Apply(b.Context(), []ipset.Change{{Op: ipset.FlushSet, Set: set}}))
				b.StartTimer()
			}
		})
		b.Run(fmt.Sprintf("AddAllThere/%d", n), func(b *testing.B) {
			c := open(b)
			require.Nil(b, c.Apply(b.Context(), adds))
			for b.Loop() {
				require.Len(b, c.Apply(b.Context(), adds), n)
			}
		})
		b.Run(fmt.Sprintf("Delete/%d", n), func(b *testing.B) {
			c := open(b)
			for b.Loop() {
				b.StopTimer()
				require.Nil(b, c.Apply(b.Context(), adds))
				b.StartTimer()
				require.Nil(b, c.Apply(b.Context(), deletes))
			}
		})
		b.Run(fmt.Sprintf("List/%d", n), func(b *testing.B) {
			c := open(b)
			require.Nil(b, c.Apply(b.Context(), adds))
			for b.Loop() {
				count := 0
				for _, err := range c.Entries(b.Context(), set.Name) {
					require.NoError(b, err)
					count++
				}
				require.Equal(b, n, count)
			}
		})
	}
}
