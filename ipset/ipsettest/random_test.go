package ipsettest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/ipset/ipsettest"
)

// walk makes random steps over a small universe of names, keys and extensions, valid
// for what its fake holds at that moment more often than not.
type walk struct {
	*rand.Rand
	fake   ipsettest.Fake
	known  sets
	shapes []ipsettest.Shape
	full   bool // sets may get full
}

func randomSteps(ctx context.Context, r *rand.Rand, n int, full bool) (steps []step) {
	w := &walk{Rand: r, known: sets{}, shapes: ipsettest.Shapes(), full: full}
	for range n {
		s := w.next()
		w.known.answered(s, do(ctx, &w.fake, []step{s}, 1)[0])
		steps = append(steps, s)
	}
	return steps
}

func (w *walk) name() string { return string(rune('a' + w.IntN(3))) }

func (w *walk) next() step {
	s := w.shapes[w.IntN(len(w.shapes))]
	s.Set.Name = w.name()
	have, found := w.known[s.Set.Name]
	if found {
		have.Name = s.Set.Name
		i := slices.IndexFunc(w.shapes, func(o ipsettest.Shape) bool {
			return o.Set.Type == have.Type && o.Set.Family == have.Family
		})
		s = ipsettest.Shape{Set: have, Key: w.shapes[i].Key}
	}
	c := step{Change: ipset.Change{Set: ipset.Set{Name: s.Set.Name, Type: s.Set.Type, Family: s.Set.Family, Counters: s.Set.Counters}}}
	switch n := w.IntN(24); {
	case n == 0 || !found && n < 15:
		c.Op, c.Set = ipset.CreateSet, w.set(s.Set)
	case n == 1:
		c.Op = ipset.DestroySet
	case n == 2:
		c.Op = ipset.FlushSet
	case n == 3:
		c.Op, c.Other = ipset.SwapSets, w.name()
	case n == 4:
		c.Op, c.Other = ipset.RenameSet, w.name()
	case n < 12:
		c.Op = ipset.AddEntry
		w.entry(s, &c.Change)
	case n < 16:
		c.Op = ipset.UpdateEntry
		w.entry(s, &c.Change)
		if s.Set.Counters { // or a new entry may go on from what another had counted
			c.Counters = ipset.Counters{Packets: 1 + w.Uint64N(3), Bytes: 1 << 40}
		}
	default:
		c.Op, c.Entry.EntryKey, c.test = ipset.DeleteEntry, w.key(s), n >= 20
	}
	return c
}

// set returns a set of s's type with random parameters.
func (w *walk) set(s ipset.Set) ipset.Set {
	s = ipset.Set{Name: s.Name, Type: s.Type, Family: s.Family}
	s.Comment, s.Counters, s.SkbInfo = w.IntN(2) == 0, w.IntN(2) == 0, w.IntN(2) == 0
	s.Timeout = []time.Duration{0, 0, time.Hour, ipset.Forever}[w.IntN(4)]
	if s.Type == ipset.BitmapPort {
		s.PortFrom, s.PortTo = uint16(w.IntN(3)), uint16(3+w.IntN(3))
		return s
	}
	s.HashSize = uint32(w.IntN(200))
	if w.full && w.IntN(2) == 0 {
		s.MaxElem = uint32(1 + w.IntN(5))
	}
	return s
}

func (w *walk) key(s ipsettest.Shape) ipset.EntryKey {
	k := s.Key(w.IntN(6))
	n := &k.Net
	if k.Net2.IsValid() {
		n = &k.Net2
	}
	if strings.HasSuffix(string(s.Set.Type), "net") && w.IntN(2) == 0 { // networks that cover one another
		all := n.Addr().BitLen()
		*n = netip.PrefixFrom(n.Addr(), []int{all, all, all - 8, all / 2, 8, 1}[w.IntN(6)]).Masked()
	}
	return k
}

func (w *walk) entry(s ipsettest.Shape, c *ipset.Change) {
	e := &c.Entry
	e.EntryKey = w.key(s)
	if s.Set.Comment == (w.IntN(8) > 0) && w.IntN(2) == 0 {
		e.Comment = fmt.Sprintf("comment %d", w.IntN(2))
	}
	if s.Set.SkbInfo == (w.IntN(8) > 0) && w.IntN(2) == 0 {
		e.Mark, e.MarkMask = uint32(w.IntN(3)), 0xff
		e.Priority, e.Queue = uint32(w.IntN(2)<<16|w.IntN(2)), uint16(w.IntN(2))
	}
	if s.Set.Counters == (w.IntN(8) > 0) && w.IntN(2) == 0 {
		c.Counters = ipset.Counters{Packets: w.Uint64N(3), Bytes: w.Uint64N(3) << 40}
	}
	if (s.Set.Timeout != 0) == (w.IntN(8) > 0) && w.IntN(2) == 0 {
		e.Timeout = []time.Duration{ipset.Forever, 2 * time.Hour}[w.IntN(2)]
	}
	if strings.HasSuffix(string(s.Set.Type), "net") && w.IntN(4) == 0 {
		e.NoMatch = true
	}
}
