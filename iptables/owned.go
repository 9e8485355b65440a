package iptables

import "strings"

// Jump is a rule that sends packets to a chain, and where it is. It is
// comparable.
type Jump struct {
	Table, Chain string
	// Pos is the rule's position in Chain, counted from 1.
	Pos int
	// Rule is the rule; To the chain that it jumps or goes to.
	Rule Rule
	To   string
}

// Owned returns what in tables carries a prefix: the chains whose names begin
// with it, table by table, with their rules; and the jumps to such chains from
// chains of others, in order. Tables without either are left out.
func Owned(tables []Table, prefix string) (own []Table, jumps []Jump) {
	for _, t := range tables {
		mine := Table{Name: t.Name}
		for _, c := range t.Chains {
			if strings.HasPrefix(c.Name, prefix) {
				mine.Chains = append(mine.Chains, c)
				continue
			}
			for i, r := range c.Rules {
				if to := r.Target(); strings.HasPrefix(to, prefix) {
					jumps = append(jumps, Jump{Table: t.Name, Chain: c.Name, Pos: i + 1, Rule: r, To: to})
				}
			}
		}
		if mine.Chains != nil {
			own = append(own, mine)
		}
	}
	return own, jumps
}

// Target returns the chain or target that the rule jumps or goes to, and "" if
// it has none or cannot be read.
func (r Rule) Target() string {
	s, err := parseSpec(r)
	if err != nil {
		return ""
	}
	return s.target.name
}

// Sets returns the names of the IP sets that the rule refers to, in order.
func (r Rule) Sets() []string {
	s, err := parseSpec(r)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range append(s.matches, s.target) {
		for _, o := range e.options {
			switch o.name {
			case "--match-set", "--map-set", "--add-set", "--del-set":
				if len(o.args) > 0 {
					names = append(names, o.args[0].text)
				}
			}
		}
	}
	return names
}
