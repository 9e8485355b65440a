package dummy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// String returns the address as ip(8) shows it: "inet 10.96.0.1/32" or
// "inet6 fd00::1/128" on a link, "local 10.96.0.1" as a route.
func (a Address) String() string {
	b, _ := a.AppendText(nil)
	return string(b)
}

// AppendText implements [encoding.TextAppender]; see [Address.String].
func (a Address) AppendText(b []byte) ([]byte, error) {
	if a.Means == ByRoute {
		return a.Addr.AppendTo(append(b, "local "...)), nil
	}
	word := "inet "
	if a.Addr.Is6() {
		word = "inet6 "
	}
	b = a.Addr.AppendTo(append(b, word...))
	return strconv.AppendInt(append(b, '/'), int64(a.Addr.BitLen()), 10), nil
}

// MarshalText implements [encoding.TextMarshaler]. An address that is not valid
// has no text.
func (a Address) MarshalText() ([]byte, error) {
	if err := a.Validate(); err != nil {
		return nil, err
	}
	return a.AppendText(nil)
}

// UnmarshalText implements [encoding.TextUnmarshaler]; it reads what
// [Address.String] writes.
func (a *Address) UnmarshalText(text []byte) error {
	word, rest, ok := strings.Cut(string(text), " ")
	if !ok {
		return fmt.Errorf("virtual address %q: want inet, inet6 or local before it", text)
	}
	var out Address
	var err error
	switch word {
	case "local":
		out.Means = ByRoute
		out.Addr, err = netip.ParseAddr(rest)
	case "inet", "inet6":
		var p netip.Prefix
		p, err = netip.ParsePrefix(rest)
		if err == nil && (!p.IsSingleIP() || p.Addr().Is6() != (word == "inet6")) {
			err = fmt.Errorf("virtual address %q: want one %s address with its full prefix length", text, word)
		}
		out.Addr = p.Addr()
	default:
		err = fmt.Errorf("virtual address %q begins with %q, want inet, inet6 or local", text, word)
	}
	if err == nil {
		err = out.Validate()
	}
	if err != nil {
		return err
	}
	*a = out
	return nil
}

// String returns the change as the command of ip(8) that does it to a link:
// "ip addr add 10.96.0.1/32 dev vipkit0", "ip route del local 10.96.0.1 dev
// vipkit0 table local proto static".
func (c Change) String(link string) string {
	verb := "add"
	switch c.Op {
	case AddAddress:
	case DeleteAddress:
		verb = "del"
	default:
		verb = fmt.Sprintf("operation-%d", c.Op)
	}
	if c.Address.Means == ByRoute {
		return fmt.Sprintf("ip route %s local %s dev %s table local proto static", verb, c.Address.Addr, link)
	}
	nodad := ""
	if c.Op == AddAddress && c.Address.Addr.Is6() {
		nodad = " nodad"
	}
	return fmt.Sprintf("ip addr %s %s/%d dev %s%s", verb, c.Address.Addr, c.Address.Addr.BitLen(), link, nodad)
}

// String returns the link as the command of ip(8) that makes it: "ip link add
// vipkit0 mtu 1500 group 7 up type dummy".
func (l Link) String() string {
	b := l.appendSettings([]byte("ip link add "))
	if l.Up {
		b = append(b, " up"...)
	}
	kind := l.Kind
	if kind == "" {
		kind = Kind
	}
	return string(append(append(b, " type "...), kind...))
}

// UpdateString returns the command of ip(8) that gives a link that is there these
// settings: "ip link set vipkit0 mtu 1500 group 7 up".
func (l Link) UpdateString() string {
	b := l.appendSettings([]byte("ip link set "))
	if l.Up {
		return string(append(b, " up"...))
	}
	return string(append(b, " down"...))
}

func (l Link) appendSettings(b []byte) []byte {
	b = append(b, l.Name...)
	if l.MTU != 0 {
		b = strconv.AppendInt(append(b, " mtu "...), int64(l.MTU), 10)
	}
	if l.Group != 0 {
		b = strconv.AppendUint(append(b, " group "...), uint64(l.Group), 10)
	}
	return b
}
