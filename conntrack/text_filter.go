package conntrack

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vipkit/vipkit"
)

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
	var f Filter
	if err := f.UnmarshalText(text); err != nil {
		return err
	}
	v := Match{f.Protocol, f.OriginalDst, f.ReplySrc}
	if f != (Filter{Family: f.Family, Protocol: v.Protocol, OriginalDst: v.OriginalDst, ReplySrc: v.ReplySrc}) {
		return fmt.Errorf("%q: a match has no mark, zone or status", text)
	}
	if err := v.Validate(); err != nil {
		return err
	}
	*m = v
	return nil
}

// String returns the options of "conntrack -L" that select the same flows, such as
// "-f ipv4 -p udp --orig-port-dst 53 --mark 1/255 -w 5", and nothing for the zero
// value. A status is in numbers, "--status 0/2", which the tool does not read; it
// has no words for bits that must not be set.
func (f Filter) String() string {
	var b []byte
	switch family := f.family(); family {
	case 0:
	case vipkit.IPv4, vipkit.IPv6:
		b = fmt.Appendf(b, " -f ipv%d", family)
	default:
		b = fmt.Appendf(b, " -f %d", family)
	}
	if f.Protocol != 0 {
		name := protocolName(f.Protocol)
		if name == "unknown" {
			name = f.Protocol.String()
		}
		b = fmt.Appendf(b, " -p %s", name)
	}
	for _, end := range []struct {
		addr, port string
		want       netip.AddrPort
	}{{"--orig-dst", "--orig-port-dst", f.OriginalDst}, {"--reply-src", "--reply-port-src", f.ReplySrc}} {
		if end.want.Addr().IsValid() {
			b = fmt.Appendf(b, " %s %v", end.addr, end.want.Addr())
		}
		if end.want.Port() != 0 {
			b = fmt.Appendf(b, " %s %d", end.port, end.want.Port())
		}
	}
	if f.MarkMask != 0 {
		b = fmt.Appendf(b, " --mark %d/%d", f.Mark, f.MarkMask)
	}
	if f.Zone != 0 {
		b = fmt.Appendf(b, " -w %d", uint16(f.Zone))
	}
	if f.StatusMask != 0 {
		b = fmt.Appendf(b, " --status %d/%d", f.Status, f.StatusMask)
	}
	return strings.TrimPrefix(string(b), " ")
}

// MarshalText implements [encoding.TextMarshaler]; see [Filter.String].
func (f Filter) MarshalText() ([]byte, error) { return []byte(f.String()), f.Validate() }

// UnmarshalText implements [encoding.TextUnmarshaler]: the options of
// [Filter.String], long or short, in any order.
func (f *Filter) UnmarshalText(text []byte) error {
	words := strings.Fields(string(text))
	if len(words)%2 != 0 {
		return fmt.Errorf("%q: an option lacks its value", text)
	}
	var p filterParser
	for i := 0; i < len(words); i += 2 {
		if err := p.option(words[i], words[i+1]); err != nil {
			return fmt.Errorf("%s: %w", words[i], err)
		}
	}
	p.filter.OriginalDst = netip.AddrPortFrom(p.dst, p.dport)
	p.filter.ReplySrc = netip.AddrPortFrom(p.src, p.sport)
	p.filter.Family = max(p.filter.Family, p.filter.family())
	if err := p.filter.Validate(); err != nil {
		return err
	}
	*f = p.filter
	return nil
}

type filterParser struct {
	filter       Filter
	dst, src     netip.Addr
	dport, sport uint16
}

func (p *filterParser) option(name, value string) (err error) {
	switch name {
	case "-f", "--family":
		switch value {
		case "ipv4":
			p.filter.Family = vipkit.IPv4
		case "ipv6":
			p.filter.Family = vipkit.IPv6
		default:
			err = fmt.Errorf("unknown family %q", value)
		}
	case "-p", "--protonum", "--proto":
		p.filter.Protocol, err = parseProtocol(value)
	case "-d", "--dst", "--orig-dst":
		err = setAddr(&p.dst, value)
	case "--dport", "--orig-port-dst":
		err = setUint(&p.dport, value, 10)
	case "-r", "--reply-src":
		err = setAddr(&p.src, value)
	case "--reply-port-src":
		err = setUint(&p.sport, value, 10)
	case "-m", "--mark":
		err = setMasked(&p.filter.Mark, &p.filter.MarkMask, value)
	case "-w", "--zone":
		var zone uint16
		err = setUint(&zone, value, 10)
		p.filter.Zone = InZone(zone)
	case "-u", "--status":
		err = setMasked((*uint32)(&p.filter.Status), (*uint32)(&p.filter.StatusMask), value)
	default:
		err = errors.New("unknown option")
	}
	return err
}

func setMasked(to, mask *uint32, s string) error {
	v, m, ok := strings.Cut(s, "/")
	if *mask = ^uint32(0); ok {
		if err := setUint(mask, m, 0); err != nil {
			return err
		}
	}
	return setUint(to, v, 0)
}

func parseProtocol(s string) (vipkit.Protocol, error) {
	for _, p := range []vipkit.Protocol{ICMP4, ICMP6, dccp, gre, udplite} {
		if s == protocolName(p) {
			return p, nil
		}
	}
	if p, err := vipkit.ParseProtocol(s); err == nil {
		return p, nil
	}
	v, err := parseUint[uint8](s, 10)
	return vipkit.Protocol(v), err
}
