package ipset

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
)

var plain = Set{Name: "s", Type: HashIPPort, Family: vipkit.IPv4}

func manyEntries(n int) []Entry {
	entries := make([]Entry, n)
	for i := range entries {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		entries[i] = Entry{EntryKey: Key(a.Next(), vipkit.TCP, uint16(i))}
	}
	return entries
}

func BenchmarkEncode(b *testing.B) {
	for _, n := range []int{100, 10000, 100000} {
		changes := addEntries(plain, manyEntries(n)...)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			var batch nl.Batch
			var l layout
			l.init(plain.Type, plain.Family)
			for b.Loop() {
				batch.Reset()
				batch.Begin(cmdAdd, 0)
				for i := range changes {
					l.append(&batch, &changes[i], uint32(i))
				}
				batch.End()
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{10, 100, 500} {
		data := encoded(plain, manyEntries(n)...)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h, _ := decodeHeader(data)
				_, _ = decodeEntries(&h.set, h.adt, func(*CountedEntry) bool { return true })
			}
		})
	}
}

func BenchmarkDiff(b *testing.B) {
	for _, n := range []int{100, 10000, 100000} {
		entries := manyEntries(n + 1)
		have, want := ByKey(entries...), ByKey(entries[1:]...)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if len(Diff(v4Set, have, want)) != 1 {
					b.Fatal("want one change")
				}
			}
		})
	}
}

func BenchmarkText(b *testing.B) {
	for _, n := range []int{1, 100, 10000} {
		entries := manyEntries(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			var text []byte
			for b.Loop() {
				text = text[:0]
				for i := range entries {
					text = entries[i].append(text, Counters{})
				}
			}
		})
	}
}
