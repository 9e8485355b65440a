package iptables

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/vipkit/vipkit"
)

// refused finds the edits that a failure is about: one where that is certain,
// otherwise all those of the table, in order. It returns none if the failure
// names no line.
func (in input) refused(edits []Edit, f failure) []Edit {
	if f.line <= 0 || f.line >= len(in.edits) {
		return nil
	}
	if i := in.edits[f.line]; i >= 0 && f.chain == "" {
		return edits[i : i+1]
	}
	var all, rules []Edit
	for _, e := range edits {
		if e.Table != in.tables[f.line] {
			continue
		}
		all = append(all, e)
		if e.Verb == Append || e.Verb == Insert {
			rules = append(rules, e)
		}
	}
	if f.chain != "" {
		if i := slices.IndexFunc(all, func(e Edit) bool { return e.Rule.Target() == f.chain }); i >= 0 {
			return all[i : i+1]
		}
	}
	// The kernel refused what the tool put together: only a new rule can be
	// the reason.
	if len(rules) == 1 {
		return rules
	}
	return all
}

// describe writes edits as the object of an error: one in full, several in
// short.
func describe(edits []Edit) string {
	const enough = 3
	switch {
	case len(edits) == 0:
		return ""
	case len(edits) == 1:
		return edits[0].String()
	}
	var parts []string
	for _, e := range edits[:min(len(edits), enough)] {
		parts = append(parts, e.line())
	}
	text := edits[0].Table + " " + strings.Join(parts, "; ")
	if n := len(edits) - enough; n > 0 {
		text += fmt.Sprintf("; and %d more", n)
	}
	return text
}

// diagnose says why the edit at index bad was refused, given the table as it was
// before, for the back end that does not say so itself.
func diagnose(before Table, edits []Edit, bad int) error {
	type chain struct{ rules, uses int }
	chains := map[string]chain{}
	use := func(r Rule, n int) {
		if c, ok := chains[r.Target()]; ok {
			c.uses += n
			chains[r.Target()] = c
		}
	}
	for _, name := range BuiltinChains(before.Name) {
		chains[name] = chain{}
	}
	for _, c := range before.Chains {
		chains[c.Name] = chain{rules: len(c.Rules)}
	}
	for _, c := range before.Chains {
		for _, r := range c.Rules {
			use(r, 1)
		}
	}
	for _, e := range edits[:bad] {
		if e.Table != before.Name {
			continue
		}
		c := chains[e.Chain]
		switch e.Verb {
		case NewChain:
			c.rules = 0
		case Append, Insert:
			c.rules++
		case Delete:
			c.rules--
		}
		chains[e.Chain] = c
		if e.Verb == DeleteChain {
			delete(chains, e.Chain)
		}
	}
	e := edits[bad]
	_, there := chains[e.Chain]
	switch {
	case !there, e.Verb == Delete:
		return fs.ErrNotExist
	case e.Verb == DeleteChain:
		return vipkit.ErrInUse
	}
	return fs.ErrInvalid
}
