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
	rules    []rule
}

// rule is a rule as Save prints it, and taken apart.
type rule struct {
	text     iptables.Rule
	spec     iptables.Spec
	counters iptables.Counters
	// Of the restore under way: whether it added the rule, and the first edit that
	// put another one in front of it.
	added bool
	front *iptables.Edit
}

func newTable(family vipkit.Family, name string) *table {
	t := &table{family: family, name: name, chains: map[string]*chain{}}
	for _, c := range iptables.BuiltinChains(name) {
		t.chains[c] = &chain{policy: "ACCEPT"}
	}
	return t
}

// load makes a table of what iptables-save printed.
func load(family vipkit.Family, from iptables.Table, backend string, sets func(string) bool) (*table, error) {
	if iptables.BuiltinChains(from.Name) == nil {
		return nil, fmt.Errorf("iptables-save: no table %q", from.Name)
	}
	t := newTable(family, from.Name)
	t.backend = backend
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

// forget sets the counters of the policies to zero.
func (t *table) forget() {
	for _, c := range t.chains {
		c.counters = iptables.Counters{}
	}
}

func (t *table) clone() *table {
	c := &table{family: t.family, name: t.name, chains: make(map[string]*chain, len(t.chains))}
	for name, from := range t.chains {
		clone := *from
		clone.rules = slices.Clone(from.rules)
		for i := range clone.rules {
			clone.rules[i].added, clone.rules[i].front = false, nil
		}
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
		c := iptables.Chain{Name: name, Policy: from.policy}
		for _, r := range from.rules {
			c.Rules = append(c.Rules, r.text)
			if counters {
				c.RuleCounters = append(c.RuleCounters, r.counters)
			}
		}
		if counters {
			c.Counters = from.counters
		}
		saved.Chains = append(saved.Chains, c)
	}
	return saved
}

// restore carries out those of the edits that are for this table, and then has
// the kernel's look at the whole. The caller throws the table away if it fails.
func (t *table) restore(edits []iptables.Edit, sets func(string) bool) error {
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
	spec, err := e.Rule.Parse()
	if err != nil {
		return refuse(e, fs.ErrInvalid, err.Error())
	}
	r := rule{text: e.Rule, spec: spec, counters: e.Counters, added: true}
	if takesRule {
		if reason := t.ruleFault(e.Chain, r, sets); reason != "" {
			return refuse(e, fs.ErrInvalid, reason)
		}
	}
	c := t.chains[e.Chain]
	if c == nil && e.Verb != iptables.NewChain {
		return refuse(e, fs.ErrNotExist, "no such chain")
	}
	if takesRule && e.Verb != iptables.Delete && t.backend != "legacy" {
		if reason := t.misplaced(r, ""); reason != "" {
			return refuse(e, fs.ErrInvalid, reason)
		}
	}
	switch e.Verb {
	case iptables.NewChain:
		t.chains[e.Chain] = &chain{}
	case iptables.SetPolicy:
		c.policy, c.counters = e.Policy, e.Counters
	case iptables.Append:
		c.rules = append(c.rules, r)
	case iptables.Insert:
		if e.Pos > len(c.rules)+1 {
			return refuse(e, fs.ErrInvalid, "index of insertion too big")
		}
		if 1 < e.Pos && e.Pos <= len(c.rules) && c.rules[e.Pos-1].front == nil {
			c.rules[e.Pos-1].front = &e // the first of a chain is put there without it
		}
		c.rules = slices.Insert(c.rules, e.Pos-1, r)
	case iptables.Delete:
		i := slices.IndexFunc(c.rules, func(have rule) bool { return have.text == r.text })
		if i < 0 {
			return refuse(e, fs.ErrNotExist, "no such rule in that chain")
		}
		if gone := c.rules[i]; gone.added && gone.front != nil && t.backend != "legacy" {
			// The tool gives it another number, and the kernel does not find the
			// one that the insertion named (iptables/nft.c, __nft_rule_del).
			return refuse(*gone.front, fs.ErrInvalid, "in front of a rule that is added and deleted by the same restore")
		}
		c.rules = slices.Delete(c.rules, i, i+1)
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
			if r.spec.Target.Name == name {
				return from
			}
		}
	}
	return ""
}

func refuse(e iptables.Edit, kind error, detail string) error {
	return &vipkit.OpError{Op: "iptables restore", Object: e.String(), Kind: kind, Detail: detail}
}
