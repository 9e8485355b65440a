package ipsettest

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipset"
)

// Referrer is a client for which [TestClient] can have something refer to a set, as
// a rule or a list does.
type Referrer interface {
	ipset.Client
	Refer(t *testing.T, set string)
	Unrefer(t *testing.T)
}

// faults are what other fakes accept and the kernel refuses.
var faults = map[string]func(*testing.T, ipset.Client, Shape){
	"an entry of the wrong family": func(t *testing.T, c ipset.Client, s Shape) {
		if s.Set.Type == ipset.BitmapPort {
			s.Set.Family = vipkit.IPv4
			refused(t, c, fs.ErrInvalid, s.change(ipset.AddEntry, s.entry(0)))
			return
		}
		apply(t, c, ipset.Change{Op: ipset.CreateSet, Set: s.Set})
		for _, other := range Shapes() {
			if other.Set.Type == s.Set.Type && other.Set.Family != s.Set.Family {
				refused(t, c, fs.ErrInvalid, s.change(ipset.AddEntry, other.entry(0)))
				other.Set.Name = s.Set.Name
				refused(t, c, fs.ErrInvalid, other.change(ipset.AddEntry, other.entry(0)))
			}
		}
	},
	"an entry over maxelem": func(t *testing.T, c ipset.Client, s Shape) {
		kind, over := vipkit.ErrFull, s.entry(2)
		if s.Set.Type == ipset.BitmapPort {
			s.Set.PortFrom, s.Set.PortTo = 1, 2
			kind = fs.ErrInvalid
		} else {
			s.Set.MaxElem = 2
		}
		apply(t, c, append([]ipset.Change{{Op: ipset.CreateSet, Set: s.Set}}, s.entries(ipset.AddEntry, 0, 2)...)...)
		refused(t, c, kind, s.change(ipset.AddEntry, over))
		refused(t, c, kind, s.change(ipset.UpdateEntry, over))
	},
	"destroying a set in use": func(t *testing.T, c ipset.Client, s Shape) {
		r, ok := c.(Referrer)
		if !ok {
			t.Log("the client is no Referrer")
			return
		}
		other := s
		other.Set.Name = "other"
		apply(t, c, ipset.Change{Op: ipset.CreateSet, Set: s.Set}, ipset.Change{Op: ipset.CreateSet, Set: other.Set},
			other.change(ipset.AddEntry, s.entry(0)))
		r.Refer(t, s.Set.Name)
		destroy := ipset.Change{Op: ipset.DestroySet, Set: s.Set}
		for _, change := range []ipset.Change{destroy, {Op: ipset.RenameSet, Set: s.Set, Other: "new"}} {
			errs := c.Apply(t.Context(), []ipset.Change{change})
			require.Len(t, errs, 1, change)
			require.ErrorIs(t, errs[0], vipkit.ErrInUse, change)
		}
		// What does not take the set away is no trouble.
		apply(t, c, s.change(ipset.AddEntry, s.entry(1)), ipset.Change{Op: ipset.FlushSet, Set: s.Set},
			ipset.Change{Op: ipset.SwapSets, Set: s.Set, Other: "other"})
		require.Len(t, snapshot(t, c, s.Set.Name), 1)
		require.NoError(t, ipset.Resize(t.Context(), c, s.Set))
		require.Len(t, snapshot(t, c, s.Set.Name), 1)
		require.ErrorIs(t, c.Apply(t.Context(), []ipset.Change{destroy})[0], vipkit.ErrInUse)
		r.Unrefer(t)
		apply(t, c, destroy)
	},
	"creating a set again with other parameters": func(t *testing.T, c ipset.Client, s Shape) {
		apply(t, c, ipset.Change{Op: ipset.CreateSet, Set: s.Set}, s.change(ipset.AddEntry, s.entry(0)))
		for _, other := range Shapes() {
			other.Set.Name = s.Set.Name
			refused(t, c, fs.ErrExist, ipset.Change{Op: ipset.CreateSet, Set: other.Set})
		}
		s.Set.Comment = true
		refused(t, c, fs.ErrExist, ipset.Change{Op: ipset.CreateSet, Set: s.Set})
	},
	"the caller's later mutation visible inside": func(t *testing.T, c ipset.Client, s Shape) {
		apply(t, c, ipset.Change{Op: ipset.CreateSet, Set: s.Set})
		changes := s.entries(ipset.AddEntry, 0, 2)
		apply(t, c, changes...)
		changes[0].Entry, changes[1].Set.Name = s.entry(7), "other"
		have := snapshot(t, c, s.Set.Name)
		require.ElementsMatch(t, []ipset.Entry{s.entry(0), s.entry(1)}, have)
		have[0] = s.entry(9)
		require.ElementsMatch(t, []ipset.Entry{s.entry(0), s.entry(1)}, snapshot(t, c, s.Set.Name))
	},
}

func testFull(t *testing.T, c ipset.Client, s Shape) {
	if s.Set.Type == ipset.BitmapPort {
		s.Set.PortFrom, s.Set.PortTo = 10, 20
		apply(t, c, ipset.Change{Op: ipset.CreateSet, Set: s.Set})
		for _, port := range []uint16{9, 21, 0, 65535} {
			refused(t, c, fs.ErrInvalid, s.change(ipset.AddEntry, ipset.Entry{EntryKey: ipset.EntryKey{Port: port}}))
		}
		return
	}
	s.Set.MaxElem, s.Set.Comment = 3, true
	apply(t, c, ipset.Change{Op: ipset.CreateSet, Set: s.Set})
	errs := c.Apply(t.Context(), s.entries(ipset.AddEntry, 0, 5))
	require.Len(t, errs, 5)
	require.NoError(t, errors.Join(errs[:3]...))
	require.ErrorIs(t, errs[3], vipkit.ErrFull)
	require.ErrorIs(t, errs[4], vipkit.ErrFull)
	refused(t, c, vipkit.ErrFull, s.change(ipset.UpdateEntry, s.entry(9)))
	e := s.entry(1)
	e.Comment = "changed in a full set"
	apply(t, c, s.change(ipset.UpdateEntry, e))
	require.Contains(t, snapshot(t, c, s.Set.Name), e)

	s.Set.MaxElem = 10
	require.NoError(t, ipset.Resize(t.Context(), c, s.Set))
	apply(t, c, s.entries(ipset.AddEntry, 3, 10)...)
	require.Contains(t, snapshot(t, c, s.Set.Name), e)
	refused(t, c, vipkit.ErrFull, s.change(ipset.AddEntry, s.entry(10)))
	require.Len(t, dump(t, c), 11)
}
