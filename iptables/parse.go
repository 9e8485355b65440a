package iptables

import (
	"fmt"
	"strings"
)

// Parse reads what iptables-save prints. Counters and comment lines are left
// out; rules are taken as they are (see [Normalize]).
func Parse(text string) ([]Table, error) { return parse(text, false) }

// ParseCounters is Parse with the counters of chains and, where they were printed
// (iptables-save --counters), of rules.
func ParseCounters(text string) ([]Table, error) { return parse(text, true) }

func parse(text string, counters bool) ([]Table, error) {
	p := parser{counters: counters}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if err := p.line(line); err != nil {
			return nil, fmt.Errorf("iptables-save line %d: %w", n, err)
		}
	}
	if p.open {
		return nil, fmt.Errorf("iptables-save: table %s ends without COMMIT", p.tables[len(p.tables)-1].Name)
	}
	return p.tables, nil
}

// parser is what Parse knows so far. index finds a chain of the table that is
// open.
type parser struct {
	counters bool // are kept
	tables   []Table
	open     bool
	index    map[string]int
}

func (p *parser) line(line string) error {
	switch {
	case line[0] == '*':
		return p.table(line[1:])
	case !p.open:
		return fmt.Errorf("%q is in no table", line)
	case line == "COMMIT":
		p.open = false
		return nil
	case line[0] == ':':
		return p.chain(line[1:])
	}
	counters, line, err := cutCounters(line)
	if err != nil {
		return err
	}
	rest, ok := strings.CutPrefix(line, "-A ")
	if !ok {
		return fmt.Errorf("%q is neither a table, a chain nor a rule", line)
	}
	return p.rule(rest, counters)
}

func (p *parser) table(name string) error {
	if p.open {
		return fmt.Errorf("table %s begins before COMMIT", name)
	}
	if name == "" || strings.ContainsAny(name, " \t") {
		return fmt.Errorf("table name %q", name)
	}
	for _, t := range p.tables {
		if t.Name == name {
			return fmt.Errorf("table %s comes twice", name)
		}
	}
	p.tables = append(p.tables, Table{Name: name})
	p.open, p.index = true, map[string]int{}
	return nil
}

func (p *parser) chain(line string) error {
	name, rest, _ := strings.Cut(line, " ")
	policy, count, _ := strings.Cut(rest, " ")
	if name == "" || policy == "" {
		return fmt.Errorf("chain %q has no name or no policy", line)
	}
	if _, ok := p.index[name]; ok {
		return fmt.Errorf("chain %s comes twice", name)
	}
	if policy == "-" {
		policy = ""
	}
	t := &p.tables[len(p.tables)-1]
	p.index[name] = len(t.Chains)
	c := Chain{Name: name, Policy: policy}
	if p.counters && count != "" {
		var err error
		if c.Counters, err = parseCounters(count); err != nil {
			return err
		}
	}
	t.Chains = append(t.Chains, c)
	return nil
}

func (p *parser) rule(line string, counters Counters) error {
	name, rule, _ := strings.Cut(line, " ")
	i, ok := p.index[name]
	if !ok {
		return fmt.Errorf("rule for a chain that was not declared: %q", name)
	}
	c := &p.tables[len(p.tables)-1].Chains[i]
	c.Rules = append(c.Rules, Rule(strings.TrimSpace(rule)))
	if p.counters {
		c.RuleCounters = append(c.RuleCounters, counters)
	}
	return nil
}

// Format writes tables as iptables-save does, with the counters of rules where
// there are any. [Parse], or [ParseCounters], reads it back to the same value.
func Format(tables []Table) string {
	var b strings.Builder
	for _, t := range tables {
		fmt.Fprintf(&b, "*%s\n", t.Name)
		for _, c := range t.Chains {
			policy := c.Policy
			if policy == "" {
				policy = "-"
			}
			fmt.Fprintf(&b, ":%s %s %s\n", c.Name, policy, c.Counters)
		}
		for _, c := range t.Chains {
			for i, r := range c.Rules {
				if i < len(c.RuleCounters) {
					b.WriteString(c.RuleCounters[i].String() + " ")
				}
				b.WriteString(ruleLine("-A "+c.Name, r) + "\n")
			}
		}
		b.WriteString("COMMIT\n")
	}
	return b.String()
}

// ruleLine joins a command and a rule, which may be empty.
func ruleLine(command string, r Rule) string {
	if r == "" {
		return command
	}
	return command + " " + string(r)
}
