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
	chains := map[string]bool{}
	for _, name := range BuiltinChains(before.Name) {
		chains[name] = true
	}
	for _, c := range before.Chains {
		chains[c.Name] = true
	}
	for _, e := range edits[:bad] {
		if e.Table != before.Name {
			continue
		}
		if e.Verb == NewChain || e.Verb == DeleteChain {
			chains[e.Chain] = e.Verb == NewChain
		}
	}
	e := edits[bad]
	switch {
	case !chains[e.Chain], e.Verb == Delete:
		return fs.ErrNotExist
	case e.Verb == DeleteChain:
		return vipkit.ErrInUse
	}
	return fs.ErrInvalid
}
