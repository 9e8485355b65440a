//go:build linux

package dummy

import (
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit/internal/nl"
)

func manyChanges(n int, means Means) (changes []Change) {
	for i := range n {
		a := netip.AddrFrom16([16]byte{0: 0xfd, 13: 1, 14: byte(i >> 8), 15: byte(i)})
		changes = append(changes, Change{AddAddress, Address{a, means}})
	}
	return changes
}

// BenchmarkEncode is what validation and the bytes cost.
func BenchmarkEncode(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		changes := manyChanges(n, ByRoute)
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			var batch nl.Batch
			b.ReportAllocs()
			for b.Loop() {
				batch.Reset()
				for _, c := range changes {
					if err := c.Validate(); err != nil {
						b.Fatal(err)
					}
					appendChange(&batch, 7, c)
				}
			}
		})
	}
}

// BenchmarkDecode is what a list costs behind the kernel.
func BenchmarkDecode(b *testing.B) {
	for _, means := range []Means{ByAddress, ByRoute} {
		for _, n := range []int{10, 1000, 10_000} {
			var batch nl.Batch
			for _, c := range manyChanges(n, means) {
				appendChange(&batch, 7, c)
			}
			typ := uint16(unix.RTM_NEWADDR)
			if means == ByRoute {
				typ = unix.RTM_NEWROUTE
			}
			b.Run(fmt.Sprintf("means=%d/n=%d", means, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					for i := range n {
						if _, ok, err := parse(nl.Message{Type: typ, Data: batch.Message(i)}, 7, unix.AF_INET6); !ok || err != nil {
							b.Fatal(ok, err)
						}
					}
				}
			})
		}
	}
}
