package conntrack

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/vipkit/vipkit"
)

// String returns the flow as a line of "conntrack -L -o id", without state and
// time left: "udp      17 src=10.0.0.9 dst=10.96.0.10 sport=1234 dport=53
// src=10.244.0.10 dst=10.0.0.9 sport=53 dport=1234 mark=0 id=7".
func (f Flow) String() string {
	b, _ := f.AppendText(nil)
	return string(b)
}

// AppendText implements [encoding.TextAppender]; see [Flow.String].
func (f Flow) AppendText(b []byte) ([]byte, error) {
	b = append(b, fmt.Sprintf("%-8s ", protocolName(f.Protocol))...)
	b = strconv.AppendUint(b, uint64(f.Protocol), 10)
	for _, t := range [...]Tuple{f.Original, f.Reply} {
		b = append(b, " src="...)
		b = t.Src.Addr().AppendTo(b)
		b = append(b, " dst="...)
		b = t.Dst.Addr().AppendTo(b)
		b = strconv.AppendUint(append(b, " sport="...), uint64(t.Src.Port()), 10)
		b = strconv.AppendUint(append(b, " dport="...), uint64(t.Dst.Port()), 10)
	}
	b = strconv.AppendUint(append(b, " mark="...), uint64(f.Mark), 10)
	if f.Zone != 0 {
		b = strconv.AppendUint(append(b, " zone="...), uint64(f.Zone), 10)
	}
	return strconv.AppendUint(append(b, " id="...), uint64(f.ID), 10), nil
}

// MarshalText implements [encoding.TextMarshaler]; see [Flow.String].
func (f Flow) MarshalText() ([]byte, error) { return f.AppendText(nil) }

func protocolName(p vipkit.Protocol) string {
	switch {
	case p.Valid():
		return p.String()
	case p == icmp:
		return "icmp"
	case p == icmpv6:
		return "icmpv6"
	}
	return "unknown"
}

// UnmarshalText implements [encoding.TextUnmarshaler]: a line of "conntrack
// -L", with or without "-o extended" and "-o id". What a Flow does not hold is
// skipped.
func (f *Flow) UnmarshalText(line []byte) error {
	words := strings.Fields(string(line))
	if len(words) > 2 && (words[0] == "ipv4" || words[0] == "ipv6") {
		words = words[2:]
	}
	if len(words) < 2 {
		return fmt.Errorf("%q is no flow", line)
	}
	number, err := strconv.ParseUint(words[1], 10, 8)
	if err != nil {
		return fmt.Errorf("%q is no protocol", words[1])
	}
	p := flowParser{flow: Flow{Protocol: vipkit.Protocol(number)}}
	for _, w := range words[2:] {
		name, value, ok := strings.Cut(w, "=")
		if !ok || strings.HasPrefix(name, "[") {
			continue // time left, state, [ASSURED]
		}
		if err := p.field(name, value); err != nil {
			return err
		}
	}
	if p.fields != allFields {
		return fmt.Errorf("%q lacks a source or destination", line)
	}
	p.flow.Original = Tuple{netip.AddrPortFrom(p.src[0], p.sport[0]), netip.AddrPortFrom(p.dst[0], p.dport[0])}
	p.flow.Reply = Tuple{netip.AddrPortFrom(p.src[1], p.sport[1]), netip.AddrPortFrom(p.dst[1], p.dport[1])}
	*f = p.flow
	return nil
}

// flowParser gathers the fields of both directions, which have the same names:
// the second of a name is the reply's.
type flowParser struct {
	flow         Flow
	src, dst     [2]netip.Addr
	sport, dport [2]uint16
	fields       [4]int // how many of src, dst, sport, dport were there
	inner        bool   // the next id is ICMP's
}

var allFields = [4]int{2, 2, 2, 2}

func (p *flowParser) field(name, value string) (err error) {
	switch name {
	case "src":
		err = p.addr(0, &p.src, value)
	case "dst":
		err = p.addr(1, &p.dst, value)
	case "sport":
		err = p.port(2, &p.sport, value)
	case "dport":
		err = p.port(3, &p.dport, value)
	case "type": // of ICMP, in place of ports
		err = errors.Join(p.port(2, &p.sport, "0"), p.port(3, &p.dport, "0"))
		p.inner = true
	case "mark":
		p.flow.Mark, err = parseUint[uint32](value, 32)
	case "zone", "zone-orig":
		p.flow.Zone, err = parseUint[uint16](value, 16)
	case "id":
		if p.inner {
			p.inner = false
			return nil
		}
		p.flow.ID, err = parseUint[uint32](value, 32)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (p *flowParser) addr(field int, to *[2]netip.Addr, value string) error {
	if p.fields[field] > 1 {
		return errors.New("is there three times")
	}
	a, err := netip.ParseAddr(value)
	if err != nil {
		return err
	}
	if err := validateAddr("address", a); err != nil {
		return err
	}
	to[p.fields[field]] = a
	p.fields[field]++
	return nil
}

func (p *flowParser) port(field int, to *[2]uint16, value string) error {
	if p.fields[field] > 1 {
		return errors.New("is there three times")
	}
	v, err := parseUint[uint16](value, 16)
	to[p.fields[field]] = v
	p.fields[field]++
	return err
}

func parseUint[T uint16 | uint32](s string, bits int) (T, error) {
	v, err := strconv.ParseUint(s, 10, bits)
	if err != nil {
		return 0, fmt.Errorf("%q is no number of %d bits", s, bits)
	}
	return T(v), nil
}

// String returns the options of "conntrack -D" that select the same flows:
// "-p udp --orig-dst 10.96.0.10 --orig-port-dst 53 --reply-src 10.244.0.10
// --reply-port-src 53". IPv6 starts with "-f ipv6".
func (m Match) String() string {
	var b []byte
	if a := m.OriginalDst.Addr(); a.IsValid() && !a.Is4() {
		b = append(b, "-f ipv6 "...)
	}
	b = fmt.Appendf(b, "-p %v --orig-dst %v --orig-port-dst %d", m.Protocol, m.OriginalDst.Addr(), m.OriginalDst.Port())
	if m.ReplySrc.IsValid() {
		b = fmt.Appendf(b, " --reply-src %v --reply-port-src %d", m.ReplySrc.Addr(), m.ReplySrc.Port())
	}
	return string(b)
}

// MarshalText implements [encoding.TextMarshaler]; see [Match.String].
func (m Match) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]: the options of
// [Match.String], long or short, in any order.
func (m *Match) UnmarshalText(text []byte) error {
	words := strings.Fields(string(text))
	if len(words)%2 != 0 {
		return fmt.Errorf("%q: an option lacks its value", text)
	}
	var v Match
	var dst, src netip.Addr
	var dport, sport uint16
	for i := 0; i < len(words); i += 2 {
		var err error
		switch value := words[i+1]; words[i] {
		case "-p", "--protonum", "--proto":
			v.Protocol, err = vipkit.ParseProtocol(value)
		case "-d", "--dst", "--orig-dst":
			dst, err = netip.ParseAddr(value)
		case "--dport", "--orig-port-dst":
			dport, err = parseUint[uint16](value, 16)
		case "-r", "--reply-src":
			src, err = netip.ParseAddr(value)
		case "--reply-port-src":
			sport, err = parseUint[uint16](value, 16)
		case "-f", "--family":
			if value != "ipv4" && value != "ipv6" {
				err = fmt.Errorf("unknown family %q", value)
			}
		default:
			err = errors.New("unknown option")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", words[i], err)
		}
	}
	v.OriginalDst = netip.AddrPortFrom(dst, dport)
	if src.IsValid() || sport != 0 {
		v.ReplySrc = netip.AddrPortFrom(src, sport)
	}
	if err := v.Validate(); err != nil {
		return err
	}
	*m = v
	return nil
}
