package ipsettest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipset"
)

func testExtensions(t *testing.T, c ipset.Client, s Shape) {
	s.Set.Timeout, s.Set.Comment, s.Set.Counters, s.Set.SkbInfo = time.Hour, true, true, true
	apply(t, c, ipset.Change{Op: ipset.CreateSet, Set: s.Set})
	e := s.entry(0)
	e.Comment, e.Mark, e.MarkMask, e.Timeout = "a comment; with 'all' \\ sorts", 0x4000, 0xffffffff, ipset.Forever
	apply(t, c, s.change(ipset.AddEntry, e))
	require.Equal(t, []ipset.Entry{e}, snapshot(t, c, s.Set.Name))
	e.Comment, e.Mark, e.MarkMask = strings.Repeat("é", 127), 0x5, 0xff
	apply(t, c, s.change(ipset.UpdateEntry, e))
	require.Equal(t, []ipset.Entry{e}, snapshot(t, c, s.Set.Name))
	e.Mark = 0 // a mask alone clears bits
	apply(t, c, s.change(ipset.UpdateEntry, e))
	require.Equal(t, []ipset.Entry{e}, snapshot(t, c, s.Set.Name))

	e.Comment, e.Mark, e.MarkMask, e.Timeout = "", 0, 0, 100*time.Second
	apply(t, c, s.change(ipset.UpdateEntry, e))
	left := snapshot(t, c, s.Set.Name)[0]
	require.InDelta(t, 100, left.Timeout.Seconds(), 5)
	left.Timeout = e.Timeout
	require.Equal(t, e, left)

	e.Timeout = 0 // the set's own
	apply(t, c, s.change(ipset.UpdateEntry, e))
	require.InDelta(t, 3600, snapshot(t, c, s.Set.Name)[0].Timeout.Seconds(), 5)
	if s.Set.Type != ipset.HashNet && s.Set.Type != ipset.HashIPPortNet {
		e.NoMatch = true
		refused(t, c, fs.ErrInvalid, s.change(ipset.AddEntry, e))
		return
	}
	e.NoMatch, e.Timeout = true, ipset.Forever
	refused(t, c, fs.ErrExist, s.change(ipset.AddEntry, e))
	apply(t, c, s.change(ipset.UpdateEntry, e))
	require.Equal(t, []ipset.Entry{e}, snapshot(t, c, s.Set.Name))
	apply(t, c, s.change(ipset.DeleteEntry, e))
	require.Empty(t, snapshot(t, c, s.Set.Name))
}

// testBulk has failures at the start, in the middle and at the end of long runs
// of entries, which must not disturb those around them.
func testBulk(t *testing.T, c ipset.Client, s Shape) {
	const n = 4000 // more than one message of any type
	apply(t, c, ipset.Change{Op: ipset.CreateSet, Set: s.Set})
	apply(t, c, s.change(ipset.AddEntry, s.entry(0)), s.change(ipset.AddEntry, s.entry(n/2)), s.change(ipset.AddEntry, s.entry(n-1)))
	changes := s.entries(ipset.AddEntry, 0, n)
	changes[7].Entry.Comment = `"` // invalid before the kernel sees it
	errs := c.Apply(t.Context(), changes)
	require.Len(t, errs, n)
	for i, err := range errs {
		switch i {
		case 0, n / 2, n - 1:
			require.ErrorIs(t, err, fs.ErrExist, i)
		case 7:
			require.ErrorIs(t, err, fs.ErrInvalid)
		default:
			if err != nil {
				t.Fatalf("change %d: %v", i, err)
			}
		}
	}
	require.Len(t, snapshot(t, c, s.Set.Name), n-1)

	errs = c.Apply(t.Context(), s.entries(ipset.DeleteEntry, 0, n+1))
	for i, err := range errs {
		if i == 7 || i == n {
			require.ErrorIs(t, err, fs.ErrNotExist, i)
		} else if err != nil {
			t.Fatalf("change %d: %v", i, err)
		}
	}
	require.Empty(t, snapshot(t, c, s.Set.Name))
	apply(t, c, s.entries(ipset.UpdateEntry, 0, n)...)
	apply(t, c, s.entries(ipset.UpdateEntry, 0, n)...)
	require.Len(t, snapshot(t, c, s.Set.Name), n)
}

func testSwap(t *testing.T, c ipset.Client, s Shape) {
	b := s
	b.Set.Name, b.Set.Comment = "b", true
	swap := ipset.Change{Op: ipset.SwapSets, Set: s.Set, Other: "b"}
	refused(t, c, fs.ErrNotExist, swap)
	// The whole in one go: what follows a bulk builds on it.
	apply(t, c, append(append([]ipset.Change{{Op: ipset.CreateSet, Set: s.Set}, {Op: ipset.CreateSet, Set: b.Set}},
		b.entries(ipset.AddEntry, 0, 3)...), swap)...)
	require.Len(t, snapshot(t, c, s.Set.Name), 3)
	require.Empty(t, snapshot(t, c, "b"))
	have, _, err := ipset.Find(t.Context(), c, s.Set.Name)
	require.NoError(t, err)
	require.True(t, have.Comment, "the parameters go with the contents")
	apply(t, c, ipset.Change{Op: ipset.SwapSets, Set: s.Set, Other: s.Set.Name})
	require.Len(t, snapshot(t, c, s.Set.Name), 3)
	swap.Other = "missing"
	refused(t, c, fs.ErrNotExist, swap)
	refused(t, c, fs.ErrNotExist, ipset.Change{Op: ipset.SwapSets, Set: ipset.Set{Name: "missing"}, Other: "b"})
	swap.Other = "other"
	for _, o := range Shapes() {
		if o.Set.Type == s.Set.Type && o.Set.Family == s.Set.Family {
			continue
		}
		o.Set.Name = "other"
		apply(t, c, ipset.Change{Op: ipset.CreateSet, Set: o.Set})
		refused(t, c, fs.ErrInvalid, swap)
		apply(t, c, ipset.Change{Op: ipset.DestroySet, Set: o.Set})
	}
}

func testAbsent(t *testing.T, c ipset.Client) {
	require.Empty(t, dump(t, c))
	s := Shapes()[0]
	for _, op := range []ipset.Op{ipset.DestroySet, ipset.FlushSet, ipset.AddEntry, ipset.UpdateEntry, ipset.DeleteEntry} {
		refused(t, c, fs.ErrNotExist, s.change(op, s.entry(0)))
	}
	errs := c.Apply(t.Context(), s.entries(ipset.AddEntry, 0, 100))
	require.Len(t, errs, 100)
	for _, err := range errs {
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
	_, err := ipset.Snapshot(t.Context(), c, "missing")
	require.ErrorIs(t, err, fs.ErrNotExist)
	for _, err = range c.Counters(t.Context(), "missing") {
	}
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = ipset.Snapshot(t.Context(), c, "")
	require.ErrorIs(t, err, fs.ErrInvalid)
	_, ok, err := ipset.Find(t.Context(), c, "missing")
	require.NoError(t, err)
	require.False(t, ok)
	require.Nil(t, c.Apply(t.Context(), nil))
}

func testCancelled(t *testing.T, c ipset.Client) {
	s := Shapes()[0]
	apply(t, c, ipset.Change{Op: ipset.CreateSet, Set: s.Set}, s.change(ipset.AddEntry, s.entry(0)))
	before := dump(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	changes := append(s.entries(ipset.AddEntry, 1, 9), ipset.Change{Op: ipset.DestroySet, Set: s.Set})
	errs := c.Apply(ctx, changes)
	require.Len(t, errs, len(changes))
	for _, err := range errs {
		require.ErrorIs(t, err, context.Canceled)
	}
	_, err := ipset.Snapshot(ctx, c, s.Set.Name)
	require.ErrorIs(t, err, context.Canceled)
	for _, err = range c.Counters(ctx, s.Set.Name) {
	}
	require.ErrorIs(t, err, context.Canceled)
	_, err = c.Test(ctx, s.Set, s.Key(0))
	require.ErrorIs(t, err, context.Canceled)
	_, _, err = ipset.Find(ctx, c, s.Set.Name)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, before, dump(t, c))
}

func testNames(t *testing.T, c ipset.Client) {
	s := Shapes()[0].Set
	for _, name := range []string{"", strings.Repeat("n", 32), "a b", "a\nb", `a"b`, "-a"} {
		s.Name = name
		refused(t, c, fs.ErrInvalid, ipset.Change{Op: ipset.CreateSet, Set: s})
	}
	s.Name = strings.Repeat("n", 31)
	apply(t, c, ipset.Change{Op: ipset.CreateSet, Set: s})
	s.Name = "VIPKIT-a.b:c_d~é"
	apply(t, c, ipset.Change{Op: ipset.CreateSet, Set: s})
	require.Len(t, dump(t, c), 2)
	s.Type = "hash:nonsense"
	refused(t, c, fs.ErrInvalid, ipset.Change{Op: ipset.CreateSet, Set: s})
	refused(t, c, fs.ErrInvalid, ipset.Change{Op: 99, Set: s})
}

// testOrder checks that changes have the effect of one after the other, even
// where some fail within a bulk.
func testOrder(t *testing.T, c ipset.Client) {
	s := Shapes()[0]
	a, b := s.entry(0), s.entry(1)
	errs := c.Apply(t.Context(), []ipset.Change{
		{Op: ipset.CreateSet, Set: s.Set},
		s.change(ipset.AddEntry, a),
		s.change(ipset.AddEntry, a), // refused
		s.change(ipset.AddEntry, b),
		s.change(ipset.DeleteEntry, b),
		s.change(ipset.DeleteEntry, b), // refused
		s.change(ipset.DeleteEntry, a),
		s.change(ipset.AddEntry, b),
	})
	require.Len(t, errs, 8)
	for i, err := range errs {
		switch i {
		case 2:
			require.ErrorIs(t, err, fs.ErrExist)
		case 5:
			require.ErrorIs(t, err, fs.ErrNotExist)
		default:
			require.NoError(t, err, i)
		}
	}
	require.Equal(t, []ipset.Entry{b}, snapshot(t, c, s.Set.Name))
}

func testBreak(t *testing.T, c ipset.Client) {
	s := Shapes()[1]
	apply(t, c, append([]ipset.Change{{Op: ipset.CreateSet, Set: s.Set}}, s.entries(ipset.AddEntry, 0, 5000)...)...)
	for range 3 {
		for _, err := range c.Entries(t.Context(), s.Set.Name) {
			require.NoError(t, err)
			// The client is usable within the loop, and after it is left.
			refused := c.Apply(t.Context(), []ipset.Change{s.change(ipset.AddEntry, s.entry(0))})
			require.ErrorIs(t, errors.Join(refused...), fs.ErrExist)
			break
		}
	}
	require.Len(t, snapshot(t, c, s.Set.Name), 5000)
}

func testConcurrent(t *testing.T, c ipset.Client) {
	var group sync.WaitGroup
	shapes := Shapes()
	for i, s := range shapes {
		s.Set.Name = fmt.Sprintf("set%d", i)
		group.Go(func() {
			errs := c.Apply(t.Context(), append([]ipset.Change{{Op: ipset.CreateSet, Set: s.Set}}, s.entries(ipset.AddEntry, 0, 500)...))
			if err := errors.Join(errs...); err != nil {
				t.Error(err)
			}
			for range 5 {
				if entries, err := ipset.Snapshot(t.Context(), c, s.Set.Name); err != nil || len(entries) != 500 {
					t.Errorf("%d entries, %v", len(entries), err)
				}
			}
		})
	}
	group.Wait()
	require.Len(t, dump(t, c), len(shapes)*501)
}

// testSeveralSets has bulks for several sets in one call, with failures in each.
func testSeveralSets(t *testing.T, c ipset.Client) {
	var changes []ipset.Change
	shapes := Shapes()
	for i := range shapes {
		s := &shapes[i]
		s.Set.Name = fmt.Sprintf("set%d", i)
		changes = append(changes, ipset.Change{Op: ipset.CreateSet, Set: s.Set}, s.change(ipset.AddEntry, s.entry(50)))
		changes = append(changes, s.entries(ipset.UpdateEntry, 50, 51)...)
		changes = append(changes, s.entries(ipset.AddEntry, 0, 100)...)
	}
	changes = append(changes, ipset.Change{Op: ipset.DestroySet, Set: shapes[0].Set})
	errs := c.Apply(t.Context(), changes)
	require.Len(t, errs, len(changes))
	per := 103
	for i, err := range errs {
		if i < len(changes)-1 && i%per == 3+50 {
			require.ErrorIs(t, err, fs.ErrExist)
		} else {
			require.NoError(t, err, changes[i].String())
		}
	}
	require.Len(t, dump(t, c), (len(shapes)-1)*101)
	var op *vipkit.OpError
	require.ErrorAs(t, errs[3+50], &op)
	require.Equal(t, "set0 "+shapes[0].entry(50).String(), op.Object)
}
