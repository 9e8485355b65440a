package ipset_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/ipset/ipsettest"
)

// walk makes random changes over a small universe of names, keys and
// extensions, valid for what the fake holds at that moment more often than not.
type walk struct {
	*rand.Rand
	fake   *ipsettest.Fake
	shapes []ipsettest.Shape
}

func (w *walk) name() string { return string(rune('a' + w.IntN(3))) }

func (w *walk) next() ipset.Change {
	s := w.shapes[w.IntN(len(w.shapes))]
	s.Set.Name = w.name()
	have, found, _ := ipset.Find(context.Background(), w.fake, s.Set.Name)
	if found {
		i := slices.IndexFunc(w.shapes, func(o ipsettest.Shape) bool {
			return o.Set.Type == have.Type && o.Set.Family == have.Family
		})
		s = ipsettest.Shape{Set: have, Key: w.shapes[i].Key}
	}
	c := ipset.Change{Set: s.Set}
	switch n := w.IntN(20); {
	case n == 0 || !found && n < 15:
		c.Op, c.Set = ipset.CreateSet, w.set(s.Set)
	case n == 1:
		c.Op = ipset.DestroySet
	case n == 2:
		c.Op = ipset.FlushSet
	case n == 3:
		c.Op, c.Other = ipset.SwapSets, w.name()
	case n < 12:
		c.Op, c.Entry = ipset.AddEntry, w.entry(s)
	case n < 16:
		c.Op, c.Entry = ipset.UpdateEntry, w.entry(s)
	default:
		c.Op, c.Entry = ipset.DeleteEntry, w.entry(s)
	}
	return c
}

// set returns a set of s's type with random parameters.
func (w *walk) set(s ipset.Set) ipset.Set {
	s = ipset.Set{Name: s.Name, Type: s.Type, Family: s.Family}
	s.Comment, s.Counters, s.SkbInfo = w.IntN(2) == 0, w.IntN(4) == 0, w.IntN(2) == 0
	if w.IntN(3) == 0 {
		s.Timeout = time.Hour
	}
	if s.Type == ipset.BitmapPort {
		s.PortFrom, s.PortTo = uint16(w.IntN(3)), uint16(3+w.IntN(3))
		return s
	}
	s.HashSize = uint32(w.IntN(200))
	if w.IntN(2) == 0 {
		s.MaxElem = uint32(1 + w.IntN(5))
	}
	return s
}

func (w *walk) entry(s ipsettest.Shape) ipset.Entry {
	e := ipset.Entry{EntryKey: s.Key(w.IntN(6))}
	if w.IntN(3) == 0 {
		e.Comment = fmt.Sprintf("comment %d", w.IntN(2))
	}
	if w.IntN(3) == 0 {
		e.Mark, e.MarkMask = uint32(w.IntN(3)), 0xff
	}
	if s.Set.Timeout != 0 && w.IntN(3) == 0 || w.IntN(10) == 0 {
		e.Timeout = ipset.Forever
	}
	if strings.HasSuffix(string(s.Set.Type), "net") && w.IntN(4) == 0 {
		e.NoMatch = true
	}
	return e
}

// kind names an error by what callers compare.
func kind(err error) string {
	for _, k := range []error{fs.ErrExist, fs.ErrNotExist, fs.ErrInvalid, vipkit.ErrFull, vipkit.ErrInUse} {
		if errors.Is(err, k) {
			return k.Error()
		}
	}
	if err != nil {
		return err.Error()
	}
	return "ok"
}

// contents returns everything in save syntax, sorted, with the times left
// rounded away.
func contents(c ipset.Client) string {
	var lines []string
	for s, err := range c.Sets(context.Background()) {
		if err != nil {
			return err.Error()
		}
		entries, err := ipset.Snapshot(context.Background(), c, s.Name)
		if err != nil {
			return err.Error()
		}
		lines = append(lines, s.String())
		for _, e := range entries {
			e.Timeout = e.Timeout.Round(time.Minute)
			if e.Timeout != 0 && e.Timeout < time.Minute {
				e.Timeout = ipset.Forever
			}
			lines = append(lines, "add "+s.Name+" "+e.String())
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// overfull counts the sets that the kernel filled beyond maxelem.
var overfull int

// difference carries out the changes on a fresh fake, one by one, and on the
// emptied kernel, in batches of the given size, and says where they differ.
func difference(kernel *ipset.Conn, changes []ipset.Change, batch int) string {
	for s, err := range kernel.Sets(context.Background()) {
		if err != nil {
			return err.Error()
		}
		kernel.Apply(context.Background(), []ipset.Change{{Op: ipset.DestroySet, Set: s}})
	}
	fake := new(ipsettest.Fake)
	for from := 0; from < len(changes); from += batch {
		part := changes[from:min(from+batch, len(changes))]
		got := kernel.Apply(context.Background(), part)
		for i, c := range part {
			err := errors.Join(fake.Apply(context.Background(), []ipset.Change{c})...)
			if err != nil && strings.Contains(err.Error(), "the set is ") {
				return "" // a wrong type, which only the fake refuses: shrunk too far
			}
			want := kind(err)
			have := "ok"
			if got != nil {
				have = kind(got[i])
			}
			if want == vipkit.ErrFull.Error() && have == "ok" {
				// Known: an entry that hashes into the slot of a deleted one is
				// not counted against maxelem (ip_set_hash_gen.h, mtype_add:
				// "reuse"). From here on the two cannot be compared.
				overfull++
				return ""
			}
			if have != want {
				return fmt.Sprintf("%v: the kernel says %q, the fake %q", c, have, want)
			}
		}
	}
	if k, f := contents(kernel), contents(fake); k != f {
		return "the kernel has\n" + k + "\nthe fake\n" + f
	}
	return ""
}

// shrink drops changes as long as a difference remains.
func shrink(kernel *ipset.Conn, changes []ipset.Change, batch int) []ipset.Change {
	for size := len(changes) / 2; size > 0; size /= 2 {
		for i := 0; i+size <= len(changes); {
			fewer := slices.Delete(slices.Clone(changes), i, i+size)
			if difference(kernel, fewer, batch) != "" {
				changes = fewer
			} else {
				i += size
			}
		}
	}
	return changes
}

// TestKernelDifferential compares the fake with the kernel, change by change.
// VIPKIT_SEED repeats a run, VIPKIT_STEPS makes it longer.
func TestKernelDifferential(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPSet)
	kernel, _ := openKernel(t)
	seed, steps := testenv.Seed(t), testenv.Steps(t, 10000)
	t.Logf("VIPKIT_SEED=%d, %d steps", seed, steps)
	r := rand.New(rand.NewPCG(seed, 0))
	refused := 0
	for done := 0; done < steps; done += 200 {
		w := &walk{Rand: r, fake: new(ipsettest.Fake), shapes: ipsettest.Shapes()}
		var changes []ipset.Change
		for range 200 {
			c := w.next()
			if w.fake.Apply(t.Context(), []ipset.Change{c}) != nil {
				refused++
			}
			changes = append(changes, c)
		}
		batch := 1 + r.IntN(40)
		if difference(kernel, changes, batch) == "" {
			continue
		}
		changes = shrink(kernel, changes, batch)
		var text strings.Builder
		for _, c := range changes {
			fmt.Fprintln(&text, c)
		}
		t.Fatalf("batches of %d:\n%s%s", batch, text.String(), difference(kernel, changes, batch))
	}
	t.Logf("%d of the changes were refused, by both alike; %d sets grew beyond maxelem", refused, overfull)
	require.Greater(t, refused, steps/10)
	require.Less(t, refused, steps*2/3)
}
