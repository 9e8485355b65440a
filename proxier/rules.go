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
	// jumps are our jumps in built-in chains.
	jumps map[chainID][]jump
}

// jump is a jump to a chain of ours.
type jump struct {
	rule iptables.Rule
	// first says that nothing comes before it but other bare jumps, such as
	// those of another instance, which may want to be first as well.
	first bool
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
	icmp, echo := "icmp", "-m icmp --icmp-type 8"
	reject := "icmp-port-unreachable"
	if f == vipkit.IPv6 {
		icmp, reject, echo = "ipv6-icmp", "icmp6-port-unreachable", "-m icmp6 --icmpv6-type 128"
	}
	masquerade := iptables.Rule("-j MASQUERADE")
	if c.RandomFully {
		masquerade += " --random-fully"
	}
	notByPod := ""
	if c.PodLink != "" {
		notByPod = "! -i " + c.PodLink + " "
	}
	toCluster := notByPod + "-m set --match-set " + set(setCluster) + " dst,dst"
	if c.MasqueradeAll {
		toCluster = "-m set --match-set " + set(setCluster) + " dst,dst"
	}
	if !c.MasqueradeAll {
		toCluster += " -m set ! --match-set " + set(setClusterNets) + " src"
	}
	local := "-m set --match-set " + set(setLocal) + " dst,dst"
	absent := "-m set --match-set " + set(setAbsent) + " dst,dst"
	outside := " -m set ! --match-set " + set(setPods) + " src"
	byHost := iptables.Rule(" -m addrtype --src-type LOCAL ")
	name := func(word string) string { return c.Prefix + "-" + word }
	to := func(word string) iptables.Rule { return iptables.Rule("-j " + name(word)) }

	r := ruleset{chains: make(map[chainID][]iptables.Rule), jumps: make(map[chainID][]jump)}
	chain := func(table, word string, rules ...iptables.Rule) {
		r.chains[chainID{table, name(word)}] = rules
	}
	hook := func(table, builtin, word string) {
		r.jumps[chainID{table, builtin}] = []jump{{to(word), true}}
	}

	// Who may come in at all.
	chain("mangle", "GATE",
		iptables.Rule("-m set --match-set "+set(setRanged)+" dst,dst -m set ! --match-set "+set(setRanges)+" dst,dst,src -j DROP"),
		iptables.Rule("-m set --match-set "+set(setDrop)+" dst,dst -j DROP"))
	// Policy Local: clients from outside get the mark of the virtual server
	// that has this node's endpoints, or nothing where there is none. The host's
	// own packets do not come here, and IPVS is next: nobody else's marks, and
	// no routing by mark, come between.
	chain("mangle", "INPUT",
		to("GATE"),
		iptables.Rule(notByPod+absent+outside+" -j DROP"),
		iptables.Rule(notByPod+local+outside+" -j SET --map-set "+set(setLocal)+" dst,dst --map-mark"))
	hook("mangle", "INPUT", "INPUT")
	hook("mangle", "OUTPUT", "GATE")

	// Who gets source NAT.
	chain("nat", "MARK", iptables.Rule("-j MARK --set-xmark "+mark))
	chain("nat", "SERVICES",
		iptables.Rule(toCluster)+" "+to("MARK"),
		iptables.Rule("-m set --match-set "+set(setExternal)+" dst,dst ")+to("MARK"),
		iptables.Rule(local)+byHost+to("MARK"),
		iptables.Rule(absent)+byHost+to("MARK"))
	chain("nat", "POSTROUTING",
		iptables.Rule("-m set --match-set "+set(setHairpin)+" dst,dst,src ")+masquerade,
		iptables.Rule("-m mark ! --mark "+mark+" -j RETURN"),
		iptables.Rule(fmt.Sprintf("-j MARK --set-xmark 0x0/%#x", c.MasqueradeMark)),
		masquerade)
	hook("nat", "PREROUTING", "SERVICES")
	hook("nat", "OUTPUT", "SERVICES")
	hook("nat", "POSTROUTING", "POSTROUTING")

	// A virtual address exposes its services and nothing else of this host.
	exposed := []iptables.Rule{iptables.Rule("-m set ! --match-set " + set(setAddresses) + " dst -j RETURN")}
	if c.NoPing {
		exposed = append(exposed, iptables.Rule("-p "+icmp+" "+echo+" -j DROP"))
	}
	chain("filter", "INPUT", append(exposed,
		iptables.Rule("-p "+icmp+" -j RETURN"),
		iptables.Rule("-m set --match-set "+set(setHealth)+" dst,dst -j RETURN"),
		iptables.Rule("-m set ! --match-set "+set(setOpen)+" dst,dst -m conntrack ! --ctstate RELATED,ESTABLISHED -j REJECT --reject-with "+reject))...)
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
			r.jumps[id] = append(r.jumps[id], jump{j.Rule, onlyJumpsBefore(tables, j)})
		}
	}
	return r
}

// onlyJumpsBefore reports whether the rules before j in its chain are jumps
// without a condition, and to chains.
func onlyJumpsBefore(tables []iptables.Table, j iptables.Jump) bool {
	for _, t := range tables {
		if t.Name != j.Table {
			continue
		}
		chain := func(name string) int {
			return slices.IndexFunc(t.Chains, func(c iptables.Chain) bool { return c.Name == name })
		}
		for _, r := range t.Chains[chain(j.Chain)].Rules[:j.Pos-1] {
			if to := r.Target(); r != iptables.Rule("-j "+to) || chain(to) < 0 {
				return false
			}
		}
	}
	return true
}

// editRules returns the edits that make want of have, none if they agree. A
// restore is atomic by table.
func editRules(have, want ruleset) []iptables.Edit {
	var edits []iptables.Edit
	for _, table := range ourTables {
		edits = append(edits, editChains(have, want, table)...)
		edits = append(edits, editJumps(have, want, table)...)
		edits = append(edits, removeChains(have, want, table)...)
	}
	return edits
}

// editChains writes the chains of a table whole if one of them differs.
func editChains(have, want ruleset, table string) []iptables.Edit {
	ids := chainsOf(want.chains, table)
	if !slices.ContainsFunc(ids, func(id chainID) bool {
		rules, there := have.chains[id]
		return !there || !slices.Equal(rules, want.chains[id])
	}) {
		return nil
	}
	var edits []iptables.Edit
	for _, id := range ids {
		edits = append(edits, iptables.Edit{Table: table, Verb: iptables.NewChain, Chain: id.chain})
	}
	for _, id := range ids {
		for _, r := range want.chains[id] {
			edits = append(edits, iptables.Edit{Table: table, Verb: iptables.Append, Chain: id.chain, Rule: r})
		}
	}
	return edits
}

// editJumps makes each jump be there once and first.
func editJumps(have, want ruleset, table string) []iptables.Edit {
	var deletes, inserts []iptables.Edit
	for _, id := range chainsOf(have.jumps, table) {
		if !slices.Equal(have.jumps[id], want.jumps[id]) {
			for _, j := range have.jumps[id] {
				deletes = append(deletes, iptables.Edit{Table: table, Verb: iptables.Delete, Chain: id.chain, Rule: j.rule})
			}
		}
	}
	for _, id := range chainsOf(want.jumps, table) {
		if !slices.Equal(have.jumps[id], want.jumps[id]) {
			for _, j := range want.jumps[id] {
				inserts = append(inserts, iptables.Edit{Table: table, Verb: iptables.Insert, Chain: id.chain, Pos: 1, Rule: j.rule})
			}
		}
	}
	return append(deletes, inserts...)
}

// removeChains removes chains that are ours and not wanted: emptied first,
// because one of them may jump to another.
func removeChains(have, want ruleset, table string) []iptables.Edit {
	var empty, remove []iptables.Edit
	for _, id := range chainsOf(have.chains, table) {
		if _, wanted := want.chains[id]; !wanted {
			empty = append(empty, iptables.Edit{Table: table, Verb: iptables.NewChain, Chain: id.chain})
			remove = append(remove, iptables.Edit{Table: table, Verb: iptables.DeleteChain, Chain: id.chain})
		}
	}
	return append(empty, remove...)
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
