package conntrack

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/vipkit/vipkit"
)

// UnmarshalText implements [encoding.TextUnmarshaler]: a line of "conntrack -L",
// with or without "-o extended" and "-o id". What a Flow does not hold is skipped.
func (f *Flow) UnmarshalText(line []byte) error {
	var info FlowInfo
	if err := info.UnmarshalText(line); err != nil {
		return err
	}
	*f = info.Flow
	return nil
}

// UnmarshalText implements [encoding.TextUnmarshaler]: a line of "conntrack -L",
// with or without "-o extended" and "-o id", or of [Flow.String]. The status comes
// out as far as such a line says it; counters, security contexts and the like are
// skipped.
func (f *FlowInfo) UnmarshalText(line []byte) error {
	words := strings.Fields(string(line))
	if len(words) > 2 && (words[0] == "ipv4" || words[0] == "ipv6") {
		words = words[2:]
	}
	if len(words) < 2 {
		return fmt.Errorf("%q is no flow", line)
	}
	number, err := parseUint[uint8](words[1], 10)
	if err != nil {
		return fmt.Errorf("protocol: %w", err)
	}
	p := flowParser{at: -1}
	p.flow.Protocol = vipkit.Protocol(number)
	p.flow.Status = StatusConfirmed | StatusSeenReply
	for i, w := range words[2:] {
		if err := p.word(i, w); err != nil {
			return fmt.Errorf("%s: %w", w, err)
		}
	}
	if p.at != 1 {
		return fmt.Errorf("%q has no two directions", line)
	}
	p.flow.Original, p.flow.Reply = p.ends[0].tuple(), p.ends[1].tuple()
	if err := p.flow.Validate(); err != nil {
		return err
	}
	*f = p.flow
	return nil
}

// flowParser gathers the fields of both directions, which have the same names:
// each direction starts with its source.
type flowParser struct {
	flow  FlowInfo
	ends  [2]endText
	at    int             // in which direction we are
	given map[string]bool // fields of the direction or the flow, each allowed once
}

// endText is a tuple in its making.
type endText struct {
	src, dst     netip.Addr
	sport, dport uint16
	icmp         ICMP
}

func (e *endText) tuple() Tuple {
	return Tuple{Src: netip.AddrPortFrom(e.src, e.sport), Dst: netip.AddrPortFrom(e.dst, e.dport), ICMP: e.icmp}
}

// word reads the i-th word behind the protocol.
func (p *flowParser) word(i int, w string) error {
	name, value, ok := strings.Cut(w, "=")
	switch {
	case !ok:
		return p.flag(i, w)
	case name == "src":
		if p.at++; p.at > 1 {
			return errors.New("a third direction")
		}
	case p.at < 0:
		return errors.New("outside of a direction")
	}
	isICMP := p.flow.Protocol == ICMP4 || p.flow.Protocol == ICMP6
	if name == "id" && isICMP && !p.given[p.key("icmp-id")] && p.given[p.key("type")] {
		name = "icmp-id"
	}
	read, known := flowFields[name]
	if !known {
		return nil // counters, security contexts, users
	}
	if p.given == nil {
		p.given = make(map[string]bool)
	}
	if p.given[p.key(name)] {
		return errors.New("is there twice")
	}
	p.given[p.key(name)] = true
	return read(p, &p.ends[p.at], value)
}

// key tells the fields of the two directions apart.
func (p *flowParser) key(name string) string { return strconv.Itoa(p.at) + name }

// flag reads a word without a value: time left, state, [UNREPLIED].
func (p *flowParser) flag(i int, w string) error {
	switch w {
	case "[UNREPLIED]":
		p.flow.Status &^= StatusSeenReply
	case "[ASSURED]":
		p.flow.Status |= StatusAssured
	case "[OFFLOAD]", "[HW_OFFLOAD]":
		p.flow.Status |= StatusOffload
	default:
		switch {
		case i == 0 && p.at < 0:
			v, err := parseUint[uint32](w, 10)
			p.flow.Timeout = time.Duration(v) * time.Second
			return err
		case i == 1 && p.at < 0:
			p.flow.State = w
		default:
			return errors.New("what does it mean")
		}
	}
	return nil
}

// flowFields reads the fields by name. e is the direction that a field is in; those
// of the whole flow follow the second one.
var flowFields = map[string]func(p *flowParser, e *endText, value string) error{
	"src":     func(_ *flowParser, e *endText, v string) error { return setAddr(&e.src, v) },
	"dst":     func(_ *flowParser, e *endText, v string) error { return setAddr(&e.dst, v) },
	"sport":   func(_ *flowParser, e *endText, v string) error { return setUint(&e.sport, v, 10) },
	"dport":   func(_ *flowParser, e *endText, v string) error { return setUint(&e.dport, v, 10) },
	"srckey":  func(_ *flowParser, e *endText, v string) error { return setUint(&e.sport, v, 0) },
	"dstkey":  func(_ *flowParser, e *endText, v string) error { return setUint(&e.dport, v, 0) },
	"type":    func(_ *flowParser, e *endText, v string) error { return setUint(&e.icmp.Type, v, 10) },
	"code":    func(_ *flowParser, e *endText, v string) error { return setUint(&e.icmp.Code, v, 10) },
	"icmp-id": func(_ *flowParser, e *endText, v string) error { return setUint(&e.icmp.ID, v, 10) },
	"mark":    func(p *flowParser, _ *endText, v string) error { return setUint(&p.flow.Mark, v, 10) },
	"id":      func(p *flowParser, _ *endText, v string) error { return setUint(&p.flow.ID, v, 10) },
	"zone": func(p *flowParser, _ *endText, v string) error {
		err := setUint(&p.flow.Zone, v, 10)
		p.flow.ReplyZone = p.flow.Zone
		return err
	},
	"zone-orig":  func(p *flowParser, _ *endText, v string) error { return setUint(&p.flow.Zone, v, 10) },
	"zone-reply": func(p *flowParser, _ *endText, v string) error { return setUint(&p.flow.ReplyZone, v, 10) },
}

func setAddr(to *netip.Addr, s string) (err error) {
	*to, err = netip.ParseAddr(s)
	return err
}

func setUint[T uint8 | uint16 | uint32](to *T, s string, base int) (err error) {
	*to, err = parseUint[T](s, base)
	return err
}

func parseUint[T uint8 | uint16 | uint32](s string, base int) (T, error) {
	v, err := strconv.ParseUint(s, base, 32)
	if err != nil || uint64(T(v)) != v {
		return 0, fmt.Errorf("%q is no number, or too large a one", s)
	}
	return T(v), nil
}
