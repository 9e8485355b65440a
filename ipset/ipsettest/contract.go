package ipsettest

import (
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipset"
)

// TestClient checks that what open returns keeps the contract of
// [ipset.Client]. Each call of open has to return a client without sets; if that is
// a [Referrer] too, what holds while a set is in use is checked.
func TestClient(t *testing.T, open func(t *testing.T) ipset.Client) {
	for _, s := range Shapes() {
		t.Run(fmt.Sprintf("%s %v", s.Set.Type, s.Set.Family), func(t *testing.T) {
			for name, test := range map[string]func(*testing.T, ipset.Client, Shape){
				"set": testSet, "entries": testEntries, "invalid": testInvalid, "full": testFull,
				"extensions": testExtensions, "bulk": testBulk, "swap": testSwap, "rename": testRename,
				"options": testOptions, "counters": testCounters, "test": testTest, "resize": testResize,
			} {
				t.Run(name, func(t *testing.T) { test(t, open(t), s) })
			}
			for name, test := range faults {
				t.Run(name, func(t *testing.T) { test(t, open(t), s) })
			}
		})
	}
	for name, test := range map[string]func(*testing.T, ipset.Client){
		"absent": testAbsent, "cancelled": testCancelled, "names": testNames, "order": testOrder,
		"early break": testBreak, "concurrent": testConcurrent, "several sets": testSeveralSets,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// Shape is a set without extensions, and a source of distinct valid keys for
// it, at least 60,000.
type Shape struct {
	Set ipset.Set
	Key func(i int) ipset.EntryKey
}

// Shapes returns one Shape for each type and family.
func Shapes() []Shape {
	shapes := []Shape{{
		Set: ipset.Set{Name: "ports", Type: ipset.BitmapPort, PortFrom: 1, PortTo: 65535},
		Key: func(i int) ipset.EntryKey { return ipset.EntryKey{Port: uint16(i + 1)} },
	}}
	for _, f := range []vipkit.Family{vipkit.IPv4, vipkit.IPv6} {
		addr := func(i int) netip.Prefix { return ipset.Host(address(f, 10, i+1)) }
		network := func(i int) netip.Prefix {
			a := address(f, 11, i<<4)
			return netip.PrefixFrom(a, a.BitLen()-4+i%5).Masked()
		}
		protocols := []vipkit.Protocol{vipkit.TCP, vipkit.UDP, vipkit.SCTP}
		port := func(i int) ipset.EntryKey {
			return ipset.EntryKey{Net: addr(i / 3), Protocol: protocols[i%3], Port: uint16(i)}
		}
		for typ, key := range map[ipset.Type]func(int) ipset.EntryKey{
			ipset.HashIP:     func(i int) ipset.EntryKey { return ipset.EntryKey{Net: addr(i)} },
			ipset.HashNet:    func(i int) ipset.EntryKey { return ipset.EntryKey{Net: network(i)} },
			ipset.HashIPPort: port,
			ipset.HashIPPortIP: func(i int) ipset.EntryKey {
				k := port(i)
				k.Net2 = ipset.Host(address(f, 12, i+1))
				return k
			},
			ipset.HashIPPortNet: func(i int) ipset.EntryKey {
				k := port(i)
				k.Net2 = network(i)
				return k
			},
		} {
			shapes = append(shapes, Shape{Set: ipset.Set{Name: "s", Type: typ, Family: f}, Key: key})
		}
	}
	slices.SortFunc(shapes, func(a, b Shape) int {
		return 2*compareText(string(a.Set.Type), string(b.Set.Type)) + compareText(a.Set.Family.String(), b.Set.Family.String())
	})
	return shapes
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// address returns first.x.y.z, or fd00::first:x:y:z, with i in its last bytes.
func address(f vipkit.Family, first byte, i int) netip.Addr {
	tail := []byte{first, byte(i >> 16), byte(i >> 8), byte(i)}
	if f == vipkit.IPv6 {
		tail = append([]byte{0xfd, 15: 0}, tail...)
		copy(tail[12:16], tail[16:])
		tail = tail[:16]
	}
	a, _ := netip.AddrFromSlice(tail)
	return a
}

func (s Shape) entry(i int) ipset.Entry { return ipset.Entry{EntryKey: s.Key(i)} }

func (s Shape) change(op ipset.Op, e ipset.Entry) ipset.Change {
	return ipset.Change{Op: op, Set: s.Set, Entry: e}
}

func (s Shape) entries(op ipset.Op, from, to int) (changes []ipset.Change) {
	for i := from; i < to; i++ {
		changes = append(changes, s.change(op, s.entry(i)))
	}
	return changes
}

// apply carries out changes that must succeed.
func apply(t *testing.T, c ipset.Client, changes ...ipset.Change) {
	t.Helper()
	require.Nil(t, c.Apply(t.Context(), changes))
}

// refused carries out one change that must fail with kind.
func refused(t *testing.T, c ipset.Client, kind error, change ipset.Change) {
	t.Helper()
	before := dump(t, c)
	errs := c.Apply(t.Context(), []ipset.Change{change})
	require.Len(t, errs, 1, change.String())
	require.ErrorIs(t, errs[0], kind, change.String())
	var op *vipkit.OpError
	require.ErrorAs(t, errs[0], &op)
	require.Equal(t, "ipset "+change.Op.String(), op.Op)
	require.Contains(t, change.String(), op.Object)
	require.Equal(t, before, dump(t, c), "a refused change changed something")
}

// dump returns everything in save syntax, in order.
func dump(t *testing.T, c ipset.Client) (lines []string) {
	t.Helper()
	for s, err := range c.Sets(t.Context()) {
		require.NoError(t, err)
		s.HashSize = 0 // the kernel's own
		lines = append(lines, s.String())
		entries, err := ipset.Snapshot(t.Context(), c, s.Name)
		require.NoError(t, err)
		for _, e := range entries {
			e.Timeout = min(e.Timeout, time.Second) // what is left changes as we look
			lines = append(lines, ipset.Change{Op: ipset.AddEntry, Set: s, Entry: e}.String())
		}
	}
	slices.Sort(lines)
	return lines
}

func snapshot(t *testing.T, c ipset.Client, set string) []ipset.Entry {
	t.Helper()
	entries, err := ipset.Snapshot(t.Context(), c, set)
	require.NoError(t, err)
	return entries
}

func testSet(t *testing.T, c ipset.Client, s Shape) {
	create := ipset.Change{Op: ipset.CreateSet, Set: s.Set}
	apply(t, c, create)
	have, ok, err := ipset.Find(t.Context(), c, s.Set.Name)
	require.NoError(t, err)
	require.True(t, ok)
	require.True(t, s.Set.Compatible(have), "%v, %v", s.Set, have)
	if s.Set.Type != ipset.BitmapPort {
		require.EqualValues(t, 65536, have.MaxElem)
		require.EqualValues(t, 1024, have.HashSize)
	}
	refused(t, c, fs.ErrExist, create)
	other := create
	other.Set.Comment = true
	refused(t, c, fs.ErrExist, other)
	apply(t, c, s.change(ipset.AddEntry, s.entry(0)))
	refused(t, c, fs.ErrExist, create)
	apply(t, c, ipset.Change{Op: ipset.FlushSet, Set: s.Set})
	require.Empty(t, snapshot(t, c, s.Set.Name))
	apply(t, c, ipset.Change{Op: ipset.DestroySet, Set: s.Set})
	require.Empty(t, dump(t, c))

	full := s.Set
	full.Timeout, full.Comment, full.Counters, full.SkbInfo = time.Minute, true, true, true
	if full.Type != ipset.BitmapPort {
		full.HashSize, full.MaxElem = 100, 7
	}
	apply(t, c, ipset.Change{Op: ipset.CreateSet, Set: full})
	have, _, err = ipset.Find(t.Context(), c, full.Name)
	require.NoError(t, err)
	require.True(t, full.Compatible(have), "%v, %v", full, have)
}

func testEntries(t *testing.T, c ipset.Client, s Shape) {
	apply(t, c, ipset.Change{Op: ipset.CreateSet, Set: s.Set})
	a, b := s.entry(0), s.entry(1)
	refused(t, c, fs.ErrNotExist, s.change(ipset.DeleteEntry, a))
	apply(t, c, s.change(ipset.AddEntry, a))
	require.Equal(t, []ipset.Entry{a}, snapshot(t, c, s.Set.Name))
	refused(t, c, fs.ErrExist, s.change(ipset.AddEntry, a))
	apply(t, c, s.change(ipset.UpdateEntry, a), s.change(ipset.UpdateEntry, b))
	require.ElementsMatch(t, []ipset.Entry{a, b}, snapshot(t, c, s.Set.Name))
	apply(t, c, s.change(ipset.DeleteEntry, a))
	refused(t, c, fs.ErrNotExist, s.change(ipset.DeleteEntry, a))
	require.Equal(t, []ipset.Entry{b}, snapshot(t, c, s.Set.Name))

	want := []ipset.Entry{s.entry(2), s.entry(3), b}
	n, err := ipset.Sync(t.Context(), c, s.Set, want)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	n, err = ipset.Sync(t.Context(), c, s.Set, want)
	require.NoError(t, err)
	require.Zero(t, n)
	require.ElementsMatch(t, want, snapshot(t, c, s.Set.Name))
}

func testInvalid(t *testing.T, c ipset.Client, s Shape) {
	apply(t, c, ipset.Change{Op: ipset.CreateSet, Set: s.Set})
	bad := []ipset.Entry{{}, s.entry(0), s.entry(0), s.entry(0), s.entry(0), s.entry(0)}
	bad[1].Comment = `"`
	bad[2].Mark = 1
	bad[3].Timeout = time.Millisecond
	bad[4].Net2 = netip.MustParsePrefix("10.0.0.1/24")
	bad[5].Net = netip.MustParsePrefix("::ffff:10.0.0.1/128")
	if s.Set.Type == ipset.BitmapPort {
		bad[0].Protocol = vipkit.TCP
	} else {
		wrong := s
		for _, o := range Shapes() {
			if o.Set.Type == s.Set.Type && o.Set.Family != s.Set.Family {
				wrong = o
			}
		}
		bad = append(bad, wrong.entry(0))
		zero := s.entry(0)
		zero.Net = netip.PrefixFrom(zero.Net.Addr(), 0).Masked()
		bad = append(bad, zero)
		unspecified := s.entry(0)
		unspecified.Net = netip.PrefixFrom(zero.Net.Addr(), zero.Net.Addr().BitLen())
		bad = append(bad, unspecified)
		// An entry of the other family, said to be right by its Change.
		change := wrong.change(ipset.AddEntry, wrong.entry(0))
		change.Set.Name = s.Set.Name
		refused(t, c, fs.ErrInvalid, change)
	}
	for _, e := range bad {
		refused(t, c, fs.ErrInvalid, s.change(ipset.AddEntry, e))
		refused(t, c, fs.ErrInvalid, s.change(ipset.UpdateEntry, e))
	}
	// What only the set knows: it was created without any of these.
	for _, change := range []func(*ipset.Entry){
		func(e *ipset.Entry) { e.Comment = "x" },
		func(e *ipset.Entry) { e.Mark, e.MarkMask = 1, 0xff },
		func(e *ipset.Entry) { e.Timeout = time.Second },
		func(e *ipset.Entry) { e.Timeout = ipset.Forever },
	} {
		e := s.entry(0)
		change(&e)
		refused(t, c, fs.ErrInvalid, s.change(ipset.AddEntry, e))
	}
}
