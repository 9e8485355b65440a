package iptables

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/vipkit/vipkit"
)

// Normalize returns a rule as Save returns it, which is how iptables-save prints
// it: options in the tool's order and short form, protocols by name, addresses
// with their prefix length, marks in hexadecimal, defaults written out. What
// it does not know stays as it is, a rule that cannot be read does altogether.
// The family decides what REJECT answers by default, and the names of ICMP types.
// It is held against what iptables 1.8.9 prints on either back end
// (testdata/printed, and TestKernelPrinted).
func Normalize(f vipkit.Family, r Rule) Rule {
	s, err := parseSpec(r)
	if err != nil {
		return r
	}
	s.normalizeHead()
	for i := range s.matches {
		s.matches[i].normalize(matchForms[s.matches[i].name], f)
	}
	if s.jump == "-j" {
		s.target.normalize(targetForms[s.target.name], f)
	}
	return s.rule()
}

// normalizeHead writes addresses and the protocol as the tool does and drops
// those that match everything.
func (s *spec) normalizeHead() {
	for _, i := range []int{source, destination} {
		c := &s.head[i]
		if !c.set {
			continue
		}
		if p, err := parsePrefix(c.value); err == nil {
			c.value = p.String()
			c.set = c.not || p.Bits() > 0
		}
	}
	for _, i := range []int{inLink, outLink} {
		c := &s.head[i]
		c.set = c.set && (c.not || c.value != "+")
	}
	p := &s.head[protocol]
	p.value = protocolName(p.value)
	if p.value == "all" {
		p.set = p.not
	}
}

// form is how the tool prints an extension.
type form struct {
	// names are the short names of options that have several.
	names map[string]string
	// values write the one argument of an option; those that depend on the
	// family are in byFamily.
	values   map[string]func(string) string
	byFamily map[string]map[vipkit.Family]map[string]string
	// drop lists values with which an option that is not negated says nothing.
	drop map[string]string
	// special does what is left, before the options are sorted.
	special func(e *extension, f vipkit.Family)
	// order is that of the options. Nil: as they come.
	order []string
}

// normalize writes an extension in a form; the zero form leaves it as it is.
func (e *extension) normalize(form form, f vipkit.Family) {
	for i := range e.options {
		o := &e.options[i]
		o.name = cmp.Or(form.names[o.name], o.name)
		if len(o.args) != 1 {
			continue
		}
		value, names := form.values[o.name], form.byFamily[o.name]
		if text := o.args[0].text; value != nil {
			o.args[0] = bare(value(text))
		} else if names != nil {
			o.args[0] = bare(cmp.Or(names[f][lower(text)], text))
		}
	}
	if form.drop != nil {
		e.options = slices.DeleteFunc(e.options, func(o option) bool {
			drop, ok := form.drop[o.name]
			return ok && !o.not && len(o.args) == 1 && o.args[0].text == drop
		})
	}
	if form.special != nil {
		form.special(e, f)
	}
	e.order(form.order)
}

// order sorts the options, unless there is one whose place is not known.
func (e *extension) order(names []string) {
	for _, o := range e.options {
		if !slices.Contains(names, o.name) {
			return
		}
	}
	slices.SortStableFunc(e.options, func(a, b option) int {
		return slices.Index(names, a.name) - slices.Index(names, b.name)
	})
}

// option returns the option of a name with n arguments, or nil.
func (e *extension) option(name string, n int) *option {
	for i, o := range e.options {
		if o.name == name && len(o.args) == n {
			return &e.options[i]
		}
	}
	return nil
}

// quoteText puts into quotation marks what the tool prints in some.
func quoteText(e *extension, _ vipkit.Family) {
	for i := range e.options {
		for j, a := range e.options[i].args {
			e.options[i].args[j].quoted = !plain(a.text)
		}
	}
}

// tcpFlags writes --syn as what it stands for, and flags in the tool's order; it
// drops the ones that match everything.
func tcpFlags(e *extension, _ vipkit.Family) {
	if o := e.option("--syn", 0); o != nil {
		o.name, o.args = "--tcp-flags", []word{{text: "FIN,SYN,RST,ACK"}, {text: "SYN"}}
	}
	o := e.option("--tcp-flags", 2)
	if o == nil {
		return
	}
	for i := range o.args {
		o.args[i] = word{text: flagList(o.args[i].text)}
	}
	e.options = slices.DeleteFunc(e.options, func(o option) bool {
		return o.name == "--tcp-flags" && !o.not && len(o.args) == 2 && o.args[0].text == "NONE" && o.args[1].text == "NONE"
	})
}

// implyIPVS leaves out --ipvs where another option says it too.
func implyIPVS(e *extension, _ vipkit.Family) {
	if len(e.options) > 1 {
		e.options = slices.DeleteFunc(e.options, func(o option) bool { return o.name == "--ipvs" && !o.not && len(o.args) == 0 })
	}
}

// setXmark writes the five ways to set a mark as the one that the tool prints.
func setXmark(e *extension, _ vipkit.Family) {
	for i := range e.options {
		o := &e.options[i]
		if o.not || len(o.args) != 1 {
			continue
		}
		value, mask, err := parseMark(o.args[0].text)
		if err != nil {
			continue
		}
		switch o.name {
		case "--set-xmark":
		case "--set-mark":
			mask |= value
		case "--or-mark":
			mask = value
		case "--and-mark":
			value, mask = 0, ^value
		case "--xor-mark":
			mask = 0
		default:
			continue
		}
		o.name = "--set-xmark"
		o.args[0].text = fmt.Sprintf("0x%x/0x%x", value, mask)
	}
}

// moveMark does what setXmark does for CONNMARK, and writes the masks out of
// what copies a mark.
func moveMark(e *extension, f vipkit.Family) {
	setXmark(e, f)
	if e.option("--save-mark", 0) == nil && e.option("--restore-mark", 0) == nil {
		return
	}
	masks := map[string]string{"--nfmask": "0xffffffff", "--ctmask": "0xffffffff"}
	for name := range masks {
		for _, given := range []string{"--mask", name} {
			if o := e.option(given, 1); o != nil && !o.not {
				masks[name] = hexNumber(o.args[0].text)
			}
		}
	}
	e.options = slices.DeleteFunc(e.options, func(o option) bool {
		return !o.not && len(o.args) == 1 && (o.name == "--mask" || masks[o.name] != "")
	})
	for _, name := range []string{"--nfmask", "--ctmask"} {
		e.options = append(e.options, option{name: name, args: []word{{text: masks[name]}}})
	}
}

// rejectDefault writes out what REJECT answers if nothing was said.
func rejectDefault(e *extension, f vipkit.Family) {
	if len(e.options) == 0 {
		e.options = []option{{name: "--reject-with", args: []word{{text: rejections[f]["port-unreach"]}}}}
	}
}
