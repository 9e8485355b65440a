//go:build linux

package ipset

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
	"github.com/vipkit/vipkit/internal/testenv"
)

// BenchmarkKernelFloor adds 10,000 entries by turns with Apply and with
// messages that were encoded before: what Apply costs beyond the kernel.
func BenchmarkKernelFloor(b *testing.B) {
	testenv.RequireKernel(b, testenv.IPSet)
	testenv.NewNetNS(b)
	c, err := Open(nil)
	require.NoError(b, err)
	defer c.Close()
	const n = 10000
	set := Set{Name: "s", Type: HashIPPort, Family: vipkit.IPv4}
	changes := make([]Change, n)
	for i, e := range manyEntries(n) {
		changes[i] = Change{Op: AddEntry, Set: set, Entry: e}
	}
	var floor nl.Batch
	for i := 0; i < n; {
		begin(&floor, cmdAdd, flagExcl, maxProtocol, set.Name)
		floor.U32(attrLineno, 0)
		adt := floor.Nest(attrADT)
		for ; i < n && floor.MessageLen() < maxBulk; i++ {
			appendEntry(&floor, &changes[i].Entry, uint32(i+1), false)
		}
		floor.EndNest(adt)
		floor.End()
	}
	fresh := func(size uint32) {
		c.Apply(b.Context(), []Change{{Op: DestroySet, Set: set}})
		sized := set
		sized.HashSize = size
		require.Nil(b, c.Apply(b.Context(), []Change{{Op: CreateSet, Set: sized}}))
	}
	for name, add := range map[string]func(){
		"Apply": func() { require.Nil(b, c.Apply(b.Context(), changes)) },
		"Floor": func() {
			require.NoError(b, c.nl.Exec(b.Context(), &floor, func(f nl.Failure) { b.Error(f.Errno) }))
		},
	} {
		for _, size := range []uint32{0, 16384} { // grown by the kernel, or right from the start
			b.Run(fmt.Sprintf("%s/hashsize=%d", name, size), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					b.StopTimer()
					fresh(size)
					b.StartTimer()
					add()
				}
			})
		}
	}
}
