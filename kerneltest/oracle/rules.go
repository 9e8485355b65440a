package oracle

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/iptables"
)

// packet is a packet on its way.
type packet struct {
	family     vipkit.Family
	protocol   vipkit.Protocol
	src, dst   netip.AddrPort
	in, out    string
	mark       uint32
	state      string // of its connection, as ctstate has it
	untracked  bool
	translated bool // a rule gave it another destination
	masked     bool // a rule gave it another source
	byIPVS     bool // IPVS has sent it, and does not take it again
}

// place is a rule's, counted from 1.
type place struct {
	table, chain string
	pos          int
}

func (p place) String() string { return fmt.Sprintf("%s %s %d", p.table, p.chain, p.pos) }

type ruleID struct {
	family vipkit.Family
	text   iptables.Rule
}

// rule is a rule that was taken apart.
type rule struct {
	iptables.Spec
	err error
}

func (s *Snapshot) parse(f vipkit.Family, text iptables.Rule) *rule {
	id := ruleID{f, text}
	if r := s.rules[id]; r != nil {
		return r
	}
	spec, err := text.Parse()
	r := &rule{spec, err}
	s.rules[id] = r
	return r
}

// fate is what a chain decides.
type fate uint8

const (
	next     fate = iota // nothing: the rule after it
	back                 // RETURN, or the chain's end
	accepted             // by this table
	dropped
	rejected
)

// maxDepth is more jumps than the kernel's tables can nest (16 in nft,
// NFT_JUMP_STACK_SIZE); a dump that a person wrote may have a loop.
const maxDepth = 64

// chain runs a packet through a chain.
func (w *walk) chain(table, name string, depth int) (fate, error) {
	c := w.s.tables[w.p.family][table][name]
	if depth > maxDepth {
		return 0, fmt.Errorf("%s %s: jumps nest too deep", table, name)
	}
	for i, text := range c.Rules {
		at := place{table, name, i + 1}
		r := w.s.parse(w.p.family, text)
		if r.err != nil {
			return 0, fmt.Errorf("%v: %q: %w", at, text, r.err)
		}
		hit, err := w.matches(r)
		if err != nil {
			return 0, fmt.Errorf("%v: %q: %w", at, text, err)
		}
		if !hit {
			continue
		}
		f, err := w.target(at, text, r, depth)
		if err != nil {
			return 0, fmt.Errorf("%v: %q: %w", at, text, err)
		}
		if r.Goto && f == back {
			return back, nil
		}
		if f == back && r.Target.Name != "RETURN" {
			f = next // a chain of somebody's own came to its end
		}
		if f != next {
			return f, nil
		}
	}
	return back, nil
}

// hook runs a packet through the built-in chain of some tables; done says that
// it ends there.
func (w *walk) hook(name string, tables ...string) (done bool, err error) {
	for _, table := range tables {
		c, there := w.s.tables[w.p.family][table][name]
		if !there {
			continue
		}
		w.at = table + " " + name
		f, err := w.chain(table, name, 0)
		if err != nil {
			return true, err
		}
		if f == back && c.Policy == "DROP" {
			w.verdict.Reason = fmt.Sprintf("%s %s: policy DROP", table, name)
			w.step(w.at, "policy DROP", "dropped")
			f = dropped
		}
		switch f {
		case dropped:
			return true, w.end(Dropped)
		case rejected:
			return true, w.end(Rejected)
		case next, back, accepted:
		}
	}
	return false, nil
}

// matches reports whether all conditions of a rule hold. One that is not known
// is an error, unless another one fails anyhow.
func (w *walk) matches(r *rule) (bool, error) {
	if !w.head(&r.Spec) {
		return false, nil
	}
	var unknown error
	for i := range r.Matches {
		ok, err := w.match(&r.Matches[i])
		if err != nil {
			unknown = err
			continue
		}
		if !ok {
			return false, nil
		}
	}
	return unknown == nil, unknown
}

// head checks the conditions of the rule itself.
func (w *walk) head(s *iptables.Spec) bool {
	p := &w.p
	return holds(s.Source, func(v string) bool { return within(v, p.src.Addr()) }) &&
		holds(s.Destination, func(v string) bool { return within(v, p.dst.Addr()) }) &&
		holds(s.In, func(v string) bool { return linkIs(v, p.in) }) &&
		holds(s.Out, func(v string) bool { return linkIs(v, p.out) }) &&
		holds(s.Protocol, func(v string) bool { return slices.Contains(p.protocolNames(), v) })
}

func holds(c iptables.Condition, is func(string) bool) bool {
	return !c.Set || is(c.Value) != c.Not
}

// protocolNames are the spellings of the packet's protocol in rules.
func (p *packet) protocolNames() []string {
	switch {
	case p.protocol != Ping:
		return []string{p.protocol.String(), fmt.Sprint(uint8(p.protocol)), "all"}
	case p.family == vipkit.IPv6:
		return []string{"ipv6-icmp", "icmpv6", "icmp6", "58", "all"}
	}
	return []string{"icmp", "1", "all"}
}
