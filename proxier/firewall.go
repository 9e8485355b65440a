package proxier

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/iptables"
)

// Obstacle is a policy, or a rule without a condition, of somebody else that
// drops or rejects what services need to pass.
//
// Rules of others with a condition are not judged here: what they do depends on
// the packet (kerneltest's oracle follows one). Rulesets of nft's own, which
// iptables does not show, are not read.
type Obstacle struct {
	Family vipkit.Family
	// Backend, Table and Chain say where: "nft", "filter", "INPUT".
	Backend, Table, Chain string
	// Rule is what drops; empty: the policy does.
	Rule iptables.Rule
	// Exceptions is how many rules of others before it may let packets pass.
	// With none, nothing passes.
	Exceptions int
	// Blocks says what does not pass.
	Blocks string
	// Allow are the rules for Chain that let it pass when they stand before the
	// obstacle, without those that are there already. One that names a set can
	// be there from the first service on, and has to go before the last.
	Allow []iptables.Rule
}

// String returns a sentence, and what to type.
func (o Obstacle) String() string {
	what := "the policy DROP"
	if o.Rule != "" {
		what = "the rule " + string(o.Rule)
	}
	text := fmt.Sprintf("%s %s %s (%s): %s blocks %s", toolOf(o.Family), o.Table, o.Chain, o.Backend, what, o.Blocks)
	if o.Exceptions > 0 {
		text += fmt.Sprintf(", but for what %d rules before it accept", o.Exceptions)
	}
	for _, r := range o.Allow {
		text += fmt.Sprintf("\n\tto allow it: %s -t %s -I %s %s", toolOf(o.Family), o.Table, o.Chain, r)
	}
	return text
}

// established lets answers pass.
const established iptables.Rule = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"

// passages are where packets of services pass rules of others. IPVS takes
// clients' packets at the end of LOCAL_IN, after INPUT, and the host's own in
// LOCAL_OUT; it sends them on through LOCAL_OUT, and answers pass FORWARD, or INPUT
// where the host was the client (net/netfilter/ipvs/ip_vs_core.c, ip_vs_ops4;
// ip_vs_xmit.c, ip_vs_nat_send_or_cont).
func (c *config) passages(f vipkit.Family) []passage {
	return []passage{
		{"PREROUTING", "every packet that comes", nil},
		{"INPUT", "what clients send to services, and answers to this host's own calls",
			[]iptables.Rule{established, iptables.Rule("-m set --match-set " + c.setName(setOpen, f) + " dst,dst -j ACCEPT")}},
		{"FORWARD", "answers of endpoints to clients elsewhere", []iptables.Rule{established}},
		{"OUTPUT", "what IPVS sends on to endpoints", []iptables.Rule{established, "-m ipvs --ipvs -j ACCEPT"}},
		{"POSTROUTING", "every packet that goes", nil},
	}
}

// passage is a built-in chain, what has to pass it, and the rules that are enough
// for that in table filter.
type passage struct {
	chain, blocks string
	allow         []iptables.Rule
}

// firewall looks for obstacles in a family's tables.
func (f *flight) firewall(family vipkit.Family, backend string, tables []iptables.Table) {
	for _, t := range tables {
		if t.Name == "nat" {
			continue // it sees the first packet of a connection, to translate it
		}
		for _, pass := range f.config.passages(family) {
			w := walk{table: t, prefix: f.config.Prefix + "-"}
			if t.Name == "filter" {
				w.allow = slices.Clone(pass.allow)
			}
			if !w.blocked(pass.chain) || t.Name == "filter" && len(w.allow) == 0 {
				continue
			}
			f.Obstacles = append(f.Obstacles, Obstacle{
				Family: family, Backend: backend, Table: t.Name, Chain: pass.chain,
				Rule: w.rule, Exceptions: w.exceptions, Blocks: pass.blocks, Allow: w.allow,
			})
		}
	}
}

// elsewhere looks for obstacles in the back end that the tools do not show, where
// the client can tell: the kernel asks the rules of both.
func (f *flight) elsewhere(family vipkit.Family) {
	c, ok := f.kernel.IPTables.(interface {
		Elsewhere(ctx context.Context, f vipkit.Family) (iptables.Elsewhere, error)
	})
	if !ok {
		return
	}
	other, err := c.Elsewhere(f.ctx, family)
	if errors.Is(err, errors.ErrUnsupported) {
		return // neither tools nor, as a rule, rules
	}
	if err != nil {
		f.warn("%s: what the other back end holds cannot be read: %v", toolOf(family), err)
		return
	}
	if text := other.String(); text != "" {
		f.warn("%s, %s: they are in force too", toolOf(family), text)
		f.firewall(family, other.Backend, other.Tables)
	}
}

// walk follows a packet for which no condition holds through a table.
type walk struct {
	table  iptables.Table
	prefix string // of our own chains
	// allow are the rules that would be enough, without those that were met.
	allow      []iptables.Rule
	rule       iptables.Rule // what ended the walk, if a rule did
	exceptions int           // rules that accept something, on the way
	depth      int
}

// fate is what becomes of the packet in a chain.
type fate uint8

const (
	goesOn fate = iota
	passes
	ends
)

// blocked reports whether the packet is dropped or rejected on its way through a
// built-in chain.
func (w *walk) blocked(builtin string) bool {
	i := slices.IndexFunc(w.table.Chains, func(c iptables.Chain) bool { return c.Name == builtin })
	if i < 0 {
		return false
	}
	switch w.chain(builtin) {
	case ends:
		return true
	case passes:
		return false
	case goesOn:
	}
	return w.table.Chains[i].Policy == "DROP"
}

// maxDepth is how deep jumps are followed: a loop is refused by the kernel, so
// this is for tables that never were in one.
const maxDepth = 32

func (w *walk) chain(name string) fate {
	i := slices.IndexFunc(w.table.Chains, func(c iptables.Chain) bool { return c.Name == name })
	if i < 0 || w.depth == maxDepth {
		return goesOn
	}
	w.depth++
	defer func() { w.depth-- }()
	for _, r := range w.table.Chains[i].Rules {
		r = withoutComment(r)
		target := r.Target()
		switch {
		case slices.Contains(w.allow, r):
			w.allow = slices.DeleteFunc(w.allow, func(a iptables.Rule) bool { return a == r })
		case strings.HasPrefix(target, w.prefix):
		case !strings.HasPrefix(string(r), "-j ") && !strings.HasPrefix(string(r), "-g "):
			if target == "ACCEPT" || w.has(target) {
				w.exceptions++
			}
		case target == "ACCEPT":
			return passes
		case target == "RETURN":
			return goesOn
		case target == "DROP" || target == "REJECT":
			w.rule = r
			return ends
		case w.has(target):
			if fate := w.chain(target); fate != goesOn || strings.HasPrefix(string(r), "-g ") {
				return fate
			}
		}
	}
	return goesOn
}

// has reports whether the table has a chain of that name.
func (w *walk) has(chain string) bool {
	return slices.ContainsFunc(w.table.Chains, func(c iptables.Chain) bool { return c.Name == chain })
}

var commentMatch = regexp.MustCompile(`-m comment --comment ("(\\.|[^"\\])*"|\S+) `)

// withoutComment returns a rule as it would be without its comment.
func withoutComment(r iptables.Rule) iptables.Rule {
	return iptables.Rule(commentMatch.ReplaceAllString(string(r), ""))
}
