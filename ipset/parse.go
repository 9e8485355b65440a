package ipset

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/vipkit/vipkit"
)

// Parse reads what "ipset save" prints and "ipset restore" reads: a change a
// line. Empty lines and comments (#) are skipped. An entry takes the type and
// family of its set from the line that creates it, earlier in the text; without
// one they follow from the entry, and are zero for "del" and "add" lines where
// they do not (a plain address may be of hash:ip or hash:net: it is taken for
// hash:ip). Errors name the line.
func Parse(text string) ([]Change, error) {
	var changes []Change
	var errs []error
	sets := map[string]Set{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") || line == "COMMIT" {
			continue
		}
		var c Change
		if err := c.parse(line, sets); err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", n, err))
			continue
		}
		if c.Op == CreateSet {
			sets[c.Set.Name] = c.Set
		}
		changes = append(changes, c)
	}
	return changes, errors.Join(errs...)
}

// UnmarshalText implements [encoding.TextUnmarshaler]: a line of "ipset
// restore". See [Parse] for the type of an entry's set.
func (c *Change) UnmarshalText(line []byte) error {
	var v Change
	if err := v.parse(string(line), nil); err != nil {
		return err
	}
	*c = v
	return nil
}

// UnmarshalText implements [encoding.TextUnmarshaler]: a "create" line.
func (s *Set) UnmarshalText(line []byte) error {
	var c Change
	if err := c.parse(string(line), nil); err != nil {
		return err
	}
	if c.Op != CreateSet {
		return fmt.Errorf("%q creates no set", line)
	}
	*s = c.Set
	return nil
}

// fields splits a line at spaces, but for what stands in quotation marks.
// quoted tells for each field whether it stood in them.
func fields(line string) (words []string, quoted []bool, err error) {
	for {
		line = strings.TrimLeft(line, " \t\r\n")
		if line == "" {
			return words, quoted, nil
		}
		end := strings.IndexAny(line, " \t\r\n")
		if line[0] == '"' {
			end = strings.IndexByte(line[1:], '"')
			if end < 0 {
				return nil, nil, errors.New("quotation mark without its pair")
			}
			words, quoted = append(words, line[1:1+end]), append(quoted, true)
			line = line[end+2:]
			continue
		}
		if end < 0 {
			end = len(line)
		}
		words, quoted = append(words, line[:end]), append(quoted, false)
		line = line[end:]
	}
}

func (c *Change) parse(line string, sets map[string]Set) error {
	words, quoted, err := fields(line)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return errors.New("empty line")
	}
	p := &parser{words: words[1:], quoted: quoted[1:]}
	name := p.next("a set's name")
	switch words[0] {
	case "create", "-N":
		c.Op, c.Set.Name = CreateSet, name
		p.create(&c.Set)
	case "destroy", "-X":
		c.Op, c.Set.Name = DestroySet, name
	case "flush", "-F":
		c.Op, c.Set.Name = FlushSet, name
	case "swap", "-W":
		c.Op, c.Set.Name, c.Other = SwapSets, name, p.next("a second name")
	case "add", "-A":
		c.Op, c.Set = AddEntry, Set{Name: name}
		if p.entry(&c.Entry) {
			c.Op = UpdateEntry
		}
	case "del", "-D":
		c.Op, c.Set = DeleteEntry, Set{Name: name}
		c.Entry.EntryKey = p.key()
	default:
		return fmt.Errorf("unknown command %q", words[0])
	}
	if c.Op >= AddEntry {
		if known, ok := sets[name]; ok {
			c.Set.Type, c.Set.Family = known.Type, known.Family
		} else {
			c.Set.Type, c.Set.Family = c.Entry.guess()
		}
	}
	if p.err == nil && len(p.words) > 0 {
		p.fail("unexpected %q", p.words[0])
	}
	if p.err != nil {
		return p.err
	}
	return c.Validate()
}

// guess returns the type of set that an entry looks like.
func (e Entry) guess() (Type, vipkit.Family) {
	switch {
	case !e.Net.IsValid():
		return BitmapPort, 0
	case e.Net2.IsValid() && (!e.Net2.IsSingleIP() || e.NoMatch):
		return HashIPPortNet, vipkit.FamilyOf(e.Net.Addr())
	case e.Net2.IsValid():
		return HashIPPortIP, vipkit.FamilyOf(e.Net.Addr())
	case e.Protocol != 0:
		return HashIPPort, vipkit.FamilyOf(e.Net.Addr())
	case !e.Net.IsSingleIP() || e.NoMatch:
		return HashNet, vipkit.FamilyOf(e.Net.Addr())
	}
	return HashIP, vipkit.FamilyOf(e.Net.Addr())
}

// parser takes words from the front and keeps the first error.
type parser struct {
	words  []string
	quoted []bool
	err    error
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

func (p *parser) next(what string) string {
	if len(p.words) == 0 {
		p.fail("missing %s", what)
		return ""
	}
	w := p.words[0]
	p.words, p.quoted = p.words[1:], p.quoted[1:]
	return w
}

func (p *parser) number(option string, bits int) uint64 {
	w := p.next("the value of " + option)
	v, err := strconv.ParseUint(w, 0, bits)
	if err != nil {
		p.fail("%s: %q is not a number of %d bits", option, w, bits)
	}
	return v
}

func (p *parser) seconds(option string) time.Duration {
	v := p.number(option, 32)
	if v > maxTimeout {
		p.fail("%s: %d is above %d", option, v, maxTimeout)
	}
	return time.Duration(v) * time.Second
}

func (p *parser) create(s *Set) {
	s.Type = Type(p.next("a type"))
	if s.Type != BitmapPort {
		s.Family = vipkit.IPv4
	}
	for p.err == nil && len(p.words) > 0 {
		switch o := p.next("an option"); o {
		case "family":
			switch f := p.next("a family"); f {
			case "inet", "ipv4":
				s.Family = vipkit.IPv4
			case "inet6", "ipv6":
				s.Family = vipkit.IPv6
			default:
				p.fail("family: unknown %q", f)
			}
		case "range":
			from, to, ok := strings.Cut(p.next("a range"), "-")
			s.PortFrom = p.port(from)
			if s.PortTo = s.PortFrom; ok {
				s.PortTo = p.port(to)
			}
		case "hashsize":
			s.HashSize = uint32(p.number(o, 32))
		case "maxelem":
			s.MaxElem = uint32(p.number(o, 32))
		case "timeout":
			s.Timeout = p.seconds(o)
		case "bucketsize", "initval":
			p.number(o, 32)
		case "counters":
			s.Counters = true
		case "comment":
			s.Comment = true
		case "skbinfo":
			s.SkbInfo = true
		default:
			p.fail("unexpected %q", o)
		}
	}
}

func (p *parser) port(s string) uint16 {
	v, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		p.fail("%q is no port", s)
	}
	return uint16(v)
}

// entry reads an entry and reports whether -exist was among its options.
func (p *parser) entry(e *Entry) (exist bool) {
	e.EntryKey = p.key()
	for p.err == nil && len(p.words) > 0 {
		switch o := p.next("an option"); o {
		case "timeout":
			if e.Timeout = p.seconds(o); e.Timeout == 0 {
				e.Timeout = Forever
			}
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
		case "packets", "bytes":
			p.number(o, 64)
		case "skbprio", "skbqueue":
			p.next("the value of " + o)
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

func (p *parser) key() EntryKey {
	w := p.next("an entry")
	k, err := ParseKey(w)
	if p.err == nil && err != nil {
		p.err = err
	}
	return k
}
