package proxier

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/iptables"
)

// chainID names a chain within a family.
type chainID struct{ table, chain string }

// ruleset is what is ours in one family's tables: our chains, and the jumps to
// them from the built-in ones.
type ruleset struct {
	chains map[chainID][]iptables.Rule
	// jumps are the positions (from 1) of our jumps in built-in chains.
	jumps map[chainID][]jump
}

type jump struct {
	pos  int
	rule iptables.Rule
}

// ourTables are the tables that we have chains in, in the order of the hooks.
var ourTables = []string{"mangle", "nat", "filter"}

// rules returns the chains and jumps of one family. Their number depends on
// nothing: services are entries of sets. Each rule is written as iptables-save
// prints it.
//
// A packet meets, before IPVS (LOCAL_IN at priority 99 and LOCAL_OUT at -98,
// net/netfilter/ipvs/ip_vs_core.c, ip_vs_ops4): mangle (-150), nat (-100) and,
// if it is not the host's own, filter INPUT (0). So what must hold for the
// host's own packets too is said in mangle.
func (c *config) rules(f vipkit.Family) ruleset {
	set := func(id setID) string { return c.setName(id, f) }
	mark := fmt.Sprintf("%#x/%#x", c.MasqueradeMark, c.MasqueradeMark)
	icmp := "icmp"
	reject := "icmp-port-unreachable"
	if f == vipkit.IPv6 {
		icmp, reject = "ipv6-icmp", "icmp6-port-unreachable"
	}
	toCluster := "-m set --match-set " + set(setCluster) + " dst,dst"
	if !c.MasqueradeAll {
		toCluster += " -m set ! --match-set " + set(setClusterNets) + " src"
	}
	local := "-m set --match-set " + set(setLocal) + " dst,dst"
	name := func(word string) string { return c.Prefix + "-" + word }
	to := func(word string) iptables.Rule { return iptables.Rule("-j " + name(word)) }

	r := ruleset{chains: make(map[chainID][]iptables.Rule), jumps: make(map[chainID][]jump)}
	chain := func(table, word string, rules ...iptables.Rule) {
		r.chains[chainID{table, name(word)}] = rules
	}
	hook := func(table, builtin, word string) {
		r.jumps[chainID{table, builtin}] = []jump{{1, to(word)}}
	}

	// Who may come in at all.
	chain("mangle", "GATE",
		iptables.Rule("-m set --match-set "+set(setRanged)+" dst,dst -m set ! --match-set "+set(setRanges)+" dst,dst,src -j DROP"),
		iptables.Rule("-m set --match-set "+set(setDrop)+" dst,dst -j DROP"))
	// Policy Local: clients from outside get the mark of the virtual server
	// that has this node's endpoints, or the mark to drop where there is none.
	chain("mangle", "PREROUTING",
		to("GATE"),
		iptables.Rule(local+" -m set ! --match-set "+set(setPods)+" src -j SET --map-set "+set(setLocal)+" dst,dst --map-mark"),
		iptables.Rule(fmt.Sprintf("%s -m mark --mark %#x -j DROP", local, c.dropMark)))
	hook("mangle", "PREROUTING", "PREROUTING")
	hook("mangle", "OUTPUT", "GATE")

	// Who gets source NAT.
	chain("nat", "MARK", iptables.Rule("-j MARK --set-xmark "+mark))
	chain("nat", "SERVICES",
		iptables.Rule(toCluster)+" "+to("MARK"),
		iptables.Rule("-m set --match-set "+set(setExternal)+" dst,dst ")+to("MARK"),
		iptables.Rule(local+" -m addrtype --src-type LOCAL ")+to("MARK"))
	chain("nat", "POSTROUTING",
		iptables.Rule("-m set --match-set "+set(setHairpin)+" dst,dst,src -j MASQUERADE"),
		iptables.Rule("-m mark ! --mark "+mark+" -j RETURN"),
		iptables.Rule(fmt.Sprintf("-j MARK --set-xmark 0x0/%#x", c.MasqueradeMark)),
		"-j MASQUERADE")
	hook("nat", "PREROUTING", "SERVICES")
	hook("nat", "OUTPUT", "SERVICES")
	hook("nat", "POSTROUTING", "POSTROUTING")

	// A virtual address exposes its services and nothing else of this host.
	chain("filter", "INPUT",
		iptables.Rule("-m set ! --match-set "+set(setAddresses)+" dst -j RETURN"),
		iptables.Rule("-p "+icmp+" -j RETURN"),
		iptables.Rule("-m set ! --match-set "+set(setOpen)+" dst,dst -m conntrack --ctstate NEW -j REJECT --reject-with "+reject))
	hook("filter", "INPUT", "INPUT")
	return r
}

// readRuleset picks what is ours out of the tables of one family, all of them
// ours to read ([ourTables]).
func (c *config) readRuleset(tables []iptables.Table) ruleset {
	r := ruleset{chains: make(map[chainID][]iptables.Rule), jumps: make(map[chainID][]jump)}
	own, jumps := iptables.Owned(tables, c.Prefix+"-")
	for _, t := range own {
		for _, ch := range t.Chains {
			r.chains[chainID{t.Name, ch.Name}] = ch.Rules
		}
	}
	for _, j := range jumps {
		// From a chain of somebody's own: what it jumps to is theirs to say.
		if slices.Contains(iptables.BuiltinChains(j.Table), j.Chain) {
			id := chainID{j.Table, j.Chain}
			r.jumps[id] = append(r.jumps[id], jump{j.Pos, j.Rule})
		}
	}
	return r
}

// editRules returns the edits that make want of have, none if they agree. A
// table that differs anywhere is written whole: a restore is atomic by table.
func editRules(have, want ruleset) []iptables.Edit {
	var edits []iptables.Edit
	for _, table := range ourTables {
		if !sameTable(have, want, table) {
			edits = append(edits, editTable(have, want, table)...)
		}
	}
	return edits
}

func editTable(have, want ruleset, table string) []iptables.Edit {
	var edits []iptables.Edit
	edit := func(v iptables.Verb, chain string, pos int, r iptables.Rule) {
		edits = append(edits, iptables.Edit{Table: table, Verb: v, Chain: chain, Pos: pos, Rule: r})
	}
	for _, id := range chainsOf(want.chains, table) {
		edit(iptables.NewChain, id.chain, 0, "")
	}
	for _, id := range chainsOf(want.chains, table) {
		for _, r := range want.chains[id] {
			edit(iptables.Append, id.chain, 0, r)
		}
	}
	for _, id := range chainsOf(have.jumps, table) {
		if !slices.Equal(have.jumps[id], want.jumps[id]) {
			for _, j := range have.jumps[id] {
				edit(iptables.Delete, id.chain, 0, j.rule)
			}
		}
	}
	for _, id := range chainsOf(want.jumps, table) {
		if !slices.Equal(have.jumps[id], want.jumps[id]) {
			for _, j := range want.jumps[id] {
				edit(iptables.Insert, id.chain, j.pos, j.rule)
			}
		}
	}
	// What is ours and not wanted: emptied first, because chains of it may
	// jump to one another.
	var gone []chainID
	for _, id := range chainsOf(have.chains, table) {
		if _, wanted := want.chains[id]; !wanted {
			gone = append(gone, id)
			edit(iptables.NewChain, id.chain, 0, "")
		}
	}
	for _, id := range gone {
		edit(iptables.DeleteChain, id.chain, 0, "")
	}
	return edits
}

func sameTable(have, want ruleset, table string) bool {
	h, w := chainsOf(have.chains, table), chainsOf(want.chains, table)
	if !slices.Equal(h, w) {
		return false
	}
	for _, id := range w {
		if !slices.Equal(have.chains[id], want.chains[id]) {
			return false
		}
	}
	hj, wj := chainsOf(have.jumps, table), chainsOf(want.jumps, table)
	if !slices.Equal(hj, wj) {
		return false
	}
	for _, id := range wj {
		if !slices.Equal(have.jumps[id], want.jumps[id]) {
			return false
		}
	}
	return true
}

// chainsOf returns the keys of m in one table, sorted by chain.
func chainsOf[V any](m map[chainID]V, table string) []chainID {
	var ids []chainID
	for id := range m {
		if id.table == table {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b chainID) int { return strings.Compare(a.chain, b.chain) })
	return ids
}
