package main

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/kerneltest/oracle"
)

// traceOptions say which packet.
type traceOptions struct {
	from                   netip.AddrPort
	pod, host, outside, at bool // --from-…, and --from
	to                     target
}

// target is where a packet goes.
type target struct {
	at       netip.AddrPort
	protocol vipkit.Protocol
}

func (t target) name() string {
	if t.protocol == oracle.Ping {
		return "ping"
	}
	return t.protocol.String()
}

func traceFlags(flags *flag.FlagSet, o *options) {
	t := &o.trace
	flags.Func("from", "", func(s string) (err error) {
		t.at = true
		t.from, err = parseFrom(s)
		return err
	})
	flags.BoolVar(&t.pod, "from-pod", false, "")
	flags.BoolVar(&t.host, "from-host", false, "")
	flags.BoolVar(&t.outside, "from-outside", false, "")
	flags.Func("to", "", func(s string) (err error) {
		t.to, err = parseTo(s)
		return err
	})
}

// checkTrace reports what is missing or too much.
func checkTrace(o *options) error {
	t := &o.trace
	kinds := 0
	for _, set := range []bool{t.pod, t.host, t.outside} {
		if set {
			kinds++
		}
	}
	switch {
	case !t.to.at.IsValid():
		return usagef("--to is missing: where the packet goes, as in 10.96.0.10:53/udp")
	case kinds > 1:
		return usagef("--from-pod, --from-host and --from-outside: want one of them")
	case kinds == 0 && !t.at:
		return usagef("who sends the packet is missing: --from ADDR, --from-pod, --from-host or --from-outside")
	case t.at && t.from.Addr().Is4() != t.to.at.Addr().Is4():
		return usagef("--from %v and --to %v are of two families", t.from.Addr(), t.to.at.Addr())
	}
	return nil
}

// parseFrom reads ADDR or ADDR:PORT.
func parseFrom(s string) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err == nil {
		return netip.AddrPortFrom(a, 0), plain(a)
	}
	ap, err := parseAddrPort(s)
	if err != nil {
		return ap, fmt.Errorf("want ADDR or ADDR:PORT: %w", err)
	}
	return ap, plain(ap.Addr())
}

// parseTo reads ADDR:PORT/PROTO or ADDR/ping.
func parseTo(s string) (t target, err error) {
	at, proto, ok := strings.Cut(s, "/")
	if !ok {
		return t, errors.New("want ADDR:PORT/PROTO or ADDR/ping, as in 10.96.0.10:53/udp")
	}
	if strings.EqualFold(proto, "ping") {
		a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(at, "["), "]"))
		if err != nil {
			return t, fmt.Errorf("want ADDR/ping: %q is no IP address", at)
		}
		return target{netip.AddrPortFrom(a, 0), oracle.Ping}, plain(a)
	}
	if t.protocol, err = vipkit.ParseProtocol(proto); err != nil {
		return t, fmt.Errorf("protocol %q: want tcp, udp, sctp or ping", proto)
	}
	if t.at, err = parseAddrPort(at); err != nil {
		return t, fmt.Errorf("want ADDR:PORT/PROTO: %w", err)
	}
	if t.at.Port() == 0 {
		return t, errors.New("port 0: want 1–65535")
	}
	return t, plain(t.at.Addr())
}

// parseAddrPort says more of what is wrong than [netip.ParseAddrPort].
func parseAddrPort(s string) (netip.AddrPort, error) {
	i := strings.LastIndexByte(s, ':')
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPort{}, fmt.Errorf("%v has no port", a)
	}
	if i < 0 {
		return netip.AddrPort{}, fmt.Errorf("%q is no IP address", s)
	}
	host, bracketed := strings.CutPrefix(s[:i], "[")
	host = strings.TrimSuffix(host, "]")
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no IP address", host)
	}
	if a.Is6() != bracketed {
		return netip.AddrPort{}, fmt.Errorf("%q: brackets are for IPv6, which needs them", s[:i])
	}
	port, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("port %q: want 1–65535", s[i+1:])
	}
	return netip.AddrPortFrom(a, uint16(port)), nil
}

// plain refuses addresses that no packet has.
func plain(a netip.Addr) error {
	if a.Is4In6() || a.Zone() != "" {
		return fmt.Errorf("address %v is mapped or has a zone", a)
	}
	if a.IsUnspecified() {
		return fmt.Errorf("address %v stands for none", a)
	}
	return nil
}

// packet returns the packet that is meant, and says from where it is: "pod",
// "host", "outside". It puts a pod that the dump does not know on the node.
func (t *traceOptions) packet(h *host, around *neighbourhood) (p oracle.Packet, from string, err error) {
	p = oracle.Packet{Protocol: t.to.protocol, Source: t.from, Destination: t.to.at}
	family := vipkit.FamilyOf(t.to.at.Addr())
	if !around.has(family) {
		return p, "", fmt.Errorf("--to %v: the dump has no %v address of the node: what its packets look like cannot be told", t.to.at.Addr(), family)
	}
	a := t.from.Addr()
	own := around.own(a) || h.isVirtual(a)
	switch {
	case t.host || own && !t.pod && !t.outside:
		if t.at && !own {
			return p, "", fmt.Errorf("--from-host: %v is no address of node %s", a, h.Node.Name)
		}
		return p, "host", nil
	case own:
		return p, "", fmt.Errorf("--from %v is an address of node %s: want --from-host", a, h.Node.Name)
	case t.pod || t.at && around.isPod(a) && !t.outside:
		p.In = podLink
		if !t.at {
			if a, t.at = around.pod(family); !t.at {
				return p, "", fmt.Errorf("--from-pod: the dump leaves no %v address for another pod of node %s: say which it is with --from", family, h.Node.Name)
			}
			p.Source = netip.AddrPortFrom(a, 0)
		}
		around.addPod(a)
		return p, "pod", nil
	case t.outside && around.isPod(a):
		return p, "", fmt.Errorf("--from-outside: %v is the address of a pod of node %s", a, h.Node.Name)
	}
	p.In = uplink
	if !t.at {
		a, _ = around.outsider(family, nil)
		p.Source = netip.AddrPortFrom(a, 0)
	}
	return p, "outside", nil
}
