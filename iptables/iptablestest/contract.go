package iptablestest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/iptables"
)

// Open returns a Client of a host where no table is used and where there is one
// IP set, of the given family, type hash:ip and name. It is called in the
// subtest that uses the Client.
type Open func(t *testing.T, f vipkit.Family, set string) iptables.Client

// theSet is the one IP set of the contract's hosts.
const theSet = "VIPKIT-TEST"

// host is a Client and what one case of the contract does with it.
type host struct {
	t *testing.T
	iptables.Client
	family vipkit.Family
}

// TestClient is the contract of [iptables.Client]: what every implementation
// must do, checked on one that open makes.
func TestClient(t *testing.T, open Open) {
	for _, f := range []vipkit.Family{vipkit.IPv4, vipkit.IPv6} {
		t.Run(f.String(), func(t *testing.T) {
			run := func(name string, test func(h host)) {
				t.Run(name, func(t *testing.T) {
					test(host{t, open(t, f, theSet), f})
				})
			}
			run("info", testInfo)
			run("save", testSave)
			run("normal form", testNormalForm)
			run("edits", testEdits)
			run("policies", testPolicies)
			run("a chain restored twice has no duplicates, without its line it has", testDuplicates)
			run("a lost reply and the same restore again", testAgain)
			run("the position of a jump is noticed and repaired", testPosition)
			run("a rule that names a missing set", testMissingSet)
			run("deleting a referenced chain", testReferencedChain)
			run("deleting a non-empty chain", testNonEmptyChain)
			run("insertion in front of a rule that does not stay", testInsertBeforeDeleted)
			run("refused", testRefused)
			run("invalid", testInvalid)
			run("tables one after another", testTables)
			run("families are apart", testFamilies)
			run("cancelled", testCancelled)
			run("concurrent", testConcurrent)
		})
	}
}

// restore carries out edits that must succeed.
func (h host) restore(edits ...iptables.Edit) {
	h.t.Helper()
	require.NoError(h.t, h.Restore(context.Background(), h.family, edits))
}

// dump returns the tables in use as text.
func (h host) dump() string {
	h.t.Helper()
	tables, err := h.Save(context.Background(), h.family)
	require.NoError(h.t, err)
	return iptables.Format(tables)
}

// rules returns the rules of a chain.
func (h host) rules(table, chain string) []iptables.Rule {
	h.t.Helper()
	tables, err := h.Save(context.Background(), h.family, table)
	require.NoError(h.t, err)
	require.Len(h.t, tables, 1)
	for _, c := range tables[0].Chains {
		if c.Name == chain {
			return c.Rules
		}
	}
	return nil
}

// addr returns an address of the host's family and its prefix length.
func (h host) addr() (string, int) {
	if h.family == vipkit.IPv6 {
		return "fd00::7", 128
	}
	return "10.0.0.7", 32
}

func newChain(table, name string) iptables.Edit {
	return iptables.Edit{Table: table, Verb: iptables.NewChain, Chain: name}
}

func deleteChain(table, name string) iptables.Edit {
	return iptables.Edit{Table: table, Verb: iptables.DeleteChain, Chain: name}
}

func add(table, chain string, r iptables.Rule) iptables.Edit {
	return iptables.Edit{Table: table, Verb: iptables.Append, Chain: chain, Rule: r}
}

func insert(table, chain string, pos int, r iptables.Rule) iptables.Edit {
	return iptables.Edit{Table: table, Verb: iptables.Insert, Chain: chain, Pos: pos, Rule: r}
}

func remove(table, chain string, r iptables.Rule) iptables.Edit {
	return iptables.Edit{Table: table, Verb: iptables.Delete, Chain: chain, Rule: r}
}

func testInfo(h host) {
	info, err := h.Info(context.Background(), h.family)
	require.NoError(h.t, err)
	require.Contains(h.t, []string{"nft", "legacy"}, info.Backend)
	require.Positive(h.t, info.Version[0])
	again, err := h.Info(context.Background(), h.family)
	require.NoError(h.t, err)
	require.Equal(h.t, info, again)
	_, err = h.Info(context.Background(), 5)
	require.ErrorIs(h.t, err, fs.ErrInvalid)
}

func testSave(h host) {
	ctx := context.Background()
	require.Empty(h.t, h.dump())
	tables, err := h.Save(ctx, h.family, "filter", "nat", "nat")
	require.NoError(h.t, err)
	require.Equal(h.t, []iptables.Table{{Name: "nat"}, {Name: "filter"}}, tables)
	require.Empty(h.t, h.dump(), "reading a table is no use of it")

	_, err = h.Save(ctx, h.family, "nat", "bogus")
	require.ErrorIs(h.t, err, fs.ErrInvalid)

	h.restore(newChain("filter", "ZZ"), newChain("filter", "AA"), newChain("raw", "AA"),
		add("filter", "INPUT", "-j ZZ"), add("filter", "ZZ", "-j RETURN"))
	want := "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:AA - [0:0]\nCOMMIT\n" +
		"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:AA - [0:0]\n:ZZ - [0:0]\n" +
		"-A INPUT -j ZZ\n-A ZZ -j RETURN\nCOMMIT\n"
	require.Equal(h.t, want, h.dump())

	tables, err = h.Save(ctx, h.family, "filter")
	require.NoError(h.t, err)
	tables[0].Chains[0].Rules[0] = "-j DROP"
	require.Equal(h.t, want, h.dump(), "what Save returned is the caller's")

	h.restore(remove("filter", "INPUT", "-j ZZ"), newChain("filter", "ZZ"), deleteChain("filter", "ZZ"),
		deleteChain("filter", "AA"), deleteChain("raw", "AA"))
	require.Empty(h.t, h.dump(), "a table with nothing left in it is not used")
}

// testEdits pins what each verb does, and the order among the edits of a table.
func testEdits(h host) {
	h.restore()
	require.Empty(h.t, h.dump())
	h.restore(newChain("filter", "TT"), add("filter", "TT", "-j RETURN"), add("filter", "TT", "-j RETURN"))
	h.restore(insert("filter", "TT", 3, "-j DROP"), insert("filter", "TT", 1, "-j ACCEPT"), remove("filter", "TT", "-j RETURN"),
		insert("filter", "INPUT", 1, "-j TT"))
	require.Equal(h.t, []iptables.Rule{"-j ACCEPT", "-j RETURN", "-j DROP"}, h.rules("filter", "TT"))
	require.Equal(h.t, []iptables.Rule{"-j TT"}, h.rules("filter", "INPUT"))

	// A jump moves to the front in one restore.
	h.restore(add("filter", "INPUT", "-j ACCEPT"), insert("filter", "INPUT", 1, "-p tcp -j ACCEPT"))
	h.restore(remove("filter", "INPUT", "-j TT"), insert("filter", "INPUT", 1, "-j TT"), remove("filter", "INPUT", "-j ACCEPT"))
	require.Equal(h.t, []iptables.Rule{"-j TT", "-p tcp -j ACCEPT"}, h.rules("filter", "INPUT"))
	h.restore(remove("filter", "INPUT", "-p tcp -j ACCEPT"))

	h.restore(newChain("filter", "TT"), newChain("filter", "TT"))
	require.Empty(h.t, h.rules("filter", "TT"), "a chain that is declared again is flushed")
	require.Equal(h.t, []iptables.Rule{"-j TT"}, h.rules("filter", "INPUT"), "and what jumps to it stays")

	h.restore(remove("filter", "INPUT", "-j TT"), deleteChain("filter", "TT"), newChain("filter", "TT"), add("filter", "TT", "-j DROP"))
	require.Equal(h.t, []iptables.Rule{"-j DROP"}, h.rules("filter", "TT"))
}

// testTables shows that a table is committed by itself, in the order of first
// edits.
func testTables(h host) {
	err := h.Restore(context.Background(), h.family, []iptables.Edit{
		newChain("nat", "N1"), newChain("mangle", "M1"), newChain("filter", "F1"), add("nat", "N1", "-j RETURN"),
		remove("mangle", "PREROUTING", "-j DROP"),
	})
	require.ErrorIs(h.t, err, fs.ErrNotExist)
	require.ErrorContains(h.t, err, "mangle -D PREROUTING -j DROP")
	require.Equal(h.t, []iptables.Rule{"-j RETURN"}, h.rules("nat", "N1"))
	tables, err := h.Save(context.Background(), h.family)
	require.NoError(h.t, err)
	require.Len(h.t, tables, 1)
}

func testFamilies(h host) {
	h.restore(newChain("filter", "TT"))
	other := vipkit.IPv4 + vipkit.IPv6 - h.family
	tables, err := h.Save(context.Background(), other)
	require.NoError(h.t, err)
	require.Empty(h.t, tables)
}

func testCancelled(h host) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := h.Info(ctx, h.family)
	require.ErrorIs(h.t, err, context.Canceled)
	_, err = h.Save(ctx, h.family)
	require.ErrorIs(h.t, err, context.Canceled)
	require.ErrorIs(h.t, h.Restore(ctx, h.family, []iptables.Edit{newChain("filter", "TT")}), context.Canceled)
	ctx, cancel = context.WithTimeout(context.Background(), -time.Second)
	defer cancel()
	require.ErrorIs(h.t, h.Restore(ctx, h.family, []iptables.Edit{newChain("filter", "TT")}), context.DeadlineExceeded)
	require.Empty(h.t, h.dump())
}

// testConcurrent restores from several goroutines; each finds its own rules.
func testConcurrent(h host) {
	const writers = 4
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			name := fmt.Sprintf("W%d", i)
			errs[i] = h.Restore(context.Background(), h.family, []iptables.Edit{newChain("filter", name), add("filter", name, "-j RETURN")})
			tables, err := h.Save(context.Background(), h.family, "filter")
			if err == nil && !slices.ContainsFunc(tables[0].Chains, func(c iptables.Chain) bool { return c.Name == name }) {
				err = errors.New("own chain is not there")
			}
			errs[i] = errors.Join(errs[i], err)
		})
	}
	wg.Wait()
	require.NoError(h.t, errors.Join(errs...))
}
