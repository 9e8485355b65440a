package conntrack

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/vipkit/vipkit/internal/nl"
)

// manyFlows returns n flows of n/1000 services.
func manyFlows(n int) []Flow {
	flows := make([]Flow, n)
	for i := range flows {
		f := dns
		f.ID = uint32(i)
		f.Original.Dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 96, byte(i / 1000 >> 8), byte(i / 1000)}), 53)
		flows[i] = f
	}
	return flows
}

func BenchmarkEncodeDelete(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		flows := manyFlows(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			var batch nl.Batch
			for b.Loop() {
				batch.Reset()
				for i := range flows {
					appendDelete(&batch, &flows[i])
				}
			}
		})
	}
}

func BenchmarkDecodeAndSelect(b *testing.B) {
	for _, n := range []int{1000, 10000, 100000} {
		flows := manyFlows(n)
		messages := make([][]byte, n)
		for i, f := range flows {
			messages[i] = encoded(FlowInfo{Flow: f, Status: StatusConfirmed})
		}
		s, _ := newSelector([]Match{{Protocol: dns.Protocol, OriginalDst: flows[0].Original.Dst}})
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for _, m := range messages {
					var f FlowInfo
					if ok, _ := decodeFlow(m, &f, s.wants); ok {
						_ = s.selects(&f.Flow)
					}
				}
			}
		})
	}
}

func BenchmarkFlowText(b *testing.B) {
	for _, n := range []int{1, 100, 10000} {
		flows := manyFlows(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			var text []byte
			for b.Loop() {
				text = text[:0]
				for i := range flows {
					text, _ = flows[i].AppendText(text)
				}
			}
		})
	}
}
