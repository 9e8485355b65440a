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
// hash:ip). A line with a range becomes a change for each key of the [Range].
// Errors name the line.
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
		of, err := parseLine(line, sets)
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", n, err))
			continue
		}
		switch c := of[0]; c.Op {
		case CreateSet:
			sets[c.Set.Name] = c.Set
		case RenameSet, SwapSets:
			sets[c.Set.Name], sets[c.Other] = sets[c.Other], sets[c.Set.Name]
		default:
		}
		changes = append(changes, of...)
	}
	return changes, errors.Join(errs...)
}

// UnmarshalText implements [encoding.TextUnmarshaler]: a line of "ipset
// restore" without a range. See [Parse] for the type of an entry's set.
func (c *Change) UnmarshalText(line []byte) error {
	of, err := parseLine(string(line), nil)
	if err != nil {
		return err
	}
	if len(of) != 1 {
		return fmt.Errorf("%q is %d changes: use Parse", line, len(of))
	}
	*c = of[0]
	return nil
}

// UnmarshalText implements [encoding.TextUnmarshaler]: a "create" line.
func (s *Set) UnmarshalText(line []byte) error {
	var c Change
	if err := c.UnmarshalText(line); err != nil {
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

// parseLine returns the changes of one line: several if it has a range.
func parseLine(line string, sets map[string]Set) ([]Change, error) {
	words, quoted, err := fields(line)
	if err != nil {
		return nil, err
	}
	if len(words) == 0 {
		return nil, errors.New("empty line")
	}
	p := &parser{words: words[1:], quoted: quoted[1:]}
	var c Change
	var last EntryKey
	name := p.next("a set's name")
	c.Set.Name = name
	switch words[0] {
	case "create", "-N":
		c.Op = CreateSet
		p.create(&c.Set)
	case "destroy", "-X":
		c.Op = DestroySet
	case "flush", "-F":
		c.Op = FlushSet
	case "swap", "-W":
		c.Op, c.Other = SwapSets, p.next("a second name")
	case "rename", "-E":
		c.Op, c.Other = RenameSet, p.next("a second name")
	case "add", "-A":
		c.Op = AddEntry
		c.Entry.EntryKey, last = p.key()
		if p.entry(&c) {
			c.Op = UpdateEntry
		}
	case "del", "-D":
		c.Op = DeleteEntry
		c.Entry.EntryKey, last = p.key()
	default:
		return nil, fmt.Errorf("unknown command %q", words[0])
	}
	if p.err == nil && len(p.words) > 0 {
		p.fail("unexpected %q", p.words[0])
	}
	if p.err != nil {
		return nil, p.err
	}
	if c.Op < AddEntry {
		return []Change{c}, c.Validate()
	}
	return c.expand(last, sets[name])
}

// expand returns the changes of an add or del line about the keys up to last, in
// a set of which known is what the text said before.
func (c Change) expand(last EntryKey, known Set) ([]Change, error) {
	if known.Type != "" {
		c.Set.Type, c.Set.Family, c.Set.Counters = known.Type, known.Family, known.Counters
	} else {
		c.Set.Type, c.Set.Family = c.Entry.guess()
	}
	p, _ := c.Set.Type.parts()
	k := c.Entry.EntryKey
	if k == last && (!p.addr || k.Net.IsSingleIP()) && (!p.addr2 || k.Net2.IsSingleIP()) {
		return []Change{c}, c.Validate()
	}
	keys, err := Range(c.Set.Type, k, last)
	if err != nil {
		return nil, err
	}
	all := make([]Change, len(keys))
	for i, k := range keys {
		all[i] = c
		all[i].Entry.EntryKey = k
		if err := all[i].Validate(); err != nil {
			return nil, err
		}
	}
	return all, nil
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

func (p *parser) timeout() time.Duration {
	v := p.number("timeout", 32)
	if v > maxTimeout {
		p.fail("timeout: %d is above %d", v, maxTimeout)
	}
	return lifetime(uint32(v))
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
			s.Timeout = p.timeout()
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
