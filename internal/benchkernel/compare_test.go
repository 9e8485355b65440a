package benchkernel

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/internal/testenv"
)

// Names of the two contenders that ratios are about.
const (
	ours  = "vipkit"
	floor = "floor"
)

// comparison is the jobs of one facility and who does them.
type comparison struct {
	facility   string
	jobs       []job // in the order in which every session does them
	contenders []contender
}

// job is something to be done.
type job struct {
	name    string
	objects int
	// bar is how many times the floor's time ours may take; zero: no bar.
	bar float64
	// note is the reason to give where the bar is missed.
	note string
}

// contender is one way to do jobs.
type contender struct {
	// open makes a fresh place to work in, which ends with t, and returns what
	// to do there, in the order of the jobs.
	open func(t *testing.T) []step
	// slow says that it takes long: it is asked once, after the others.
	slow bool
	// share says that it takes too long altogether: it does one of so many objects,
	// and the table has its time that many times.
	share int
}

// fewer returns the share of n objects that a contender does: the number in full,
// and all of them otherwise.
func fewer(n, share int) (some, of int) {
	if !full() {
		return n, 1
	}
	return n / share, share
}

// step is one job done by one contender.
type step struct {
	// job is the job's name. It is empty for what is only preparation or a check.
	job string
	// by names the contender in the table.
	by string
	// parts are done one after the other. Those of all contenders take turns, so
	// that what else the machine does hits all of them.
	parts []func() error
	// again is how many more times a step that changes nothing is done.
	again int
}

// once makes a step of one part.
func once(job, by string, do func() error) step {
	return step{job: job, by: by, parts: []func() error{do}}
}

// full reports whether this is for the figures, not only to show that all
// contenders do the same.
func full() bool { return os.Getenv("VIPKIT_BENCH") == "full" }

// scale returns n in full, and a little otherwise.
func scale(n int) int {
	if full() {
		return n
	}
	return min(n, 30)
}

// timings are the durations of each part of a job by contender.
type timings map[string]map[string][][]time.Duration

// total is the sum of the best times of all parts. Best, because everything that
// disturbs only adds.
func total(parts [][]time.Duration) (sum time.Duration) {
	for _, all := range parts {
		sum += slices.Min(all)
	}
	return sum
}

// run is a comparison under way.
type run struct {
	taken timings
	order []string       // of names, as they came
	share map[string]int // by name
}

// compare runs the contenders, those that are not slow for several rounds and by
// turns, and adds a table to the report.
func compare(t *testing.T, c comparison) {
	const fewest, most = 3, 12
	rounds := 1
	if full() {
		rounds = most
	}
	start := time.Now()
	r := run{taken: make(timings), share: make(map[string]int)}
	for _, j := range c.jobs {
		r.taken[j.name] = make(map[string][][]time.Duration)
	}
	var fast []contender
	for _, who := range c.contenders {
		if !who.slow {
			fast = append(fast, who)
		}
	}
	for round := range rounds {
		if round >= fewest && time.Since(start) > 30*time.Second {
			break
		}
		t.Run(fmt.Sprintf("fast/round=%d", round), func(t *testing.T) { r.round(t, c.jobs, fast) })
	}
	for i, who := range c.contenders {
		if who.slow {
			t.Run(fmt.Sprintf("slow/contender=%d", i), func(t *testing.T) { r.round(t, c.jobs, []contender{who}) })
		}
	}
	if t.Failed() {
		return
	}
	table := c.table(r.taken, r.order, r.share)
	t.Logf("\n%s", table)
	if full() {
		file := filepath.Join(testenv.OutDir(t), "bench-"+c.facility+".md")
		require.NoError(t, os.WriteFile(file, []byte(table), 0o600))
	}
}

// round does every job once with each of the contenders.
func (r *run) round(t *testing.T, jobs []job, contenders []contender) {
	todo := make([][]step, len(contenders))
	for i, who := range contenders {
		todo[i] = who.open(t)
		for _, s := range todo[i] {
			if s.job != "" {
				r.share[s.by] = max(who.share, 1)
			}
		}
	}
	for _, j := range jobs {
		var steps []step
		for i := range todo {
			for len(todo[i]) > 0 && todo[i][0].job == "" {
				for _, part := range todo[i][0].parts {
					require.NoError(t, part())
				}
				todo[i] = todo[i][1:]
			}
			for len(todo[i]) > 0 && todo[i][0].job == j.name {
				steps = append(steps, todo[i][0])
				todo[i] = todo[i][1:]
			}
		}
		r.turns(t, j, steps)
	}
	for _, rest := range todo {
		require.Empty(t, rest, "steps out of order")
	}
}

// turns does steps of one job, part by part.
func (r *run) turns(t *testing.T, j job, steps []step) {
	for again := 0; ; again++ {
		more := false
		for part := 0; ; part++ {
			left := false
			for i := range steps {
				s := &steps[(i+part)%len(steps)] // a different one first each time
				if part >= len(s.parts) || again > s.again {
					continue
				}
				left, more = left || part+1 < len(s.parts), more || again < s.again
				if part == 0 {
					runtime.GC()
				}
				start := time.Now()
				err := s.parts[part]()
				d := time.Since(start)
				require.NoError(t, err, "%s %s", s.job, s.by)
				if !slices.Contains(r.order, s.by) {
					r.order = append(r.order, s.by)
				}
				all := r.taken[j.name][s.by]
				if part == len(all) {
					all = append(all, nil)
				}
				all[part] = append(all[part], d)
				r.taken[j.name][s.by] = all
			}
			if !left {
				break
			}
		}
		if !more {
			return
		}
	}
}

// table prints the best time of each, as Markdown.
func (c *comparison) table(taken timings, order []string, share map[string]int) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "### %s\n\n", c.facility)
	if when := os.Getenv("VIPKIT_BENCH_STAMP"); when != "" {
		fmt.Fprintf(&b, "%s\n\n", when)
	}
	fmt.Fprintln(&b, "| job | by | best, ms | runs | time / floor | time / vipkit |")
	fmt.Fprintln(&b, "|---|---|---:|---:|---:|---:|")
	var notes []string
	for _, j := range c.jobs {
		best := make(map[string]time.Duration)
		for by, all := range taken[j.name] {
			best[by] = total(all) * time.Duration(max(share[by], 1))
		}
		by := slices.Collect(func(yield func(string) bool) {
			for _, name := range order {
				if _, ok := best[name]; ok && !yield(name) {
					return
				}
			}
		})
		slices.SortStableFunc(by, func(x, y string) int { return cmp.Compare(best[x], best[y]) })
		for _, name := range by {
			label := name
			if of := share[name]; of > 1 {
				label = fmt.Sprintf("%s (%d objects, × %d)", name, j.objects/of, of)
			}
			fmt.Fprintf(&b, "| %s, %d | %s | %.1f | %d | %s | %s |\n", j.name, j.objects, label,
				float64(best[name])/float64(time.Millisecond), len(taken[j.name][name][0]),
				c.toFloor(j, name, best), ratio(best[name], best[ours]))
		}
		if j.missed(best) {
			notes = append(notes, fmt.Sprintf("*%s: %s, not %.1f.* %s\n", j.name, ratio(best[ours], best[floor]), j.bar, j.note))
		}
	}
	for _, note := range notes {
		fmt.Fprintf(&b, "\n%s", note)
	}
	return b.String()
}

// missed reports whether ours took longer than the bar allows.
func (j job) missed(best map[string]time.Duration) bool {
	return j.bar > 0 && best[floor] > 0 && float64(best[ours]) > j.bar*float64(best[floor])
}

// toFloor gives the ratio to the floor, and ours says whether it is below the bar.
func (*comparison) toFloor(j job, name string, best map[string]time.Duration) string {
	text := ratio(best[name], best[floor])
	if name != ours || j.bar == 0 || best[floor] == 0 {
		return text
	}
	word := "met"
	if j.missed(best) {
		word = "MISSED"
	}
	return fmt.Sprintf("**%s** (bar %.1f: %s)", text, j.bar, word)
}

func ratio(a, b time.Duration) string {
	switch {
	case b == 0:
		return "–"
	case a >= 10*b:
		return fmt.Sprintf("%.0f", float64(a)/float64(b))
	}
	return fmt.Sprintf("%.2f", float64(a)/float64(b))
}

func TestTable(t *testing.T) {
	c := comparison{facility: "x", jobs: []job{
		{name: "write", objects: 10, bar: 1.2}, {name: "read", objects: 10, bar: 1.3, note: "Why."}, {name: "erase", objects: 10},
	}}
	const ms = time.Millisecond
	table := c.table(timings{
		"write": {ours: {{13 * ms, 8 * ms}, {4 * ms, 5 * ms}}, floor: {{5 * ms}, {5 * ms}}, "others": {{100 * ms}}},
		"read":  {floor: {{10 * ms}}, ours: {{20 * ms}}},
		"erase": {ours: {{10 * ms}}},
	}, []string{ours, floor, "others"}, map[string]int{"others": 10})
	require.Equal(t, strings.TrimLeft(`
### x

| job | by | best, ms | runs | time / floor | time / vipkit |
|---|---|---:|---:|---:|---:|
| write, 10 | floor | 10.0 | 1 | 1.00 | 0.83 |
| write, 10 | vipkit | 12.0 | 2 | **1.20** (bar 1.2: met) | 1.00 |
| write, 10 | others (1 objects, × 10) | 1000.0 | 1 | 100 | 83 |
| read, 10 | floor | 10.0 | 1 | 1.00 | 0.50 |
| read, 10 | vipkit | 20.0 | 1 | **2.00** (bar 1.3: MISSED) | 1.00 |
| erase, 10 | vipkit | 10.0 | 1 | – | 1.00 |

*read: 2.00, not 1.3.* Why.
`, "\n"), table)
}

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }
