package kerneltest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/proxier"
)

var errTest = errors.New("injected by the test")

// entries reads a set, and what it had read when it failed.
func entries(ctx context.Context, k proxier.Kernel) (n int, err error) {
	for _, err := range k.IPSet.Entries(ctx, "S") {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// add makes a set with four entries, in one batch.
func add(t *testing.T) []ipset.Change {
	t.Helper()
	changes := []ipset.Change{{Op: ipset.CreateSet, Set: someSet}}
	for i := range 4 {
		var c ipset.Change
		require.NoError(t, c.UnmarshalText(fmt.Appendf(nil, "add S 192.0.2.%d", i)))
		c.Set = someSet
		changes = append(changes, c)
	}
	return changes
}

func TestWriteFaults(t *testing.T) {
	tests := map[string]struct {
		fault    kerneltest.Fault
		want     error
		there    int // of four entries, when the third write (the second entry) meets the fault
		recorded int
		failed   int
	}{
		"none":         {kerneltest.Fault{}, nil, 4, 5, 0},
		"before":       {kerneltest.Fault{Before: errTest}, errTest, 3, 5, 1},
		"after":        {kerneltest.Fault{After: errTest}, errTest, 4, 5, 1},
		"crash before": {kerneltest.Fault{Crash: true, Before: errTest}, errTest, 1, 3, 3},
		"crash after":  {kerneltest.Fault{Crash: true}, kerneltest.ErrCrashed, 2, 3, 3},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			host := kerneltest.New()
			rec := kerneltest.Record(host.Kernel())
			rec.Fault = kerneltest.At(2, test.fault)
			errs := rec.Kernel().IPSet.Apply(t.Context(), add(t))
			failed := 0
			for i, err := range errs {
				switch {
				case i == 2:
					require.ErrorIs(t, err, test.want)
				case err != nil:
					require.ErrorIs(t, err, kerneltest.ErrCrashed)
					require.Greater(t, i, 2)
				}
				if err != nil {
					failed++
				}
			}
			require.Equal(t, test.failed, failed)
			require.Len(t, rec.Writes(), test.recorded)
			there, err := entries(t.Context(), host.Kernel())
			require.NoError(t, err)
			require.Equal(t, test.there, there)
			if test.fault.Crash { // nothing of a dead process comes through, of no facility
				rec.Fault = nil
				require.ErrorIs(t, rec.Kernel().Dummy.DeleteLink(t.Context(), "vipkit0"), kerneltest.ErrCrashed)
				_, err = entries(t.Context(), rec.Kernel())
				require.ErrorIs(t, err, kerneltest.ErrCrashed)
				require.ErrorIs(t, rec.Kernel().IPSet.Apply(t.Context(), add(t))[0], kerneltest.ErrCrashed)
			}
		})
	}
}

func TestReadFaults(t *testing.T) {
	tests := map[string]struct {
		fault kerneltest.Fault
		want  error
		seen  int
	}{
		"none":        {kerneltest.Fault{}, nil, 4},
		"before":      {kerneltest.Fault{Before: errTest}, errTest, 0},
		"after":       {kerneltest.Fault{After: errTest}, errTest, 4},
		"cut, told":   {kerneltest.Fault{Partial: true, After: errTest}, errTest, 2},
		"cut, untold": {kerneltest.Fault{Partial: true}, nil, 2},
		"crash":       {kerneltest.Fault{Crash: true}, kerneltest.ErrCrashed, 4},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			rec := kerneltest.Record(kerneltest.New().Kernel())
			require.Nil(t, rec.Kernel().IPSet.Apply(t.Context(), add(t)))
			rec.ReadFault = kerneltest.At(1, test.fault)
			n, err := entries(t.Context(), rec.Kernel())
			require.NoError(t, err)
			require.Equal(t, 4, n)
			n, err = entries(t.Context(), rec.Kernel())
			require.ErrorIs(t, err, test.want)
			require.Equal(t, test.seen, n)
			require.Equal(t, 2, rec.Reads())
		})
	}
}

// Every read and write of every facility is asked about.
func TestFaultsReachEverything(t *testing.T) {
	var operations []string
	rec := kerneltest.Record(kerneltest.New().Kernel())
	refuse := func(_ int, operation string) kerneltest.Fault {
		operations = append(operations, operation)
		return kerneltest.Fault{Before: errTest}
	}
	rec.Fault, rec.ReadFault = refuse, refuse
	k := rec.Kernel()
	p, err := proxier.New(k, nil)
	require.NoError(t, err)
	_, err = p.ApplyServices(t.Context(), nil)
	require.ErrorIs(t, err, errTest)
	_, err = k.IPVS.Timeouts(t.Context())
	require.ErrorIs(t, err, errTest)
	_, err = k.Sysctl.Get(t.Context(), "net/ipv4/ip_forward")
	require.ErrorIs(t, err, errTest)
	require.ErrorIs(t, k.Sysctl.Set(t.Context(), "net/ipv4/ip_forward", "1"), errTest)
	_, err = k.IPTables.Save(t.Context(), vipkit.IPv6, "nat")
	require.ErrorIs(t, err, errTest)
	require.Subset(t, operations, []string{
		"ipvsadm -L --timeout", "sysctl -n net/ipv4/ip_forward", "sysctl -w net/ipv4/ip_forward=1", "ip6tables-save nat",
	})
}

// A slow call ends with its context, and costs a test no time.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := kerneltest.New()
		rec := kerneltest.Record(host.Kernel())
		rec.Fault = kerneltest.At(0, kerneltest.Fault{Delay: time.Hour})
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		errs := rec.Kernel().IPSet.Apply(ctx, create)
		require.Len(t, errs, 1)
		require.ErrorIs(t, errs[0], context.DeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(start))
		require.Empty(t, host.IPSet.Dump())

		rec.Reset()
		require.Nil(t, rec.Kernel().IPSet.Apply(t.Context(), create))
		require.Equal(t, time.Hour+time.Minute, time.Since(start))
		require.NotEmpty(t, host.IPSet.Dump())
	})
}

func TestRandomFaults(t *testing.T) {
	from := append(kerneltest.WriteFaults(), kerneltest.ReadFaults()...)
	a, again, other := kerneltest.Random(7, 4, from...), kerneltest.Random(7, 4, from...), kerneltest.Random(8, 4, from...)
	met := make(map[string]int)
	differ := 0
	const operations = 4000
	for n := range operations {
		f := a(n, "")
		require.Equal(t, f, again(n, "x"))
		if fmt.Sprint(f) != fmt.Sprint(other(n, "")) {
			differ++
		}
		if f.Before != nil || f.After != nil {
			met[fmt.Sprint(f)]++
		}
	}
	require.Greater(t, differ, operations/10)
	total := 0
	for _, n := range met {
		total += n
	}
	require.Len(t, met, len(from)-2) // both can be busy or interrupted
	require.InDelta(t, operations/4, total, operations/20)
	require.Zero(t, kerneltest.Random(1, 1)(0, ""))
}
