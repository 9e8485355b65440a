package ipvs

import (
	"fmt"
	"strings"
)

// UnmarshalText implements [encoding.TextUnmarshaler]. It reads what
// [Service.String] writes, and more widely the options that ipvsadm -A takes,
// with its defaults: scheduler wlc, -p for 360 seconds.
func (s *Service) UnmarshalText(text []byte) error {
	l, err := parseLine(string(text), partKey|partService)
	if err == nil {
		err = l.need(partKey)
	}
	if err != nil {
		return fmt.Errorf("virtual server %q: %w", text, err)
	}
	*s = l.change.Service
	return nil
}

// UnmarshalText implements [encoding.TextUnmarshaler]. It reads what
// [Destination.String] writes, and more widely the options that ipvsadm -a
// takes, with its defaults: -g, weight 1. A missing port is 0 here, since the
// virtual server's is not known; in a [Change] it is the virtual server's.
func (d *Destination) UnmarshalText(text []byte) error {
	l, err := parseLine(string(text), partDestKey|partDestination)
	if err == nil {
		err = l.need(partDestKey)
	}
	if err != nil {
		return fmt.Errorf("destination %q: %w", text, err)
	}
	*d = l.change.Destination
	return nil
}

// UnmarshalText implements [encoding.TextUnmarshaler]. It reads a line for
// ipvsadm --restore, such as [Change.String] writes.
func (c *Change) UnmarshalText(text []byte) error {
	l, err := parseLine(string(text), partOp|partKey|partService|partDestKey|partDestination)
	if err == nil {
		err = l.checkOp()
	}
	if err != nil {
		return fmt.Errorf("change %q: %w", text, err)
	}
	*c = l.change
	return nil
}

// part is a group of options of a line.
type part uint8

const (
	partOp          part = 1 << iota
	partKey              // -t -u --sctp-service -f
	partService          // -s -p -M --pe -o -b
	partDestKey          // -r
	partDestination      // -m -g -i -w -x -y --tun-…
)

var partNames = map[part]string{
	partOp: "command", partKey: "virtual server", partService: "option of a virtual server",
	partDestKey: "real server", partDestination: "option of a real server",
}

// line is what a line says.
type line struct {
	words    []string
	seen     map[string]bool // canonical options
	parts    part
	change   Change
	ipv6     bool // -6
	mask     string
	flags    string
	bareDest bool // the real server has no port
}

func (l *line) need(parts part) error {
	for p := partOp; p <= partDestination; p <<= 1 {
		if parts&p != 0 && l.parts&p == 0 {
			return fmt.Errorf("no %s", partNames[p])
		}
	}
	return nil
}

// checkOp checks that the line has the parts that its command wants.
func (l *line) checkOp() error {
	if err := l.need(partOp); err != nil {
		return err
	}
	if l.change.Op == ZeroAll && l.parts&partKey != 0 {
		l.change.Op = ZeroService
	}
	var allowed, needed part
	switch l.change.Op {
	case AddService, UpdateService:
		needed, allowed = partKey, partService
	case ZeroAll:
		l.change = Change{Op: ZeroAll}
	case DeleteService, ZeroService:
		needed = partKey
		l.change.Service = Service{Key: l.change.Service.Key}
	case AddDestination, UpdateDestination:
		needed, allowed = partKey|partDestKey, partDestination
		l.change.Service = Service{Key: l.change.Service.Key}
	case DeleteDestination:
		needed = partKey | partDestKey
		l.change.Service = Service{Key: l.change.Service.Key}
		l.change.Destination = Destination{DestKey: l.change.Destination.DestKey}
	}
	if extra := l.parts &^ (partOp | needed | allowed); extra != 0 {
		return fmt.Errorf("%s: an option that it does not take", l.change.Op)
	}
	if needed&partDestKey == 0 {
		l.change.Destination = Destination{}
	}
	return l.need(needed)
}

func parseLine(text string, allowed part) (*line, error) {
	l := &line{words: strings.Fields(text), seen: make(map[string]bool)}
	l.change.Service.Scheduler = "wlc"
	l.change.Destination.Forward = Direct
	l.change.Destination.Weight = 1
	for len(l.words) > 0 {
		word := l.words[0]
		l.words = l.words[1:]
		if long, value, ok := strings.Cut(word, "="); ok && strings.HasPrefix(word, "--") {
			word = long
			l.words = append([]string{value}, l.words...)
		}
		o, ok := options[word]
		if !ok || o.part&^allowed != 0 {
			return nil, fmt.Errorf("option %s: unknown here", word)
		}
		once := o.name
		if name, ok := exclusive[once]; ok {
			once = name
		}
		if l.seen[once] {
			return nil, fmt.Errorf("option %s: a second time, or with another of its kind", word)
		}
		l.seen[once] = true
		l.parts |= o.part
		var value string
		if o.value {
			if len(l.words) == 0 {
				return nil, fmt.Errorf("option %s: no value", word)
			}
			value, l.words = l.words[0], l.words[1:]
		}
		if err := l.option(o.name, o.part, value); err != nil {
			return nil, fmt.Errorf("option %s %s: %w", word, value, err)
		}
	}
	return l, l.finish()
}
