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
			e := encoder{family: 30}
			b.ReportAllocs()
			for b.Loop() {
				batch.Reset()
				for i := range changes {
					if changes[i].check() != nil {
						b.Fatal("invalid")
					}
					if batch.Size() > nl.SendSize {
						batch.Reset()
					}
					e.append(&batch, &changes[i])
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

// BenchmarkDecode reads a virtual server as the kernel sends it.
func BenchmarkDecode(b *testing.B) {
	var batch nl.Batch
	service := manyChanges(1)[0].Service
	batch.Begin(30, 0)
	batch.Genl(cmdNewService, genlVersion)
	at := batch.Nest(attrService)
	appendKey(&batch, &service.Key)
	appendSettings(&batch, &service)
	for _, typ := range []uint16{svcStats, svcStats64} {
		stats := batch.Nest(typ)
		for i := range uint16(10) {
			batch.Bytes(i+1, make([]byte, 8))
		}
		batch.EndNest(stats)
	}
	batch.EndNest(at)
	batch.End()
	m := nl.Message{Data: batch.Message(0)}
	b.Run("settings", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := decodeSettings(m); !ok {
				b.Fatal("not decoded")
			}
		}
	})
	b.Run("counters", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := decodeService(m); !ok {
				b.Fatal("not decoded")
			}
		}
	})
	table := make([]byte, 6*destSize)
	markUnfilled(table)
	for i := range 5 {
		copy(table[i*destSize:], entry(byte(i), 0, 1))
	}
	b.Run("destinations=5", func(b *testing.B) {
		b.ReportAllocs()
		var all []Destination
		for b.Loop() {
			var ok bool
			if all, ok = appendDests(all[:0], table, 5); !ok {
				b.Fatal("not decoded")
			}
		}
	})
	b.Run("map", func(b *testing.B) {
		b.ReportAllocs()
		all, _ := appendDests(nil, table, 5)
		row := Row{Destinations: all}
		for b.Loop() {
			_ = row.Server()
		}
	})
}
