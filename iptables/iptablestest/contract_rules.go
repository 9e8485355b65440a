package iptablestest

import (
	"context"
	"io/fs"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/iptables"
)

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

// testPolicies sets policies: rules stay, and a table with a policy of DROP is in use.
func testPolicies(h host) {
	policy := func(chain, policy string) iptables.Edit {
		return iptables.Edit{Table: "filter", Verb: iptables.SetPolicy, Chain: chain, Policy: policy}
	}
	h.restore(add("filter", "FORWARD", "-p tcp -j ACCEPT"), policy("FORWARD", "DROP"))
	require.Equal(h.t, "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A FORWARD -p tcp -j ACCEPT\nCOMMIT\n", h.dump())
	h.restore(remove("filter", "FORWARD", "-p tcp -j ACCEPT"))
	require.Contains(h.t, h.dump(), ":FORWARD DROP")
	for _, e := range []iptables.Edit{
		policy("FORWARD", "RETURN"), policy("FORWARD", "-"), policy("FORWARD", ""), policy("PREROUTING", "DROP"), policy("TT", "DROP"),
		{Table: "filter", Verb: iptables.SetPolicy, Chain: "INPUT", Policy: "DROP", Rule: "-p tcp"},
		{Table: "filter", Verb: iptables.Append, Chain: "INPUT", Policy: "DROP"},
		{Table: "filter", Verb: iptables.Delete, Chain: "INPUT", Counters: iptables.Counters{Packets: 1}},
	} {
		require.ErrorIs(h.t, h.Restore(context.Background(), h.family, []iptables.Edit{newChain("filter", "TT"), e}), fs.ErrInvalid, "%v", e)
	}
	h.restore(policy("FORWARD", "ACCEPT"))
	require.Empty(h.t, h.dump())
}

// testDuplicates shows why a chain is declared before it is filled: then the same
// restore again changes nothing. Without the chain's line every rule is there twice.
func testDuplicates(h host) {
	declared := []iptables.Edit{newChain("nat", "TT"), add("nat", "TT", "-p tcp -j RETURN"), add("nat", "TT", "-p udp -j RETURN")}
	h.restore(declared...)
	once := h.dump()
	h.restore(declared...)
	require.Equal(h.t, once, h.dump(), "declared: complete, not added")
	h.restore(declared[1:]...)
	require.Equal(h.t, []iptables.Rule{"-p tcp -j RETURN", "-p udp -j RETURN", "-p tcp -j RETURN", "-p udp -j RETURN"}, h.rules("nat", "TT"))
	h.restore(declared...)
	require.Equal(h.t, once, h.dump(), "and a complete restore repairs it")
}

// testAgain repeats a restore whose reply may have been lost, jump and all: nothing is
// there twice. The jump goes with a deletion of what Save finds.
func testAgain(h host) {
	write := func() error {
		tables, err := h.Save(context.Background(), h.family)
		require.NoError(h.t, err)
		_, jumps := iptables.Owned(tables, "TT")
		edits := []iptables.Edit{newChain("nat", "TT"), add("nat", "TT", "-j RETURN")}
		for _, j := range jumps {
			edits = append(edits, remove(j.Table, j.Chain, j.Rule))
		}
		return h.Restore(context.Background(), h.family, append(edits, insert("nat", "PREROUTING", 1, "-j TT")))
	}
	require.NoError(h.t, write())
	once := h.dump()
	require.NoError(h.t, write())
	require.Equal(h.t, once, h.dump())

	// A refused one leaves what was there, and none of itself.
	err := h.Restore(context.Background(), h.family, []iptables.Edit{
		newChain("nat", "TT"), add("nat", "TT", "-p tcp -j RETURN"), insert("nat", "PREROUTING", 1, "-j TT"), add("nat", "TT", "-j NONE"),
	})
	require.ErrorIs(h.t, err, fs.ErrInvalid)
	require.Equal(h.t, once, h.dump())
}

// testPosition has somebody else's rule get before a jump: Owned says where the jump
// is now, and one restore puts it back.
func testPosition(h host) {
	jump := func() iptables.Jump {
		tables, err := h.Save(context.Background(), h.family, "nat")
		require.NoError(h.t, err)
		_, jumps := iptables.Owned(tables, "TT")
		require.Len(h.t, jumps, 1)
		return jumps[0]
	}
	h.restore(newChain("nat", "TT"), add("nat", "POSTROUTING", "-p udp -j ACCEPT"), insert("nat", "POSTROUTING", 1, "-j TT"))
	want := iptables.Jump{Table: "nat", Chain: "POSTROUTING", Pos: 1, Rule: "-j TT", To: "TT"}
	require.Equal(h.t, want, jump())
	h.restore(insert("nat", "POSTROUTING", 1, "-p tcp -j ACCEPT"))
	drifted := jump()
	require.NotEqual(h.t, want, drifted)
	require.Equal(h.t, 2, drifted.Pos)
	h.restore(remove(drifted.Table, drifted.Chain, drifted.Rule), insert(want.Table, want.Chain, want.Pos, want.Rule))
	require.Equal(h.t, want, jump())
	require.Equal(h.t, []iptables.Rule{"-j TT", "-p tcp -j ACCEPT", "-p udp -j ACCEPT"}, h.rules("nat", "POSTROUTING"))
}

// testMissingSet names a set that is not there, in a match and in a target.
func testMissingSet(h host) {
	h.restore(newChain("mangle", "TT"), add("mangle", "TT", "-m set --match-set "+theSet+" src -j RETURN"))
	before := h.dump()
	for _, r := range []iptables.Rule{"-m set --match-set MISSING src -j RETURN", "-j SET --map-set MISSING src --map-mark", "-j SET --add-set MISSING src"} {
		err := h.Restore(context.Background(), h.family, []iptables.Edit{newChain("mangle", "TT"), add("mangle", "TT", r)})
		require.ErrorIs(h.t, err, fs.ErrInvalid)
		require.ErrorContains(h.t, err, "mangle -A TT "+string(r))
		require.ErrorContains(h.t, err, "MISSING")
		require.NotContains(h.t, err.Error(), "missing kernel module", "that is no reason here")
		require.Equal(h.t, before, h.dump())
	}
}

// testReferencedChain deletes a chain that a rule jumps or goes to.
func testReferencedChain(h host) {
	h.restore(newChain("filter", "T1"), newChain("filter", "T2"), add("filter", "INPUT", "-j T1"), add("filter", "T1", "-g T2"))
	before := h.dump()
	for _, name := range []string{"T1", "T2"} {
		edits := []iptables.Edit{deleteChain("filter", name)}
		if name == "T1" { // empty, so that the jump alone is the reason
			edits = []iptables.Edit{newChain("filter", name), deleteChain("filter", name)}
		}
		err := h.Restore(context.Background(), h.family, edits)
		require.ErrorIs(h.t, err, vipkit.ErrInUse, name)
		require.ErrorContains(h.t, err, "filter -X "+name)
		require.Equal(h.t, before, h.dump())
	}
	h.restore(remove("filter", "INPUT", "-j T1"), newChain("filter", "T1"), deleteChain("filter", "T1"), deleteChain("filter", "T2"))
	require.Empty(h.t, h.dump())
}

// testNonEmptyChain deletes a chain that has rules, and one that only just got one.
func testNonEmptyChain(h host) {
	h.restore(newChain("filter", "TT"), add("filter", "TT", "-j RETURN"))
	before := h.dump()
	require.ErrorIs(h.t, h.Restore(context.Background(), h.family, []iptables.Edit{deleteChain("filter", "TT")}), vipkit.ErrInUse)
	require.ErrorIs(h.t, h.Restore(context.Background(), h.family, []iptables.Edit{
		newChain("filter", "T2"), add("filter", "T2", "-j RETURN"), deleteChain("filter", "T2"),
	}), vipkit.ErrInUse)
	require.Equal(h.t, before, h.dump())
	h.restore(remove("filter", "TT", "-j RETURN"), deleteChain("filter", "TT"))
	require.Empty(h.t, h.dump())
}

// testInsertBeforeDeleted inserts in front of a rule that the same restore adds and
// deletes again. The back ends differ.
func testInsertBeforeDeleted(h host) {
	info, err := h.Info(context.Background(), h.family)
	require.NoError(h.t, err)
	h.restore(add("filter", "INPUT", "-p tcp"))
	before := h.dump()
	edits := []iptables.Edit{
		add("filter", "INPUT", "-p udp"), insert("filter", "INPUT", 2, "-j RETURN"), insert("filter", "INPUT", 1, "-j ACCEPT"), remove("filter", "INPUT", "-p udp"),
	}
	err = h.Restore(context.Background(), h.family, edits)
	if info.Backend == "legacy" {
		require.NoError(h.t, err)
		require.Equal(h.t, []iptables.Rule{"-j ACCEPT", "-p tcp", "-j RETURN"}, h.rules("filter", "INPUT"))
		return
	}
	require.ErrorIs(h.t, err, fs.ErrInvalid)
	require.ErrorContains(h.t, err, "filter -I INPUT 2 -j RETURN")
	require.Equal(h.t, before, h.dump())
	// In front of one that was there before, and is deleted, it may be, and so may the first.
	h.restore(add("filter", "INPUT", "-p 41"), add("filter", "INPUT", "-p 42"))
	h.restore(insert("filter", "INPUT", 2, "-j RETURN"), remove("filter", "INPUT", "-p 41"))
	h.restore(insert("filter", "INPUT", 1, "-p udp"), insert("filter", "INPUT", 1, "-j ACCEPT"), remove("filter", "INPUT", "-p udp"))
	require.Equal(h.t, []iptables.Rule{"-j ACCEPT", "-p tcp", "-j RETURN", "-p 42"}, h.rules("filter", "INPUT"))
}
