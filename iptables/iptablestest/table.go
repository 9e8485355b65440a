package iptablestest

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/iptables"
)

// table is one table of one family.
type table struct {
	family vipkit.Family
	name   string
	chains map[string]*chain
	// backend is that of the restore under way: nft, legacy, or empty for
	// whatever either refuses.
	backend string
}

// chain is a chain of a table; a chain of somebody's own has no policy.
type chain struct {
	policy   string
	counters iptables.Counters
	rules    []iptables.Rule
	counts   []iptables.Counters // of rules, one each
}

// insert puts a rule at an index.
func (c *chain) insert(i int, r iptables.Rule, n iptables.Counters) {
	c.rules, c.counts = slices.Insert(c.rules, i, r), slices.Insert(c.counts, i, n)
}

func newTable(family vipkit.Family, name string) *table {
	t := &table{family: family, name: name, chains: map[string]*chain{}}
	for _, c := range iptables.BuiltinChains(name) {
		t.chains[c] = &chain{policy: "ACCEPT"}
	}
	return t
}

// load makes a table of what iptables-save printed.
func load(family vipkit.Family, from iptables.Table, sets func(string) bool) (*table, error) {
	if iptables.BuiltinChains(from.Name) == nil {
		return nil, fmt.Errorf("iptables-save: no table %q", from.Name)
	}
	t := newTable(family, from.Name)
	var edits []iptables.Edit
	for _, c := range from.Chains {
		if own := t.chains[c.Name]; own != nil {
			own.policy, own.counters = c.Policy, c.Counters
			continue
		}
		edits = append(edits, iptables.Edit{Table: t.name, Verb: iptables.NewChain, Chain: c.Name})
	}
	for _, c := range from.Chains {
		for i, r := range c.Rules {
			e := iptables.Edit{Table: t.name, Verb: iptables.Append, Chain: c.Name, Rule: r}
			if i < len(c.RuleCounters) {
				e.Counters = c.RuleCounters[i]
			}
			edits = append(edits, e)
		}
	}
	if err := iptables.Validate(family, edits); err != nil {
		return nil, err
	}
	return t, t.restore(edits, sets)
}

func (t *table) clone() *table {
	c := &table{family: t.family, name: t.name, chains: make(map[string]*chain, len(t.chains))}
	for name, from := range t.chains {
		clone := *from
		clone.rules, clone.counts = slices.Clone(from.rules), slices.Clone(from.counts)
		c.chains[name] = &clone
	}
	return c
}

// used reports whether anything differs from what the kernel made.
func (t *table) used() bool {
	for _, c := range t.chains {
		if c.policy != "ACCEPT" || len(c.rules) > 0 {
			return true
		}
	}
	return false
}

// save returns the table with its built-in chains first and the others by name,
// as both back ends do.
func (t *table) save(counters bool) iptables.Table {
	builtin := iptables.BuiltinChains(t.name)
	names := slices.Clone(builtin)
	for _, name := range slices.Sorted(maps.Keys(t.chains)) {
		if !slices.Contains(builtin, name) {
			names = append(names, name)
		}
	}
	saved := iptables.Table{Name: t.name}
	for _, name := range names {
		from := t.chains[name]
		c := iptables.Chain{Name: name, Policy: from.policy, Rules: slices.Clone(from.rules)}
		if counters {
			c.Counters, c.RuleCounters = from.counters, slices.Clone(from.counts)
		}
		saved.Chains = append(saved.Chains, c)
	}
	return saved
}

// restore carries out those of the edits that are for this table, and then has
// the kernel's look at the whole. The caller throws the table away if it fails.
func (t *table) restore(edits []iptables.Edit, sets func(string) bool) error {
	for _, c := range t.chains {
		if t.backend == "legacy" {
			c.counters = iptables.Counters{}
		}
	}
	for _, e := range edits {
		if e.Table != t.name {
			continue
		}
		if err := t.edit(e, sets); err != nil {
			return err
		}
	}
	return t.check()
}

// edit does what iptables-restore does with a line.
func (t *table) edit(e iptables.Edit, sets func(string) bool) error {
	e.Rule = iptables.Normalize(t.family, e.Rule)
	takesRule := e.Verb == iptables.Append || e.Verb == iptables.Insert || e.Verb == iptables.Delete
	if takesRule {
		if reason := t.ruleFault(e.Chain, e.Rule, sets); reason != "" {
			return refuse(e, fs.ErrInvalid, reason)
		}
	}
	c := t.chains[e.Chain]
	if c == nil && e.Verb != iptables.NewChain {
		return refuse(e, fs.ErrNotExist, "no such chain")
	}
	if takesRule && e.Verb != iptables.Delete && t.backend != "legacy" {
		if reason := t.misplaced(e.Rule, ""); reason != "" {
			return refuse(e, fs.ErrInvalid, reason)
		}
	}
	switch e.Verb {
	case iptables.NewChain:
		t.chains[e.Chain] = &chain{}
	case iptables.SetPolicy:
		c.policy, c.counters = e.Policy, e.Counters
	case iptables.Append:
		c.insert(len(c.rules), e.Rule, e.Counters)
	case iptables.Insert:
		if e.Pos > len(c.rules)+1 {
			return refuse(e, fs.ErrInvalid, "index of insertion too big")
		}
		c.insert(e.Pos-1, e.Rule, e.Counters)
	case iptables.Delete:
		i := slices.Index(c.rules, e.Rule)
		if i < 0 {
			return refuse(e, fs.ErrNotExist, "no such rule in that chain")
		}
		c.rules, c.counts = slices.Delete(c.rules, i, i+1), slices.Delete(c.counts, i, i+1)
	case iptables.DeleteChain:
		if len(c.rules) > 0 {
			return refuse(e, vipkit.ErrInUse, "chain is not empty")
		}
		if from := t.jumpTo(e.Chain); from != "" {
			return refuse(e, vipkit.ErrInUse, "chain "+from+" jumps to it")
		}
		delete(t.chains, e.Chain)
	}
	return nil
}

// jumpTo returns a chain that jumps to the named one, or "".
func (t *table) jumpTo(name string) string {
	for _, from := range slices.Sorted(maps.Keys(t.chains)) {
		for _, r := range t.chains[from].rules {
			if r.Target() == name {
				return from
			}
		}
	}
	return ""
}

func refuse(e iptables.Edit, kind error, detail string) error {
	return &vipkit.OpError{Op: "iptables restore", Object: e.String(), Kind: kind, Detail: detail}
}
