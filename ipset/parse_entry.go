package ipset

import (
	"strconv"
	"strings"
)

// entry reads the options of an entry and reports whether -exist was among them.
func (p *parser) entry(c *Change) (exist bool) {
	e := &c.Entry
	for p.err == nil && len(p.words) > 0 {
		switch o := p.next("an option"); o {
		case "timeout":
			e.Timeout = p.timeout()
		case "comment":
			e.Comment = p.next("a comment")
		case "skbmark":
			mark, mask, ok := strings.Cut(p.next("a mark"), "/")
			e.Mark, e.MarkMask = p.mark(mark), 0xffffffff
			if ok {
				e.MarkMask = p.mark(mask)
			}
		case "nomatch":
			e.NoMatch = true
		case "packets":
			c.Counters.Packets = p.number(o, 64)
		case "bytes":
			c.Counters.Bytes = p.number(o, 64)
		case "skbprio":
			major, minor, ok := strings.Cut(p.next("a class"), ":")
			if !ok {
				p.fail("skbprio: %q has no minor number", major)
			}
			e.Priority = uint32(p.hex(major))<<16 | uint32(p.hex(minor))
		case "skbqueue":
			e.Queue = uint16(p.number(o, 16))
		case "-exist", "-!":
			exist = true
		default:
			p.fail("unexpected %q", o)
		}
	}
	return exist
}

func (p *parser) mark(s string) uint32 {
	v, err := strconv.ParseUint(s, 0, 32)
	if err != nil {
		p.fail("skbmark: %q is no number of 32 bits", s)
	}
	return uint32(v)
}

func (p *parser) hex(s string) uint16 {
	v, err := strconv.ParseUint(s, 16, 16)
	if err != nil {
		p.fail("skbprio: %q is no hexadecimal number of 16 bits", s)
	}
	return uint16(v)
}

// key reads a key, or the two ends of a range.
func (p *parser) key() (first, last EntryKey) {
	w := p.next("an entry")
	if p.err != nil {
		return first, last
	}
	from, to := ends(w)
	first, p.err = ParseKey(from)
	last = first
	if p.err == nil && to != from {
		last, p.err = ParseKey(to)
	}
	return first, last
}

// ends returns the first and last key of a range in the tool's words.
func ends(s string) (first, last string) {
	for i, part := range strings.Split(s, ",") {
		prefix := ""
		if name, ports, ok := strings.Cut(part, ":"); ok && i == 1 {
			prefix, part = name+":", ports
		}
		from, to, ok := strings.Cut(part, "-")
		if !ok {
			to = from
		}
		if i > 0 {
			prefix = "," + prefix
		}
		first, last = first+prefix+from, last+prefix+to
	}
	return first, last
}
