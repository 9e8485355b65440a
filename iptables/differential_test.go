package iptables_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/iptables"
	"github.com/vipkit/vipkit/iptables/iptablestest"
)

// The small world of the differential test.
var (
	worldTables = []string{"nat", "filter", "mangle"}
	worldChains = []string{"A", "A", "B", "B", "C", "D"}
	worldRules  = []iptables.Rule{
		"-j RETURN", "-j ACCEPT", "", "-j A", "-j B", "-j C", "-g B", "-m set --match-set S dst -j B",
		"-p tcp --dport 80 -j A", "-p 17 -m udp --sport 5 -j C", "! -p tcp -j RETURN",
		"-j MARK --or-mark 0x4000", "-m mark --mark 0x4000/0x4000 -j RETURN", "-m comment --comment \"two words\" -j RETURN",
		"-m addrtype --dst-type LOCAL -j A", "-m conntrack --ctstate NEW,RELATED -j ACCEPT",
	}
	// Right in some places only, or in none.
	worldFaults = []iptables.Rule{
		"-j DROP", "-j NONE", "-g NONE", "-m set --match-set NOSET dst -j RETURN", "-m set --match-set S bogus -j RETURN",
		"-j MARK", "-j MARK --bogus 1", "-j MASQUERADE", "-j MASQUERADE --random-fully", "-j REJECT",
		"-p tcp -j REJECT --reject-with tcp-reset", "-j REJECT --reject-with tcp-reset", "-j SET --map-set S dst --map-mark",
		"-j SET --map-set NOSET dst --map-mark", "-m addrtype -j A", "-i eth0 -j RETURN", "-o eth0 -j B", "-m nomatch -j RETURN",
		"-j RETURN --bogus", "-j INPUT", "-m tcp --dport 1 -j RETURN",
	}
	// What an edit is, as often as it is here.
	worldVerbs = []iptables.Verb{
		iptables.NewChain, iptables.NewChain, iptables.Append, iptables.Append, iptables.Append, iptables.Insert,
		iptables.Insert, iptables.Delete, iptables.Delete, iptables.DeleteChain, iptables.SetPolicy,
	}
)

// theSets are the IP sets of the worlds of these tests.
var theSets = []string{"S", "A", "P"}

func newFake(backend string) *iptablestest.Fake {
	return &iptablestest.Fake{
		Tool: iptables.Info{Version: [3]int{1, 8, 9}, Backend: backend, RandomFully: true},
		Sets: func(name string) bool { return slices.Contains(theSets, name) },
	}
}

// like returns a fake that holds what another does.
func like(other *iptablestest.Fake, f vipkit.Family) *iptablestest.Fake {
	fake := newFake(other.Tool.Backend)
	if err := fake.Load(f, other.Dump(f)); err != nil {
		panic(err)
	}
	return fake
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// randomEdit makes an edit of a table, most of the time a valid one, to stand behind
// others in a restore.
func randomEdit(r *rand.Rand, table string, before []iptables.Edit) iptables.Edit {
	e := iptables.Edit{Table: table, Chain: pick(r, worldChains), Rule: pick(r, worldRules), Verb: pick(r, worldVerbs)}
	if r.IntN(2) == 0 {
		e.Rule = pick(r, worldRules[:5])
	}
	if r.IntN(6) == 0 {
		e.Rule = pick(r, worldFaults)
	}
	if r.IntN(4) == 0 {
		e.Chain = pick(r, iptables.BuiltinChains(table))
	}
	switch e.Verb {
	case iptables.NewChain, iptables.DeleteChain:
		return iptables.Edit{Table: table, Chain: pick(r, worldChains), Verb: e.Verb}
	case iptables.SetPolicy:
		return iptables.Edit{Table: table, Chain: pick(r, iptables.BuiltinChains(table)), Verb: e.Verb, Policy: pick(r, []string{"ACCEPT", "ACCEPT", "DROP"})}
	case iptables.Insert:
		e.Pos = 1 + r.IntN(3)
	case iptables.Delete:
		e.Rule = pick(r, worldRules[:5])
	case iptables.Append:
	}
	if slices.ContainsFunc(before, func(o iptables.Edit) bool { return o.Verb == iptables.NewChain && o.Chain == e.Chain }) {
		e.Verb, e.Pos = iptables.Append, 0 // all that may be done there
	}
	if to := e.Rule.Target(); slices.Contains(worldChains, e.Chain) && slices.Contains(worldChains, to) && to <= e.Chain {
		// A loop: nft refuses one or not by kernel and by whether a packet
		// can get there. See the transcripts.
		e.Rule = worldRules[0]
	}
	return e
}

// differential is a run: what was asked of both, and how they differed at last.
type differential struct {
	edits, refused int
	history        [][]iptables.Edit // the restores of the tool
	how            string
}

func (d *differential) verdict() string {
	if d.how == "" {
		return "no difference"
	}
	return d.how
}

// differ drives a client and a fake of its back end with steps random edits. They go
// in restores of many. Those that the fake refuses are found one by one: the tool
// must refuse, for the same kind of reason, the restore that ends with each, and take
// the rest.
func differ(tool iptables.Client, backend string, f vipkit.Family, r *rand.Rand, steps int) (d differential) {
	const most = 400
	fake := newFake(backend)
	try := func(edits []iptables.Edit) error { return like(fake, f).Restore(context.Background(), f, edits) }
	for d.edits < steps && d.how == "" {
		batch := randomBatch(r, fake, f, 1+r.IntN(most))
		if len(fake.Dump(f)) > 8_000 { // before everything gets slow
			batch = clearing(fake, f)
		}
		d.edits += len(batch)
		for try(batch) != nil && d.how == "" {
			good, n := 0, len(batch)
			for n-good > 1 {
				if middle := (good + n) / 2; try(batch[:middle]) == nil {
					good = middle
				} else {
					n = middle
				}
			}
			d.refused++
			d.both(tool, like(fake, f), f, batch[:n], false)
			batch = slices.Delete(slices.Clone(batch), n-1, n)
		}
		if d.how == "" {
			d.both(tool, fake, f, batch, true)
		}
	}
	return d
}

// clearing is edits that leave nothing.
func clearing(fake *iptablestest.Fake, f vipkit.Family) (edits []iptables.Edit) {
	tables, err := fake.Save(context.Background(), f)
	if err != nil {
		panic(err)
	}
	for _, t := range tables {
		var last []iptables.Edit
		for _, c := range t.Chains {
			if c.Policy == "" {
				edits = append(edits, iptables.Edit{Table: t.Name, Verb: iptables.NewChain, Chain: c.Name})
				last = append(last, iptables.Edit{Table: t.Name, Verb: iptables.DeleteChain, Chain: c.Name})
				continue
			}
			for _, r := range c.Rules {
				edits = append(edits, iptables.Edit{Table: t.Name, Verb: iptables.Delete, Chain: c.Name, Rule: r})
			}
			if c.Policy != "ACCEPT" {
				edits = append(edits, iptables.Edit{Table: t.Name, Verb: iptables.SetPolicy, Chain: c.Name, Policy: "ACCEPT"})
			}
		}
		edits = append(edits, last...)
	}
	return edits
}

// both carries out a restore on both; if it must be done, what they hold is compared
// too.
func (d *differential) both(tool iptables.Client, fake *iptablestest.Fake, f vipkit.Family, edits []iptables.Edit, look bool) {
	d.history = append(d.history, edits)
	have, want := tool.Restore(context.Background(), f, edits), fake.Restore(context.Background(), f, edits)
	if (have == nil) != (want == nil) || !errors.Is(kindOf(have), kindOf(want)) {
		d.how = fmt.Sprintf("%s\nthe tool: %v\nthe fake: %v", iptables.RestoreText(edits), have, want)
	} else if look {
		d.how = holdAlike(tool, fake, f)
	}
}

// randomBatch makes a restore of n edits for a table of the fake: most of those that
// would be refused are thrown away, since each costs a restore of its own.
func randomBatch(r *rand.Rand, fake *iptablestest.Fake, f vipkit.Family, n int) (batch []iptables.Edit) {
	scratch, table := like(fake, f), pick(r, worldTables)
	for len(batch) < n {
		e := randomEdit(r, table, batch)
		if scratch.Restore(context.Background(), f, []iptables.Edit{e}) == nil || r.IntN(30) == 0 {
			batch = append(batch, e)
		}
	}
	return batch
}

// holdAlike says how what two clients hold differs, or "".
func holdAlike(tool, fake iptables.Client, f vipkit.Family) string {
	a, errA := tool.Save(context.Background(), f)
	b, errB := fake.Save(context.Background(), f)
	if errA != nil || errB != nil || iptables.Format(a) != iptables.Format(b) {
		return fmt.Sprintf("the tool: %v\n%s\nthe fake: %v\n%s", errA, iptables.Format(a), errB, iptables.Format(b))
	}
	return ""
}

// kinds are those that errors are compared by.
var kinds = []error{fs.ErrInvalid, fs.ErrExist, fs.ErrNotExist, vipkit.ErrInUse, fs.ErrPermission, errors.ErrUnsupported}

func kindOf(err error) error {
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			return kind
		}
	}
	return err
}

// disagreement carries out restores on the tool and on the fake, and says how they
// first differ, or "".
func disagreement(tool, fake iptables.Client, f vipkit.Family, restores [][]iptables.Edit) string {
	for _, edits := range restores {
		have, want := tool.Restore(context.Background(), f, edits), fake.Restore(context.Background(), f, edits)
		if (have == nil) != (want == nil) || len(edits) == 1 && !errors.Is(kindOf(have), kindOf(want)) {
			return fmt.Sprintf("the tool: %v\nthe fake: %v", have, want)
		}
		if how := holdAlike(tool, fake, f); how != "" {
			return how
		}
	}
	return ""
}

// shrink drops restores, then edits, for as long as the rest still disagrees.
func shrink(restores [][]iptables.Edit, fails func([][]iptables.Edit) bool) [][]iptables.Edit {
	restores = thin(restores, fails)
	for i := range restores {
		restores[i] = thin(restores[i], func(fewer []iptables.Edit) bool {
			all := slices.Clone(restores)
			all[i] = fewer
			return fails(all)
		})
	}
	return thin(restores, fails)
}

// thin drops halves of a list, then smaller parts, and at last single items.
func thin[T any](list []T, fails func([]T) bool) []T {
	for size := max(1, len(list)/2); size > 0; {
		smaller := false
		for at := 0; at+size <= len(list); {
			if fewer := slices.Delete(slices.Clone(list), at, at+size); fails(fewer) {
				list, smaller = fewer, true
			} else {
				at += size
			}
		}
		if size > 1 || !smaller {
			size /= 2
		}
	}
	return list
}

// forgetful is a fake that forgets to move what comes behind an inserted rule.
type forgetful struct{ *iptablestest.Fake }

func (c forgetful) Restore(ctx context.Context, f vipkit.Family, edits []iptables.Edit) error {
	wrong := slices.Clone(edits)
	for i, e := range wrong {
		if e.Verb == iptables.Insert && e.Pos == 2 && e.Rule == "-j ACCEPT" {
			wrong[i].Pos = 1
		}
	}
	return c.Fake.Restore(ctx, f, wrong)
}

// TestDifferential shows that a difference is found and shrunk to what shows it.
func TestDifferential(t *testing.T) {
	for _, backend := range []string{"nft", "legacy"} {
		d := differ(newFake(backend), backend, vipkit.IPv4, rand.New(rand.NewPCG(1, 2)), 300)
		require.Empty(t, d.how)
		require.GreaterOrEqual(t, d.edits, 300)
		require.Positive(t, d.refused)
		require.Less(t, d.refused*3, d.edits)
	}
	d := differ(forgetful{newFake("nft")}, "nft", vipkit.IPv4, rand.New(rand.NewPCG(1, 2)), 10_000)
	require.NotEmpty(t, d.how)
	minimum := shrink(d.history, func(fewer [][]iptables.Edit) bool {
		return disagreement(forgetful{newFake("nft")}, newFake("nft"), vipkit.IPv4, fewer) != ""
	})
	edits := slices.Concat(minimum...)
	require.LessOrEqual(t, len(edits), 4, "%v", edits)
}
