package oracle

import (
	"fmt"
	"net/netip"

	"github.com/vipkit/vipkit"
)

// Ping is the protocol of an ICMP echo request, of either family.
const Ping vipkit.Protocol = 1

// Packet is the first packet of a connection, or a ping. It is comparable.
type Packet struct {
	// Protocol is TCP, UDP, SCTP or Ping.
	Protocol vipkit.Protocol
	// Source is who sends it. An address of this host makes it the host's own
	// packet, and so does the zero value, for which the host picks the address.
	Source netip.AddrPort
	// Destination is where it goes. The port of a Ping means nothing.
	Destination netip.AddrPort
	// In is the link by which it arrives. Empty: the one by which this host
	// would answer the source.
	In string
}

// Validate reports a packet that no host sends.
func (p Packet) Validate() error {
	if !p.Protocol.Valid() && p.Protocol != Ping {
		return fmt.Errorf("packet %v: protocol %v: want tcp, udp, sctp or ping", p, p.Protocol)
	}
	for _, a := range []netip.Addr{p.Source.Addr(), p.Destination.Addr()} {
		if a.Is4In6() || a.Zone() != "" {
			return fmt.Errorf("packet %v: address %v is mapped or has a zone", p, a)
		}
	}
	if !p.Destination.Addr().IsValid() || p.Destination.Addr().IsUnspecified() {
		return fmt.Errorf("packet %v: no destination", p)
	}
	if s := p.Source.Addr(); s.IsValid() && vipkit.FamilyOf(s) != vipkit.FamilyOf(p.Destination.Addr()) {
		return fmt.Errorf("packet %v: source and destination are of two families", p)
	}
	return nil
}

// String returns "198.51.100.9:40000 > 10.96.0.1:80 tcp".
func (p Packet) String() string {
	from := "this host"
	if p.Source.Addr().IsValid() {
		from = endText(p.Source)
	}
	name := p.Protocol.String()
	if p.Protocol == Ping {
		name = "ping"
	}
	return from + " > " + endText(p.Destination) + " " + name
}

// endText writes an address, and the port if it is known.
func endText(a netip.AddrPort) string {
	if a.Port() == 0 {
		return a.Addr().String()
	}
	return a.String()
}
