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

// testNormalForm restores rules as people write them and finds them as
// Normalize does, and deletes them in either form.
func testNormalForm(h host) {
	a, _ := h.addr()
	rules := map[string][]iptables.Rule{
		"filter": {
			"", "-j ACCEPT", "--protocol 6 --source " + iptables.Rule(a) + " --jump DROP",
			"-p 17 --dport 53:53 -j RETURN", "-p sctp --dport 80 --sport 1:9 -j RETURN",
			"-m comment --comment simple", `-m comment --comment "two words, 'quoted' \"so\" \\ /"`,
			"-m mark --mark 16384/0x4000 -j DROP", "-m mark ! --mark 1/0xffffffff -j DROP",
			"-m conntrack --ctstate ESTABLISHED,NEW -j ACCEPT", "-m addrtype --dst-type LOCAL -j ACCEPT",
			"-m addrtype ! --dst-type LOCAL --src-type LOCAL -j ACCEPT",
			"-m set --match-set " + theSet + " dst -p tcp -j REJECT",
			"-m set ! --match-set " + theSet + " src,dst -j REJECT",
			"-p tcp -j REJECT --reject-with tcp-reset", "! -p 132 -j DROP", "-d " + iptables.Rule(a) + " -g AA",
			"-p tcp -m set --match-set " + theSet + " dst -m tcp --dport 80 -m comment --comment x -j ACCEPT",
		},
		"nat": {
			"-j MARK --or-mark 0x4000", "-j MARK --set-mark 0x4000/0x4000", "-j MARK --xor-mark 1", "-j MARK --and-mark 1",
			"-m mark --mark 0x4000/0x4000 -j MASQUERADE --random-fully", "-j MASQUERADE",
		},
		"mangle": {"-j SET --map-set " + theSet + " dst --map-mark", "! -i eth0 -j MARK --set-mark 7"},
	}
	if h.family == vipkit.IPv6 {
		rules["filter"] = append(rules["filter"], "-p icmpv6 --icmpv6-type echo-request -j ACCEPT")
	} else {
		rules["filter"] = append(rules["filter"], "-p icmp --icmp-type echo-request -j ACCEPT", "-p 1 -j ACCEPT")
	}
	for table, rules := range rules {
		edits := []iptables.Edit{newChain(table, "AA"), newChain(table, "TT")}
		var want []iptables.Rule
		for _, r := range rules {
			edits = append(edits, add(table, "TT", r))
			want = append(want, iptables.Normalize(h.family, r))
		}
		h.restore(edits...)
		require.Equal(h.t, want, h.rules(table, "TT"))

		edits = nil
		for i, r := range rules {
			if i%2 == 0 {
				r = want[i]
			}
			edits = append(edits, remove(table, "TT", r))
		}
		h.restore(edits...)
		require.Empty(h.t, h.rules(table, "TT"))
	}
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

// testRefused restores what the tool or the kernel must refuse: nothing of the
// table changes, whatever came before the fault.
func testRefused(h host) {
	h.restore(newChain("filter", "TT"), newChain("filter", "FULL"), add("filter", "FULL", "-j RETURN"),
		newChain("filter", "EMPTY"), add("filter", "INPUT", "-j TT"), newChain("nat", "PRE"), add("nat", "PREROUTING", "-j PRE"))
	before := h.dump()
	for _, c := range []struct {
		name  string
		kind  error
		edits []iptables.Edit
	}{
		{"append to a missing chain", fs.ErrNotExist, []iptables.Edit{add("filter", "NONE", "-j DROP")}},
		{"insert into a missing chain", fs.ErrNotExist, []iptables.Edit{insert("filter", "NONE", 1, "-j DROP")}},
		{"insert past the end", fs.ErrInvalid, []iptables.Edit{insert("filter", "FULL", 3, "-j DROP")}},
		{"delete from a missing chain", fs.ErrNotExist, []iptables.Edit{remove("filter", "NONE", "-j DROP")}},
		{"delete a missing rule", fs.ErrNotExist, []iptables.Edit{remove("filter", "FULL", "-j DROP")}},
		{"delete a rule twice", fs.ErrNotExist, []iptables.Edit{remove("filter", "FULL", "-j RETURN"), remove("filter", "FULL", "-j RETURN")}},
		{"delete a missing chain", fs.ErrNotExist, []iptables.Edit{deleteChain("filter", "NONE")}},
		{"delete a chain twice", fs.ErrNotExist, []iptables.Edit{deleteChain("filter", "EMPTY"), deleteChain("filter", "EMPTY")}},
		{"delete a chain with rules", vipkit.ErrInUse, []iptables.Edit{deleteChain("filter", "FULL")}},
		{"delete a chain that is jumped to", vipkit.ErrInUse, []iptables.Edit{deleteChain("filter", "TT")}},
		{"delete a chain that has just got a rule", vipkit.ErrInUse, []iptables.Edit{add("filter", "EMPTY", "-j DROP"), deleteChain("filter", "EMPTY")}},
		{"jump to a missing chain", fs.ErrInvalid, []iptables.Edit{add("filter", "TT", "-j NONE")}},
		{"jump to a chain that comes later", fs.ErrInvalid, []iptables.Edit{add("filter", "TT", "-j LATER"), newChain("filter", "LATER")}},
		{"jump to a chain of another table", fs.ErrInvalid, []iptables.Edit{add("filter", "TT", "-j PRE")}},
		{"loop of one", fs.ErrInvalid, []iptables.Edit{add("filter", "TT", "-j TT")}},
		{"loop of two", fs.ErrInvalid, []iptables.Edit{newChain("filter", "T2"), add("filter", "T2", "-j TT"), add("filter", "TT", "-j T2")}},
		{"unknown match", fs.ErrInvalid, []iptables.Edit{add("filter", "TT", "-m nosuchmatch -j DROP")}},
		{"unknown option", fs.ErrInvalid, []iptables.Edit{add("filter", "TT", "-m mark --bogus 1 -j DROP")}},
		{"missing set", fs.ErrInvalid, []iptables.Edit{add("filter", "TT", "-m set --match-set NOSUCHSET dst -j DROP")}},
		{"missing set in a target", fs.ErrInvalid, []iptables.Edit{add("mangle", "PREROUTING", "-j SET --map-set NOSUCHSET dst --map-mark")}},
		{"map-set outside mangle", fs.ErrInvalid, []iptables.Edit{add("filter", "TT", "-j SET --map-set "+theSet+" dst --map-mark")}},
		{"REJECT outside filter", fs.ErrInvalid, []iptables.Edit{add("nat", "PRE", "-j REJECT")}},
		{"DROP in nat", fs.ErrInvalid, []iptables.Edit{add("nat", "PRE", "-j DROP")}},
		{"MASQUERADE outside nat", fs.ErrInvalid, []iptables.Edit{add("filter", "TT", "-j MASQUERADE")}},
		{"MASQUERADE where PREROUTING leads", fs.ErrInvalid, []iptables.Edit{add("nat", "PRE", "-j MASQUERADE")}},
		{"incoming link in OUTPUT", fs.ErrInvalid, []iptables.Edit{add("filter", "OUTPUT", "-i lo -j DROP")}},
	} {
		edits := append([]iptables.Edit{
			newChain(c.edits[0].Table, "FIRST"), add(c.edits[0].Table, "FIRST", "-j RETURN"),
		}, c.edits...)
		edits = append(edits, newChain(c.edits[0].Table, "LAST"))
		for what, edits := range map[string][]iptables.Edit{"alone": c.edits, "among others": edits} {
			err := h.Restore(context.Background(), h.family, edits)
			require.ErrorIs(h.t, err, c.kind, "%s, %s", c.name, what)
			var op *vipkit.OpError
			require.ErrorAs(h.t, err, &op, "%s, %s", c.name, what)
			require.NotEmpty(h.t, op.Object, "%s, %s: %v", c.name, what, err)
			require.Equal(h.t, before, h.dump(), "%s, %s: the table changed", c.name, what)
		}
	}
}

// testInvalid restores what is refused without asking.
func testInvalid(h host) {
	a := "fd00::1"
	if h.family == vipkit.IPv6 {
		a = "10.0.0.1"
	}
	for _, e := range []iptables.Edit{
		{}, newChain("bogus", "TT"), newChain("filter", ""), newChain("filter", "A23456789-123456789-123456789"),
		newChain("filter", "two words"), newChain("filter", "line\nbreak"), newChain("filter", "-x"), newChain("filter", "DROP"),
		newChain("filter", "INPUT"), deleteChain("filter", "INPUT"), add("filter", "PREROUTING", "-j DROP"),
		insert("filter", "TT", 1, "-j DROP"), insert("filter", "INPUT", 0, "-j DROP"), insert("filter", "INPUT", -1, "-j DROP"),
		{Table: "filter", Verb: iptables.Append, Chain: "INPUT", Pos: 1, Rule: "-j DROP"},
		{Table: "filter", Verb: iptables.NewChain, Chain: "TT", Rule: "-j DROP"},
		{Table: "filter", Verb: 99, Chain: "TT"},
		add("filter", "INPUT", "-j DROP\n-A INPUT -j ACCEPT"), add("filter", "INPUT", "-j DROP\x00"),
		add("filter", "INPUT", `-m comment --comment "open`), add("filter", "INPUT", "-t nat -j DROP"),
		add("filter", "INPUT", "-j FORWARD"), add("filter", "INPUT", "-m tcp --dport 80 -j DROP"), add("filter", "INPUT", "-p udp -m tcp"),
		add("filter", "INPUT", "-s 10.0.0.1,10.0.0.2 -j DROP"), add("filter", "INPUT", "-s localhost -j DROP"),
		add("filter", "INPUT", iptables.Rule("-s "+a+" -j DROP")),
	} {
		err := h.Restore(context.Background(), h.family, []iptables.Edit{newChain("filter", "TT"), e})
		require.ErrorIs(h.t, err, fs.ErrInvalid, "%v", e)
	}
	require.ErrorIs(h.t, h.Restore(context.Background(), 0, nil), fs.ErrInvalid)
	require.Empty(h.t, h.dump(), "not even the edits before")
}

// testTables shows that a table is committed by itself, in the order of first
// edits.
func testTables(h host) {
	err := h.Restore(context.Background(), h.family, []iptables.Edit{
		newChain("nat", "N1"), newChain("mangle", "M1"), newChain("filter", "F1"), add("nat", "N1", "-j RETURN"),
		remove("mangle", "M1", "-j DROP"),
	})
	require.ErrorIs(h.t, err, fs.ErrNotExist)
	require.ErrorContains(h.t, err, "mangle -D M1 -j DROP")
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
