package iptables

// Spec is a rule taken apart, for who has to interpret it.
type Spec struct {
	// The conditions of the rule itself; an unset one matches everything.
	Source, Destination, In, Out, Protocol Condition
	// Fragment is -f: the second and later fragments of IPv4 packets. It has no
	// value.
	Fragment Condition
	// Matches are in the order in which the kernel asks them.
	Matches []Extension
	// Target is what the rule jumps to, a chain's name or a target's. Its
	// name is empty for a rule without one.
	Target Extension
	// Goto says that the chain does not return here (-g).
	Goto bool
}

// Condition is an option of the rule itself, such as "! -s 10.0.0.0/8".
type Condition struct {
	Set, Not bool
	// Value is what follows the option: an address with its prefix length, a
	// link's name ("eth+" is any that begins with eth), a protocol.
	Value string
}

// Extension is a match or a target with its options.
type Extension struct {
	Name    string
	Options []Option
}

// Option is an option of an extension, such as "! --dport 80".
type Option struct {
	Not bool
	// Name begins with its dashes.
	Name string
	// Args are without the quotation marks that the rule has around them.
	Args []string
}

// Parse takes the rule apart; [Normalize] it first to have its values in one form.
// It fails for a rule that is not closed or has parts that belong to no option.
// Whether the tool knows the options is not looked at.
func (r Rule) Parse() (Spec, error) {
	s, err := parseSpec(r)
	if err != nil {
		return Spec{}, err
	}
	out := Spec{
		Source: s.head[source].export(), Destination: s.head[destination].export(),
		In: s.head[inLink].export(), Out: s.head[outLink].export(), Protocol: s.head[protocol].export(),
		Fragment: s.head[fragment].export(),
		Target:   s.target.export(), Goto: s.jump == "-g",
	}
	for _, m := range s.matches {
		out.Matches = append(out.Matches, m.export())
	}
	return out, nil
}

func (c condition) export() Condition { return Condition{Set: c.set, Not: c.not, Value: c.value} }

func (e extension) export() Extension {
	out := Extension{Name: e.name}
	for _, o := range e.options {
		option := Option{Not: o.not, Name: o.name}
		for _, a := range o.args {
			option.Args = append(option.Args, a.text)
		}
		out.Options = append(out.Options, option)
	}
	return out
}
