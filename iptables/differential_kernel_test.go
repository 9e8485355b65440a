//go:build linux

package iptables_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/testenv"
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
		iptables.Insert, iptables.Delete, iptables.Delete, iptables.DeleteChain,
	}
)

// randomRestore makes one restore; a third of them has a single edit.
func randomRestore(r *rand.Rand) []iptables.Edit {
	n := 1
	if r.IntN(3) > 0 {
		n = 1 + r.IntN(5)
	}
	pick := func(list []string) string { return list[r.IntN(len(list))] }
	var edits []iptables.Edit
	table := pick(worldTables)
	for range n {
		if r.IntN(6) == 0 {
			table = pick(worldTables)
		}
		e := iptables.Edit{Table: table, Chain: pick(worldChains), Rule: worldRules[r.IntN(len(worldRules))]}
		if r.IntN(2) == 0 {
			e.Rule = worldRules[r.IntN(5)]
		}
		if r.IntN(6) == 0 {
			e.Rule = worldFaults[r.IntN(len(worldFaults))]
		}
		if r.IntN(4) == 0 {
			e.Chain = pick(iptables.BuiltinChains(table))
		}
		switch e.Verb = worldVerbs[r.IntN(len(worldVerbs))]; e.Verb {
		case iptables.NewChain, iptables.DeleteChain:
			e.Chain, e.Rule = pick(worldChains), ""
		case iptables.Insert:
			e.Pos = 1 + r.IntN(3)
			if slices.ContainsFunc(edits, func(o iptables.Edit) bool { return o.Verb == iptables.NewChain }) {
				e.Verb, e.Pos = iptables.Append, 0 // refused in such a chain
			}
		case iptables.Delete:
			e.Rule = worldRules[r.IntN(5)]
		case iptables.Append:
		}
		if to := e.Rule.Target(); slices.Contains(worldChains, e.Chain) && slices.Contains(worldChains, to) && to <= e.Chain {
			// A loop: nft refuses one or not by kernel and by whether a packet
			// can get there. The contract has those that all agree on.
			e.Rule = worldRules[0]
		}
		edits = append(edits, e)
	}
	return edits
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

// disagreement carries out restores on the tool and on the fake, and returns the
// index of the first after which they differ and how, or -1; and how many were
// carried out. Of a restore
// with several edits, several may be at fault, and the back ends look at them
// in different orders: only whether it fails is compared then.
func disagreement(tool, fake iptables.Client, f vipkit.Family, restores [][]iptables.Edit) (at int, how string, done int) {
	ctx := context.Background()
	for i, edits := range restores {
		have, want := tool.Restore(ctx, f, edits), fake.Restore(ctx, f, edits)
		if (have == nil) != (want == nil) || len(edits) == 1 && !errors.Is(kindOf(have), kindOf(want)) {
			return i, fmt.Sprintf("the tool: %v\nthe fake: %v", have, want), done
		}
		if have == nil {
			done++
		}
		a, errA := tool.Save(ctx, f)
		b, errB := fake.Save(ctx, f)
		if errA != nil || errB != nil || iptables.Format(a) != iptables.Format(b) {
			return i, fmt.Sprintf("the tool: %v\n%s\nthe fake: %v\n%s", errA, iptables.Format(a), errB, iptables.Format(b)), done
		}
	}
	return -1, "", done
}

// shrink drops restores and edits for as long as the rest still disagrees.
func shrink(restores [][]iptables.Edit, fails func([][]iptables.Edit) bool) [][]iptables.Edit {
	for size := len(restores) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(restores); {
			fewer := slices.Delete(slices.Clone(restores), at, at+size)
			if fails(fewer) {
				restores = fewer
			} else {
				at += size
			}
		}
	}
	for i := range restores {
		for j := 0; j < len(restores[i]) && len(restores[i]) > 1; {
			fewer := slices.Clone(restores)
			fewer[i] = slices.Delete(slices.Clone(restores[i]), j, j+1)
			if fails(fewer) {
				restores = fewer
			} else {
				j++
			}
		}
	}
	return restores
}

// TestKernelDifferential drives the tools of each back end and the fake with the
// same random restores. VIPKIT_SEED and VIPKIT_STEPS choose others.
func TestKernelDifferential(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPTables, testenv.IPSet, "ipset")
	steps, seed := testenv.Steps(t, 150), testenv.Seed(t)
	for _, backend := range backends {
		for _, f := range []vipkit.Family{vipkit.IPv4, vipkit.IPv6} {
			t.Run(fmt.Sprintf("%s %s", backend, f), func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, uint64(f)))
				restores := make([][]iptables.Edit, steps)
				for i := range restores {
					restores[i] = randomRestore(r)
				}
				check := func(restores [][]iptables.Edit) (at int, how string, done int) {
					t.Run("run", func(t *testing.T) {
						conn, _ := kernelConn(t, backend, f, "S")
						fake := &iptablestest.Fake{
							Tool: iptables.Info{Backend: backend}, Sets: func(name string) bool { return name == "S" },
						}
						at, how, done = disagreement(conn, fake, f, restores)
					})
					return at, how, done
				}
				at, _, done := check(restores)
				t.Logf("%d restores, %d of them carried out, seed %d", steps, done, seed)
				if at < 0 {
					return
				}
				restores = shrink(restores[:at+1], func(fewer [][]iptables.Edit) bool {
					at, _, _ := check(fewer)
					return at >= 0
				})
				_, how, _ := check(restores)
				var text strings.Builder
				for i, edits := range restores {
					fmt.Fprintf(&text, "restore %d:\n%s", i, iptables.RestoreText(edits))
				}
				file := filepath.Join(testenv.OutDir(t), "differential.txt")
				_ = os.WriteFile(file, []byte(text.String()), 0o600)
				t.Fatalf("seed %d: the tool and the fake disagree after\n%s%s", seed, &text, how)
			})
		}
	}
}
