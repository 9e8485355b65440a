package ipvs

import (
	"fmt"
	"testing"

	"github.com/vipkit/vipkit/internal/nl"
)

var sizes = []int{10, 1000, 10_000}

// BenchmarkEncode is the cost of the bytes alone, for services of five
// destinations.
func BenchmarkEncode(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("services=%d", n), func(b *testing.B) {
			changes := manyChanges(n)
			var batch nl.Batch
			b.ReportAllocs()
			for b.Loop() {
				for start := 0; start < len(changes); start += 2048 {
					batch.Reset()
					for i := start; i < min(start+2048, len(changes)); i++ {
						if changes[i].Validate() != nil {
							b.Fatal("invalid")
						}
						appendChange(&batch, 30, &changes[i])
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(changes)), "ns/change")
		})
	}
}

// BenchmarkDiff compares equal tables: the common case.
func BenchmarkDiff(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("services=%d", n), func(b *testing.B) {
			have := tableOf(manyChanges(n))
			want := tableOf(manyChanges(n))
			b.ReportAllocs()
			for b.Loop() {
				if len(Diff(have, want)) != 0 {
					b.Fatal("different")
				}
			}
		})
	}
}

func tableOf(changes []Change) map[Key]Server {
	all := make(map[Key]Server)
	for _, c := range changes {
		if c.Op == AddService {
			all[c.Service.Key] = Server{Service: c.Service, Destinations: make(map[DestKey]Destination)}
			continue
		}
		all[c.Service.Key].Destinations[c.Destination.DestKey] = c.Destination
	}
	return all
}

func BenchmarkText(b *testing.B) {
	changes := manyChanges(1)
	b.Run("print", func(b *testing.B) {
		b.ReportAllocs()
		var text []byte
		for b.Loop() {
			text, _ = changes[1].AppendText(text[:0])
		}
	})
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		text := []byte(changes[1].String())
		var c Change
		for b.Loop() {
			if err := c.UnmarshalText(text); err != nil {
				b.Fatal(err)
			}
		}
	})
}
