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
}

// contender is one way to do jobs.
type contender struct {
	// rounds is how often it is asked, at most: 1 for what takes long.
	rounds int
	// open makes a fresh place to work in, which ends with t, and returns what
	// to do there, in order.
	open func(t *testing.T) []step
}

// step is one job done by one contender.
type step struct {
	// job is the job's name, empty for what is only preparation or a check.
	job string
	// by names the contender in the table.
	by string
	do func() error
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

// timings are the durations of a job by contender.
type timings map[string]map[string][]time.Duration

// compare runs every contender for some rounds, by turns so that what else the
// machine does hits all of them, and adds a table to the report.
func compare(t *testing.T, c comparison) {
	rounds := 1
	if full() {
		rounds = 10
	}
	taken := make(timings)
	for _, j := range c.jobs {
		taken[j.name] = make(map[string][]time.Duration)
	}
	var order []string
	for round := range rounds {
		for i, who := range c.contenders {
			if round > 0 && round >= who.rounds {
				continue
			}
			t.Run(fmt.Sprintf("round=%d/contender=%d", round, i), func(t *testing.T) {
				for _, s := range who.open(t) {
					runtime.GC()
					start := time.Now()
					err := s.do()
					d := time.Since(start)
					require.NoError(t, err, "%s %s", s.job, s.by)
					if s.job == "" {
						continue
					}
					require.Contains(t, taken, s.job)
					taken[s.job][s.by] = append(taken[s.job][s.by], d)
					if !slices.Contains(order, s.by) {
						order = append(order, s.by)
					}
				}
			})
		}
	}
	if t.Failed() {
		return
	}
	table := c.table(taken, order)
	t.Logf("\n%s", table)
	if full() {
		file := filepath.Join(testenv.OutDir(t), "bench-"+c.facility+".md")
		require.NoError(t, os.WriteFile(file, []byte(table), 0o600))
	}
}

// table prints the best time of each, as Markdown. Best, because everything that
// disturbs only adds.
func (c *comparison) table(taken timings, order []string) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "### %s\n\n", c.facility)
	fmt.Fprintln(&b, "| job | by | best, ms | runs | time / floor | time / vipkit |")
	fmt.Fprintln(&b, "|---|---|---:|---:|---:|---:|")
	for _, j := range c.jobs {
		best := make(map[string]time.Duration)
		for by, all := range taken[j.name] {
			best[by] = slices.Min(all)
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
			fmt.Fprintf(&b, "| %s, %d | %s | %.1f | %d | %s | %s |\n", j.name, j.objects, name,
				float64(best[name])/float64(time.Millisecond), len(taken[j.name][name]),
				c.toFloor(j, name, best), ratio(best[name], best[ours]))
		}
	}
	return b.String()
}

// toFloor gives the ratio to the floor, and ours says whether it is below the bar.
func (*comparison) toFloor(j job, name string, best map[string]time.Duration) string {
	text := ratio(best[name], best[floor])
	if name != ours || j.bar == 0 || best[floor] == 0 {
		return text
	}
	word := "met"
	if float64(best[name]) > j.bar*float64(best[floor]) {
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
	c := comparison{facility: "x", jobs: []job{{"write", 10, 1.2}, {"read", 10, 1.3}, {"erase", 10, 0}}}
	const ms = time.Millisecond
	table := c.table(timings{
		"write": {ours: {13 * ms, 12 * ms}, floor: {10 * ms}, "others": {time.Second}},
		"read":  {floor: {10 * ms}, ours: {20 * ms}},
		"erase": {ours: {10 * ms}},
	}, []string{ours, floor, "others"})
	require.Equal(t, strings.TrimLeft(`
### x

| job | by | best, ms | runs | time / floor | time / vipkit |
|---|---|---:|---:|---:|---:|
| write, 10 | floor | 10.0 | 1 | 1.00 | 0.83 |
| write, 10 | vipkit | 12.0 | 2 | **1.20** (bar 1.2: met) | 1.00 |
| write, 10 | others | 1000.0 | 1 | 100 | 83 |
| read, 10 | floor | 10.0 | 1 | 1.00 | 0.50 |
| read, 10 | vipkit | 20.0 | 1 | **2.00** (bar 1.3: MISSED) | 1.00 |
| erase, 10 | vipkit | 10.0 | 1 | – | 1.00 |
`, "\n"), table)
}

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }
