package ipsettest_test

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
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/ipset/ipsettest"
)

// step is a change, or the question whether a key is in a set ("test s 10.0.0.1").
type step struct {
	ipset.Change
	test bool
}

func (s step) String() string {
	if s.test {
		return "test" + strings.TrimPrefix(s.Change.String(), "del")
	}
	return s.Change.String()
}

func parseStep(line string) (s step, err error) {
	key, test := strings.CutPrefix(line, "test ")
	if test {
		line = "del " + key
	}
	s.test = test
	return s, s.UnmarshalText([]byte(line))
}

// do carries out steps, the changes between two questions in batches.
func do(ctx context.Context, c ipset.Client, steps []step, batch int) (answers []string) {
	for len(steps) > 0 {
		if s := steps[0]; s.test {
			found, err := c.Test(ctx, s.Set, s.Entry.EntryKey)
			answer := kindOf(err)
			if err == nil {
				answer = fmt.Sprint(found)
			}
			answers, steps = append(answers, answer), steps[1:]
			continue
		}
		var changes []ipset.Change
		for i := 0; i < len(steps) && i < batch && !steps[i].test; i++ {
			changes = append(changes, steps[i].Change)
		}
		errs := c.Apply(ctx, changes)
		for i := range changes {
			var err error
			if errs != nil {
				err = errs[i]
			}
			answers = append(answers, kindOf(err))
		}
		steps = steps[len(changes):]
	}
	return answers
}

// kindOf names an error by what callers compare.
func kindOf(err error) string {
	for _, k := range []error{fs.ErrExist, fs.ErrNotExist, fs.ErrInvalid, vipkit.ErrFull, vipkit.ErrInUse, errors.ErrUnsupported} {
		if errors.Is(err, k) {
			return k.Error()
		}
	}
	if err != nil {
		return err.Error()
	}
	return "done"
}

// save returns everything with counters in save syntax, sorted, with the times left
// rounded to half hours.
func save(ctx context.Context, c ipset.Client) (string, error) {
	var lines []string
	for s, err := range c.Sets(ctx) {
		if err != nil {
			return "", err
		}
		lines = append(lines, s.String())
		for e, err := range c.Counters(ctx, s.Name) {
			if err != nil {
				return "", err
			}
			e.Timeout = e.Timeout.Round(30 * time.Minute)
			if s.Timeout != 0 && e.Timeout == 0 {
				e.Timeout = ipset.Forever
			}
			lines = append(lines, "add "+s.Name+" "+e.String())
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n", nil
}

// sets knows which sets there are, from what was asked and answered: the change of
// an entry has to say the type of its set.
type sets map[string]ipset.Set

func (known sets) resolve(s step) step {
	if set, ok := known[s.Set.Name]; ok && (s.test || s.Op >= ipset.AddEntry) {
		s.Set.Type, s.Set.Family, s.Set.Counters = set.Type, set.Family, set.Counters
	}
	return s
}

func (known sets) answered(s step, answer string) {
	if answer != "done" || s.test {
		return
	}
	switch s.Op {
	case ipset.CreateSet:
		known[s.Set.Name] = s.Set
	case ipset.DestroySet:
		delete(known, s.Set.Name)
	case ipset.SwapSets:
		known[s.Set.Name], known[s.Other] = known[s.Other], known[s.Set.Name]
	case ipset.RenameSet:
		known[s.Other] = known[s.Set.Name]
		delete(known, s.Set.Name)
	default:
	}
}

// run carries out steps one by one, each about the set that is there by then.
func run(ctx context.Context, c ipset.Client, steps []step) (resolved []step, answers []string) {
	known := sets{}
	for _, s := range steps {
		s = known.resolve(s)
		answer := do(ctx, c, []step{s}, 1)[0]
		known.answered(s, answer)
		resolved, answers = append(resolved, s), append(answers, answer)
	}
	return resolved, answers
}

func clearAll(ctx context.Context, c ipset.Client) error {
	var all []ipset.Change
	for s, err := range c.Sets(ctx) {
		if err != nil {
			return err
		}
		all = append(all, ipset.Change{Op: ipset.DestroySet, Set: s})
	}
	return errors.Join(c.Apply(ctx, all)...)
}

// difference carries out the steps on a fresh fake, one by one, and on the emptied
// other, in batches, and says where they differ, and how many steps it compared.
func difference(ctx context.Context, other ipset.Client, steps []step, batch int) (compared int, err error) {
	if err := clearAll(ctx, other); err != nil {
		return 0, err
	}
	fake := new(ipsettest.Fake)
	steps, want := run(ctx, fake, steps)
	got := do(ctx, other, steps, batch)
	for i, s := range steps {
		if want[i] == vipkit.ErrFull.Error() && got[i] == "done" {
			// Known: an entry that hashes into the slot of a deleted one is not
			// counted against maxelem (ip_set_hash_gen.h, mtype_add: "reuse"). From
			// here on the two cannot be compared.
			return i, nil
		}
		if want[i] != got[i] {
			return i, fmt.Errorf("%v: fake %q, other %q", s, want[i], got[i])
		}
	}
	wantSave, err := save(ctx, fake)
	if err != nil {
		return 0, err
	}
	gotSave, err := save(ctx, other)
	if err == nil && gotSave != wantSave {
		err = fmt.Errorf("fake holds\n%sother holds\n%s", wantSave, gotSave)
	}
	return len(steps), err
}

// differential runs random sequences until count steps are compared, and returns the
// shortest sequence that shows a difference.
func differential(ctx context.Context, other ipset.Client, seed uint64, count int) (done int, minimum []step, err error) {
	const length = 100
	r := rand.New(rand.NewPCG(seed, 0))
	for done < count {
		steps := randomSteps(ctx, r, length, true)
		batch := 1 + r.IntN(40)
		compared, err := difference(ctx, other, steps, batch)
		if err != nil {
			minimum = shrink(steps, &err, func(steps []step) error {
				_, err := difference(ctx, other, steps, batch)
				return err
			})
			return done, minimum, err
		}
		done += compared
	}
	return done, nil, nil
}

// shrink leaves out what the difference does not need.
func shrink(steps []step, err *error, differs func([]step) error) []step {
	for size := len(steps) / 2; size > 0; {
		smaller := false
		for i := 0; i+size <= len(steps); {
			fewer := slices.Delete(slices.Clone(steps), i, i+size)
			if e := differs(fewer); e != nil {
				steps, *err, smaller = fewer, e, true
			} else {
				i += size
			}
		}
		if !smaller || size > 1 {
			size /= 2
		}
	}
	return steps
}

// wrongFake forgets comments when an entry is updated.
type wrongFake struct{ ipsettest.Fake }

func (f *wrongFake) Apply(ctx context.Context, changes []ipset.Change) []error {
	wrong := slices.Clone(changes)
	for i := range wrong {
		if wrong[i].Op == ipset.UpdateEntry {
			wrong[i].Entry.Comment = ""
		}
	}
	return f.Fake.Apply(ctx, wrong)
}

// TestDifferential shows that a run of equals finds nothing, and one with a wrong
// fake the shortest proof.
func TestDifferential(t *testing.T) {
	_, minimum, err := differential(t.Context(), new(ipsettest.Fake), 1, 3000)
	require.NoError(t, err, minimum)
	_, minimum, err = differential(t.Context(), new(wrongFake), 1, 3000)
	require.Error(t, err)
	require.LessOrEqual(t, len(minimum), 2) // an entry updated, in a set or without one
}

// TestRandomSteps shows that the runs are about something.
func TestRandomSteps(t *testing.T) {
	counts := make(map[string]int)
	r := rand.New(rand.NewPCG(1, 0))
	for range 50 {
		_, answers := run(t.Context(), new(ipsettest.Fake), randomSteps(t.Context(), r, 100, true))
		for _, answer := range answers {
			counts[answer]++
		}
	}
	for _, kind := range []string{"done", "true", "false", fs.ErrExist.Error(), fs.ErrNotExist.Error(), fs.ErrInvalid.Error(), vipkit.ErrFull.Error()} {
		require.Greater(t, counts[kind], 50, "%s: %v", kind, counts)
	}
}
