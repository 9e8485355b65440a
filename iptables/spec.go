package iptables

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// spec is a rule taken apart. Only Normalize and Validate look inside rules.
type spec struct {
	head    [6]condition // in the order of headNames
	matches []extension
	jump    string // "-j", "-g", or "" for none
	target  extension
}

// condition is an option of the rule itself, such as "! -s 10.0.0.0/8".
type condition struct {
	set, not bool
	value    string
}

// extension is a match or a target with its options.
type extension struct {
	name    string
	options []option
}

// option is one option of an extension.
type option struct {
	not  bool
	name string // with its dashes
	args []word
}

// Indexes of spec.head.
const (
	source = iota
	destination
	inLink
	outLink
	protocol
	fragment
)

// headNames are the spellings of the options of the rule itself; the tool
// prints the first of each, in this order.
var headNames = [][]string{
	source:      {"-s", "--source", "--src"},
	destination: {"-d", "--destination", "--dst"},
	inLink:      {"-i", "--in-interface"},
	outLink:     {"-o", "--out-interface"},
	protocol:    {"-p", "--protocol", "--proto"},
	fragment:    {"-f", "--fragment"}, // takes no value
}

// implied are the options that load the match of the rule's own protocol when
// it was not named.
var implied = map[string][]string{
	"tcp":   {"--sport", "--source-port", "--dport", "--destination-port", "--tcp-flags", "--syn"},
	"udp":   {"--sport", "--source-port", "--dport", "--destination-port"},
	"sctp":  {"--sport", "--source-port", "--dport", "--destination-port"},
	"icmp":  {"--icmp-type"},
	"icmp6": {"--icmpv6-type"},
}

// textOptions are followed by a text of the user's, which may look like an option.
var textOptions = []string{"--comment", "--log-prefix", "--nflog-prefix"}

// parseSpec takes a rule apart. Names and arguments are as they were written.
func parseSpec(r Rule) (*spec, error) {
	list, err := r.words()
	if err != nil {
		return nil, err
	}
	p := specParser{words: list}
	for len(p.words) > 0 {
		if err := p.next(); err != nil {
			return nil, err
		}
	}
	if p.not {
		return nil, errors.New("a ! with nothing behind it")
	}
	return &p.spec, nil
}

// specParser is a rule of which words are still to come.
type specParser struct {
	spec
	words []word
	not   bool    // a "!" came before
	last  *option // takes arguments
	group int     // the match that takes options, counted from 1; 0: the target
}

// next reads one option and, where its number of arguments is known, those.
func (p *specParser) next() error {
	w := p.words[0]
	p.words = p.words[1:]
	if w.text == "!" && !w.quoted {
		if p.not {
			return errors.New("two ! in a row")
		}
		p.not, p.last = true, nil
		return nil
	}
	if !w.option() {
		if p.last == nil {
			return fmt.Errorf("%q belongs to no option", w.text)
		}
		p.last.args = append(p.last.args, w)
		return nil
	}
	for i, names := range headNames {
		if slices.Contains(names, w.text) {
			return p.condition(i)
		}
	}
	switch w.text {
	case "-m", "--match":
		name, err := p.argument(w)
		p.matches = append(p.matches, extension{name: name})
		p.group, p.last = len(p.matches), nil
		return err
	case "-j", "--jump", "-g", "--goto":
		return p.jumpTo(w)
	}
	return p.option(w)
}

func (p *specParser) condition(i int) error {
	if p.head[i].set {
		return fmt.Errorf("%s comes twice", headNames[i][0])
	}
	c := condition{set: true, not: p.not}
	var err error
	if i != fragment {
		c.value, err = p.argument(word{text: headNames[i][0]})
	}
	p.head[i] = c
	p.not, p.last = false, nil
	return err
}

func (p *specParser) jumpTo(w word) error {
	if p.jump != "" {
		return errors.New("two targets")
	}
	if p.not {
		return errors.New("! before a target")
	}
	p.jump = "-j"
	if strings.HasSuffix(w.text, "-g") || w.text == "--goto" {
		p.jump = "-g"
	}
	name, err := p.argument(w)
	p.target.name, p.group, p.last = name, 0, nil
	return err
}

// option gives an option to the extension that it belongs to: the last one
// named, or a match that the protocol implies.
func (p *specParser) option(w word) error {
	var g *extension
	if p.group > 0 {
		g = &p.matches[p.group-1]
	} else if p.jump != "" {
		g = &p.target
	}
	ofMultiport := g != nil && g.name == "multiport" && matchForms["multiport"].names[w.text] != ""
	if match := p.impliedBy(w.text); match != "" && !ofMultiport {
		i := slices.IndexFunc(p.matches, func(e extension) bool { return e.name == match })
		if i < 0 {
			p.matches = append(p.matches, extension{name: match})
			i = len(p.matches) - 1
			if p.jump == "" {
				p.group = i + 1
			}
		}
		g = &p.matches[i]
	}
	if g == nil {
		return fmt.Errorf("%s belongs to no match and no target", w.text)
	}
	g.options = append(g.options, option{not: p.not, name: w.text})
	p.not, p.last = false, &g.options[len(g.options)-1]
	if slices.Contains(textOptions, w.text) && len(p.words) > 0 {
		p.last.args = append(p.last.args, p.words[0])
		p.words, p.last = p.words[1:], nil
	}
	return nil
}

// impliedBy names the match of the rule's protocol that an option belongs to,
// if it does.
func (p *specParser) impliedBy(name string) string {
	match := protocolName(p.head[protocol].value)
	if match == "ipv6-icmp" {
		match = "icmp6"
	}
	if slices.Contains(implied[match], name) {
		return match
	}
	return ""
}

// argument takes the one argument that an option must have.
func (p *specParser) argument(w word) (string, error) {
	if len(p.words) == 0 {
		return "", fmt.Errorf("%s needs an argument", w.text)
	}
	a := p.words[0]
	p.words = p.words[1:]
	if a.text == "" || a.text == "!" || a.text[0] == '-' {
		return "", fmt.Errorf("%s needs an argument, not %q", w.text, a.text)
	}
	if strings.ContainsAny(a.text, " \t\"\\") {
		return "", fmt.Errorf("%s %q: no blanks or quotation marks here", w.text, a.text)
	}
	return a.text, nil
}

// rule puts the rule together in the order of iptables-save.
func (s *spec) rule() Rule {
	var parts []string
	for i, c := range s.head {
		if !c.set {
			continue
		}
		if c.not {
			parts = append(parts, "!")
		}
		parts = append(parts, headNames[i][0])
		if i != fragment {
			parts = append(parts, c.value)
		}
	}
	for _, m := range s.matches {
		parts = m.append(append(parts, "-m", m.name))
	}
	if s.jump != "" {
		parts = s.target.append(append(parts, s.jump, s.target.name))
	}
	return Rule(strings.Join(parts, " "))
}

func (e extension) append(parts []string) []string {
	for _, o := range e.options {
		if o.not {
			parts = append(parts, "!")
		}
		parts = append(parts, o.name)
		for _, a := range o.args {
			parts = append(parts, a.String())
		}
	}
	return parts
}
