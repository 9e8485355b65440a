//go:build linux

package benchkernel

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	goiptables "github.com/coreos/go-iptables/iptables"
	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	process "github.com/vipkit/vipkit/internal/run"
	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/iptables"
)

const (
	writeRules = "rules written"
	sameRules  = "nothing to do, found by reading"
	readRules  = "rules read back"
	dropRules  = "rules deleted"

	rulesChain = "VIPKIT-BENCH"

	checked = "vipkit validates each rule before it starts the tool, whose input the floor has ready."
	spelled = "vipkit parses and normalises each rule, nearly all of its own time in a profile; " +
		"the floor is the tool, its output unread."
	started = "Either starts one process and has two lines for it: what is more was not looked into."
)

// TestKernelIPTables compares ways to write, read and delete rules, on each back end.
func TestKernelIPTables(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPTables)
	// Every namespace of the test's has rules of its own, but the lock is the host's.
	t.Setenv("XTABLES_LOCKFILE", filepath.Join(t.TempDir(), "lock"))
	for _, backend := range []string{"nft", "legacy"} {
		t.Run(backend, func(t *testing.T) {
			w := newRulesWork(backend, scale(1_000))
			some, share := fewer(w.n, 20)
			few := newRulesWork(backend, some)
			compare(t, comparison{
				facility: "iptables-" + backend,
				jobs: []job{
					{name: writeRules, objects: w.n, bar: 1.2, note: checked}, {name: sameRules, objects: w.n, bar: 1.3, note: spelled},
					{name: readRules, objects: w.n, bar: 1.3, note: spelled}, {name: dropRules, objects: w.n, bar: 1.2, note: started},
				},
				contenders: []contender{
					{open: w.ours},
					{open: w.floor},
					{open: few.goIPTables, slow: true, share: share},
				},
			})
		})
	}
}

// rulesWork is the same work in the words of all contenders.
type rulesWork struct {
	backend     string
	n           int
	rules       []iptables.Rule
	write, drop []iptables.Edit
}

func newRulesWork(backend string, n int) *rulesWork {
	w := &rulesWork{backend: backend, n: n}
	edit := func(v iptables.Verb, r iptables.Rule) iptables.Edit {
		return iptables.Edit{Table: "filter", Verb: v, Chain: rulesChain, Rule: r}
	}
	w.write = append(w.write, edit(iptables.NewChain, ""))
	for i := range n {
		r := iptables.Rule(fmt.Sprintf("-d 10.96.%d.%d/32 -p tcp -m tcp --dport 80 -m mark --mark 0x4000/0x4000 -j ACCEPT", i>>8, i&255))
		w.rules = append(w.rules, r)
		w.write = append(w.write, edit(iptables.Append, r))
	}
	w.drop = []iptables.Edit{edit(iptables.NewChain, ""), edit(iptables.DeleteChain, "")}
	return w
}

// check returns a step that compares what is there with what was written.
func (w *rulesWork) check(ns *testenv.NS) step {
	return once("", "", func() error {
		c, err := iptables.Open(&iptables.Config{Namespace: ns.Path(), Backend: w.backend})
		if err != nil {
			return err
		}
		return w.same(c)
	})
}

// same fails unless what is there is what was written.
func (w *rulesWork) same(c *iptables.Conn) error {
	tables, err := c.Save(context.Background(), vipkit.IPv4, "filter")
	if err != nil {
		return err
	}
	own, _ := iptables.Owned(tables, rulesChain)
	if len(own) != 1 || len(own[0].Chains) != 1 || len(own[0].Chains[0].Rules) != w.n {
		return fmt.Errorf("not %d rules: %v", w.n, own)
	}
	for i, r := range own[0].Chains[0].Rules {
		if r != w.rules[i] {
			return fmt.Errorf("have %s, want %s", r, w.rules[i])
		}
	}
	return nil
}

func (w *rulesWork) ours(t *testing.T) []step {
	ns := testenv.AddNetNS(t)
	c, err := iptables.Open(&iptables.Config{Namespace: ns.Path(), Backend: w.backend})
	require.NoError(t, err)
	_, err = c.Info(t.Context(), vipkit.IPv4)
	require.NoError(t, err)
	restore := func(job string, edits []iptables.Edit) step {
		return once(job, ours, func() error { return c.Restore(context.Background(), vipkit.IPv4, edits) })
	}
	read := func() error {
		tables, err := c.Save(context.Background(), vipkit.IPv4, "filter")
		if err == nil && len(tables[0].Chains[3].Rules) != w.n {
			err = fmt.Errorf("%d rules", len(tables[0].Chains[3].Rules))
		}
		return err
	}
	return []step{
		restore(writeRules, w.write), w.check(ns),
		{sameRules, ours, []func() error{func() error { return w.same(c) }}, 4},
		{readRules, ours, []func() error{read}, 4},
		restore(dropRules, w.drop),
	}
}

// floor is the tools themselves with an input that was written before, and a reader
// that looks at nothing: less than a process a job there is not.
func (w *rulesWork) floor(t *testing.T) []step {
	ns := testenv.AddNetNS(t)
	start := func(job, tool, stdin string, args ...string) step {
		return once(job, floor, func() error {
			result, err := process.Exec{Namespace: ns.Path()}.Run(context.Background(), []byte(stdin), "iptables-"+w.backend+tool, args...)
			if err == nil && result.Code != 0 {
				err = fmt.Errorf("exit status %d: %s", result.Code, result.Stderr)
			}
			return err
		})
	}
	save := func(job string) step {
		s := start(job, "-save", "", "-t", "filter")
		s.again = 4
		return s
	}
	return []step{
		start(writeRules, "-restore", iptables.RestoreText(w.write), "--noflush", "-w"), w.check(ns),
		save(sameRules), save(readRules),
		start(dropRules, "-restore", iptables.RestoreText(w.drop), "--noflush", "-w"),
	}
}

// goIPTables appends one rule at a time, and asks for each whether it is there, as
// its API has it.
func (w *rulesWork) goIPTables(t *testing.T) []step {
	const by = "go-iptables 0.8.0, one at a time"
	ns := testenv.AddNetNS(t)
	// It has no namespace of its own choice: this thread stays in it.
	ns.Enter(t)
	ipt, err := goiptables.New(goiptables.Path("iptables-" + w.backend))
	require.NoError(t, err)
	each := func(do func(rule []string) error) func() error {
		return func() error {
			for _, r := range w.rules {
				if err := do(strings.Fields(string(r))); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return []step{
		once("", "", func() error { return ipt.NewChain("filter", rulesChain) }),
		once(writeRules, by, each(func(rule []string) error { return ipt.Append("filter", rulesChain, rule...) })),
		w.check(ns),
		once(sameRules, by, each(func(rule []string) error {
			there, err := ipt.Exists("filter", rulesChain, rule...)
			if err == nil && !there {
				err = fmt.Errorf("not there: %v", rule)
			}
			return err
		})),
		once(readRules, by, func() error {
			rules, err := ipt.List("filter", rulesChain)
			if err == nil && len(rules) != w.n+1 {
				err = fmt.Errorf("%d rules", len(rules))
			}
			return err
		}),
		once(dropRules, by, func() error { return ipt.ClearAndDeleteChain("filter", rulesChain) }),
	}
}
