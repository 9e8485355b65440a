package ipsettest

import (
	"context"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipset"
)

// options are what a set can be created with so that its entries can carry it.
var options = []struct {
	name  string
	set   func(*ipset.Set)
	carry func(*ipset.Change) // two values: the second is of an update
	other func(*ipset.Change)
}{
	{
		"timeout",
		func(s *ipset.Set) { s.Timeout = time.Hour },
		func(c *ipset.Change) { c.Entry.Timeout = 2 * time.Hour },
		func(c *ipset.Change) { c.Entry.Timeout = ipset.Forever },
	},
	{
		"counters",
		func(s *ipset.Set) { s.Counters = true },
		func(c *ipset.Change) { c.Counters = ipset.Counters{Packets: 5, Bytes: 1 << 40} },
		func(c *ipset.Change) { c.Counters = ipset.Counters{Packets: 1<<64 - 2, Bytes: 1} },
	},
	{
		"comment",
		func(s *ipset.Set) { s.Comment = true },
		func(c *ipset.Change) { c.Entry.Comment = "kube-system/dns:dns" },
		func(c *ipset.Change) { c.Entry.Comment = strings.Repeat("é", 127) },
	},
	{
		"skbinfo",
		func(s *ipset.Set) { s.SkbInfo = true },
		func(c *ipset.Change) { c.Entry.Mark, c.Entry.MarkMask = 0x4000, 0xffffffff },
		func(c *ipset.Change) { c.Entry.MarkMask, c.Entry.Priority, c.Entry.Queue = 0xf, 0x1000a, 65535 },
	},
}

// counted returns the entries of a set with their counters, in order, each time left
// rounded to half hours.
func counted(t *testing.T, c ipset.Client, set string) (all []ipset.CountedEntry) {
	t.Helper()
	for e, err := range c.Counters(t.Context(), set) {
		require.NoError(t, err)
		if e.Timeout > 0 {
			e.Timeout = e.Timeout.Round(30 * time.Minute)
		}
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b ipset.CountedEntry) int { return a.Compare(b.Entry) })
	return all
}

// testOptions has every option alone: what it lets entries carry is read back, and
// what it does not is refused.
func testOptions(t *testing.T, c ipset.Client, s Shape) {
	for _, option := range options {
		set := s
		option.set(&set.Set)
		apply(t, c, ipset.Change{Op: ipset.CreateSet, Set: set.Set})
		have, _, err := ipset.Find(t.Context(), c, set.Set.Name)
		require.NoError(t, err)
		require.True(t, set.Set.Compatible(have), "%v, %v", set.Set, have)

		add := set.change(ipset.AddEntry, set.entry(0))
		option.carry(&add)
		apply(t, c, add)
		require.Equal(t, []ipset.CountedEntry{{Entry: add.Entry, Counters: add.Counters}}, counted(t, c, set.Set.Name), option.name)
		update := set.change(ipset.UpdateEntry, set.entry(0))
		option.other(&update)
		apply(t, c, update)
		require.Equal(t, []ipset.CountedEntry{{Entry: update.Entry, Counters: update.Counters}}, counted(t, c, set.Set.Name), option.name)
		for _, foreign := range options {
			if foreign.name != option.name {
				bad := set.change(ipset.AddEntry, set.entry(1))
				foreign.carry(&bad)
				refused(t, c, fs.ErrInvalid, bad)
			}
		}
		apply(t, c, ipset.Change{Op: ipset.DestroySet, Set: set.Set})
	}
}

// testCounters: added entries start from what is said, and an update keeps what it
// does not say.
func testCounters(t *testing.T, c ipset.Client, s Shape) {
	s.Set.Counters = true
	apply(t, c, ipset.Change{Op: ipset.CreateSet, Set: s.Set})
	add := s.change(ipset.AddEntry, s.entry(0))
	add.Counters = ipset.Counters{Packets: 5, Bytes: 6}
	update := s.change(ipset.UpdateEntry, s.entry(0))
	read := func() ipset.Counters { return counted(t, c, s.Set.Name)[0].Counters }
	apply(t, c, add, update)
	require.Equal(t, ipset.Counters{Packets: 5, Bytes: 6}, read())
	update.Counters.Bytes = 9
	apply(t, c, update)
	require.Equal(t, ipset.Counters{Packets: 5, Bytes: 9}, read())
	apply(t, c, s.change(ipset.DeleteEntry, s.entry(0)), s.change(ipset.AddEntry, s.entry(0)))
	require.Zero(t, read(), "what a deleted entry had counted is forgotten")
	update.Counters.Packets = 1<<64 - 1
	refused(t, c, fs.ErrInvalid, update)
	require.Equal(t, []ipset.Entry{s.entry(0)}, snapshot(t, c, s.Set.Name), "counters are not in the entry")
}

// found asks whether a key is in the set.
func found(t *testing.T, c ipset.Client, s ipset.Set, k ipset.EntryKey) bool {
	t.Helper()
	yes, err := c.Test(t.Context(), s, k)
	require.NoError(t, err, k)
	return yes
}

func testTest(t *testing.T, c ipset.Client, s Shape) {
	_, err := c.Test(t.Context(), s.Set, s.Key(0))
	require.ErrorIs(t, err, fs.ErrNotExist)
	var op *vipkit.OpError
	require.ErrorAs(t, err, &op)
	require.Equal(t, "ipset test", op.Op)
	require.Equal(t, s.Set.Name+" "+s.Key(0).String(), op.Object)
	apply(t, c, append([]ipset.Change{{Op: ipset.CreateSet, Set: s.Set}}, s.entries(ipset.AddEntry, 0, 2)...)...)
	require.True(t, found(t, c, s.Set, s.Key(0)))
	require.True(t, found(t, c, s.Set, s.Key(1)))
	require.False(t, found(t, c, s.Set, s.Key(2)))
	_, err = c.Test(t.Context(), s.Set, ipset.EntryKey{Protocol: 99})
	require.ErrorIs(t, err, fs.ErrInvalid)
	if !strings.HasSuffix(string(s.Set.Type), "net") {
		return
	}
	apply(t, c, ipset.Change{Op: ipset.FlushSet, Set: s.Set})
	in := func(bits int, host bool) ipset.EntryKey {
		k := s.Key(0)
		n := &k.Net
		if k.Net2.IsValid() {
			n = &k.Net2
		}
		a := n.Addr()
		*n = netip.PrefixFrom(a, bits).Masked()
		if host {
			*n = ipset.Host(a)
		}
		return k
	}
	size := s.Key(0).Net.Addr().BitLen()
	wide, narrow, host := in(8, false), in(size-8, false), in(0, true)
	exception := ipset.Entry{EntryKey: narrow, NoMatch: true}
	apply(t, c, s.change(ipset.AddEntry, ipset.Entry{EntryKey: wide}))
	require.True(t, found(t, c, s.Set, host))
	require.True(t, found(t, c, s.Set, wide))
	require.False(t, found(t, c, s.Set, narrow), "a network is looked for as it is")
	apply(t, c, s.change(ipset.AddEntry, exception))
	require.False(t, found(t, c, s.Set, host))
	require.False(t, found(t, c, s.Set, narrow))
	apply(t, c, s.change(ipset.AddEntry, ipset.Entry{EntryKey: host}))
	require.True(t, found(t, c, s.Set, host))
}

func testRename(t *testing.T, c ipset.Client, s Shape) {
	rename := ipset.Change{Op: ipset.RenameSet, Set: s.Set, Other: "new"}
	refused(t, c, fs.ErrNotExist, rename)
	apply(t, c, ipset.Change{Op: ipset.CreateSet, Set: s.Set})
	refused(t, c, fs.ErrExist, ipset.Change{Op: ipset.RenameSet, Set: s.Set, Other: s.Set.Name})
	refused(t, c, fs.ErrInvalid, ipset.Change{Op: ipset.RenameSet, Set: s.Set})
	// In one go: what follows a bulk builds on it.
	renamed := s
	renamed.Set.Name = "new"
	changes := append(s.entries(ipset.AddEntry, 0, 3), rename)
	apply(t, c, append(changes, renamed.entries(ipset.AddEntry, 3, 6)...)...)
	require.Len(t, snapshot(t, c, "new"), 6)
	_, err := ipset.Snapshot(t.Context(), c, s.Set.Name)
	require.ErrorIs(t, err, fs.ErrNotExist)
	apply(t, c, ipset.Change{Op: ipset.CreateSet, Set: s.Set})
	refused(t, c, fs.ErrExist, rename)
	refused(t, c, fs.ErrExist, ipset.Change{Op: ipset.RenameSet, Set: renamed.Set, Other: s.Set.Name})
}

// testResize lets a set grow, with all that its entries carry.
func testResize(t *testing.T, c ipset.Client, s Shape) {
	const n = 1100 // more than the kernel has buckets by default
	require.ErrorIs(t, ipset.Resize(t.Context(), c, s.Set), fs.ErrNotExist)
	s.Set.Timeout, s.Set.Comment, s.Set.Counters, s.Set.SkbInfo = time.Hour, true, true, true
	if s.Set.Type != ipset.BitmapPort {
		s.Set.MaxElem = n
	}
	changes := append([]ipset.Change{{Op: ipset.CreateSet, Set: s.Set}}, s.entries(ipset.AddEntry, 0, n)...)
	for i := range changes[1:] {
		option := options[i%len(options)]
		[]func(*ipset.Change){option.carry, option.other}[i/len(options)%2](&changes[1+i])
	}
	apply(t, c, changes...)
	// A leftover of an earlier attempt, which was cut short.
	leftover := s
	leftover.Set.Name += "~"
	apply(t, c, ipset.Change{Op: ipset.CreateSet, Set: leftover.Set}, leftover.change(ipset.AddEntry, s.entry(n+1)))
	before := counted(t, c, s.Set.Name)
	require.Len(t, before, n)

	grown := s.Set
	if s.Set.Type != ipset.BitmapPort {
		small := s.Set
		small.MaxElem = n / 2 // a kernel with a large hash may take a few more
		require.ErrorIs(t, ipset.Resize(t.Context(), c, small), vipkit.ErrFull)
		require.True(t, slices.Equal(before, counted(t, c, s.Set.Name)), "entries were lost or changed")
		grown.MaxElem = 2 * n
	}
	plain := grown
	plain.Comment = false
	require.ErrorIs(t, ipset.Resize(t.Context(), c, plain), fs.ErrInvalid)
	require.NoError(t, ipset.Resize(t.Context(), c, grown))
	require.True(t, slices.Equal(before, counted(t, c, s.Set.Name)), "entries were lost or changed")
	var sets []ipset.Set
	for have, err := range c.Sets(t.Context()) {
		require.NoError(t, err)
		sets = append(sets, have)
	}
	require.Len(t, sets, 1, "the old one is gone, and nothing is left over")
	require.True(t, grown.Compatible(sets[0]), "%v, %v", grown, sets[0])
	apply(t, c, s.change(ipset.AddEntry, s.entry(n+1)))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, ipset.Resize(ctx, c, grown), context.Canceled)
	grown.Timeout = 0
	require.ErrorIs(t, ipset.Resize(t.Context(), c, grown), fs.ErrInvalid)
	require.Len(t, counted(t, c, s.Set.Name), n+1)
}
