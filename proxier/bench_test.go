package proxier_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/proxier"
)

var benchSizes = []int{10, 1000, 10000}

// BenchmarkFirst builds everything on a host in memory.
func BenchmarkFirst(b *testing.B) {
	for _, n := range benchSizes {
		services := manyServices(n, 5)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				applied(b, services)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/service")
		})
	}
}

// BenchmarkUnchanged applies the same services again.
func BenchmarkUnchanged(b *testing.B) {
	for _, n := range benchSizes {
		services := manyServices(n, 10)
		p := applied(b, services)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := p.ApplyServices(b.Context(), services)
				require.NoError(b, err)
			}
		})
	}
}

// BenchmarkOneEndpoint changes one endpoint of one service among many, by the
// whole list and by a change.
func BenchmarkOneEndpoint(b *testing.B) {
	for _, n := range benchSizes {
		services := manyServices(n, 5)
		p := applied(b, services)
		s := &services[n/2]
		b.Run(fmt.Sprintf("all/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := uint32(0); b.Loop(); i++ {
				s.Endpoints[0].Weight = 1 + i%100
				_, err := p.ApplyServices(b.Context(), services)
				require.NoError(b, err)
			}
		})
		b.Run(fmt.Sprintf("change/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := uint32(0); b.Loop(); i++ {
				s.Endpoints[0].Weight = 101 + i%100
				_, err := p.Apply(b.Context(), proxier.Changes{Upsert: services[n/2 : n/2+1]})
				require.NoError(b, err)
			}
		})
	}
}

func applied(b *testing.B, services []proxier.Service) *proxier.Proxier {
	b.Helper()
	p, err := proxier.New(kerneltest.New().Kernel(), nil)
	require.NoError(b, err)
	_, err = p.ApplyServices(b.Context(), services)
	require.NoError(b, err)
	return p
}

// No change costs no allocation, however many services there are.
func TestUnchangedAllocatesNothing(t *testing.T) {
	for _, n := range []int{10, 1000} {
		services := manyServices(n, 10)
		p, err := proxier.New(kerneltest.New().Kernel(), nil)
		require.NoError(t, err)
		_, err = p.ApplyServices(t.Context(), services)
		require.NoError(t, err)
		allocs := testing.AllocsPerRun(10, func() { _, err = p.ApplyServices(t.Context(), services) })
		require.NoError(t, err)
		require.Zero(t, allocs, "%d services", n)
	}
}

// A change of one service does not cost more among more of them.
func TestChangeCostsTheSameAmongMany(t *testing.T) {
	allocs := make(map[int]float64)
	for _, n := range []int{100, 5000} {
		services := manyServices(n, 5)
		p, err := proxier.New(kerneltest.New().Kernel(), nil)
		require.NoError(t, err)
		_, err = p.ApplyServices(t.Context(), services)
		require.NoError(t, err)
		one := services[n/2 : n/2+1]
		runtime.GC()
		allocs[n] = testing.AllocsPerRun(20, func() {
			one[0].Endpoints[0].Weight++
			_, err = p.Apply(t.Context(), proxier.Changes{Upsert: one})
		})
		require.NoError(t, err)
	}
	require.InDelta(t, allocs[100], allocs[5000], allocs[100]/10)
}
