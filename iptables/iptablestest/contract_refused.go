package iptablestest

import (
	"context"
	"io/fs"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/iptables"
)

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
		insert("filter", "TT", 1, "-j DROP"), remove("filter", "TT", "-j DROP"), insert("filter", "INPUT", 0, "-j DROP"), insert("filter", "INPUT", -1, "-j DROP"),
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
