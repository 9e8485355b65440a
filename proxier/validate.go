package proxier

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipvs"
)

// faults collects every reason against a value.
type faults []error

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Errorf(format, args...)) }

func (f *faults) join() error { return errors.Join(*f...) }

// Validate returns every fault of the service, joined, or nil. Each names the
// field.
func (s Service) Validate() error {
	var f faults
	if n := len(s.Name); n == 0 || n > 255 {
		f.add("name: %d bytes, want 1–255", n)
	}
	if strings.ContainsFunc(s.Name, func(r rune) bool { return r == '"' || r == '\\' || r < ' ' || r == 0x7f }) {
		f.add("name %q: holds a quotation mark, backslash or control character", s.Name)
	}
	if !s.Protocol.Valid() {
		f.add("protocol %d: want tcp, udp or sctp", uint8(s.Protocol))
	}
	s.validateFrontends(&f)
	s.validateEndpoints(&f)
	if s.Internal > Local {
		f.add("internal: %v", s.Internal)
	}
	if s.External > Local {
		f.add("external: %v", s.External)
	}
	for i, p := range s.SourceRanges {
		switch {
		case !p.IsValid() || p.Addr().Zone() != "" || p.Addr().Is4In6():
			f.add("sourceRanges[%d]: %v is no network", i, p)
		case p != p.Masked():
			f.add("sourceRanges[%d]: %v has bits beyond its length, want %v", i, p, p.Masked())
		}
	}
	if t := s.Affinity.Timeout; t < 0 || t > 24*time.Hour || t%time.Second != 0 {
		f.add("affinity.timeout: %v, want whole seconds up to 24h", t)
	}
	if s.Affinity.Bits4 > 32 {
		f.add("affinity.bits4: %d, want 0–32", s.Affinity.Bits4)
	}
	if s.Affinity.Bits6 > 128 {
		f.add("affinity.bits6: %d, want 0–128", s.Affinity.Bits6)
	}
	if len(s.Scheduler) > 15 || strings.ContainsAny(s.Scheduler, " \t\n\x00") {
		f.add("scheduler: %q is no name of at most 15 bytes", s.Scheduler)
	}
	if s.Flags&^(ipvs.OnePacket|ipvs.Sched1|ipvs.Sched2|ipvs.Sched3) != 0 {
		f.add("flags: %#x holds bits that are no scheduler's", uint32(s.Flags))
	}
	if s.Flags&ipvs.OnePacket != 0 && s.Protocol != vipkit.UDP {
		f.add("flags: one-packet scheduling is for udp only")
	}
	s.validateForward(&f)
	if s.WithoutEndpoints > Drop {
		f.add("withoutEndpoints: %v", s.WithoutEndpoints)
	}
	return f.join()
}

func (s Service) validateFrontends(f *faults) {
	seen := make(map[netip.AddrPort]int, len(s.Frontends))
	for i, fe := range s.Frontends {
		if fe.Port == 0 {
			f.add("frontends[%d].port: 0, want 1–65535", i)
		}
		switch fe.Kind {
		case ClusterIP, ExternalIP, LoadBalancerIP:
			if why := notUnicast(fe.Addr); why != "" {
				f.add("frontends[%d].addr: %v %s", i, fe.Addr, why)
			}
		case HostPort:
			if why := notUnicast(fe.Addr); why != "" && !fe.Addr.IsUnspecified() {
				f.add("frontends[%d].addr: %v %s", i, fe.Addr, why)
			}
		case NodePort:
			if fe.Addr != netip.IPv4Unspecified() && fe.Addr != netip.IPv6Unspecified() {
				f.add("frontends[%d].addr: %v, a node port has 0.0.0.0 or ::", i, fe.Addr)
			}
		default:
			f.add("frontends[%d].kind: %v", i, fe.Kind)
		}
		at := netip.AddrPortFrom(fe.Addr, fe.Port)
		if j, ok := seen[at]; ok {
			f.add("frontends[%d]: %v is frontends[%d] already", i, at, j)
		}
		seen[at] = i
	}
}

// validateForward checks what the way of forwarding asks of the rest.
func (s Service) validateForward(f *faults) {
	if s.Forward > Tunnel {
		f.add("forward: %v", s.Forward)
	}
	if s.Forward != Tunnel && s.Tunnel != (ipvs.TunnelConfig{}) {
		f.add("tunnel: is for forward Tunnel only")
	}
	if s.Forward == Tunnel {
		of := ipvs.Key{Protocol: vipkit.TCP, Addr: netip.AddrFrom4([4]byte{192, 0, 2, 1}), Port: 1}
		d := ipvs.Destination{DestKey: ipvs.DestKey{Addr: of.Addr, Port: 1}, Forward: ipvs.Tunnel, Tunnel: s.Tunnel}
		if err := d.Validate(of); err != nil {
			f.add("tunnel: %w", err)
		}
	}
	if s.Forward == FullNAT && s.External == Local {
		f.add("forward: FullNAT hides the client's address, which external policy Local keeps")
	}
	if !s.Forward.translates() {
		for i, fe := range s.Frontends {
			if !fe.Kind.virtual() {
				f.add("forward: %v needs a virtual address, which endpoints hold too: frontends[%d] is a %v", s.Forward, i, fe.Kind)
				continue
			}
			for j, e := range s.Endpoints {
				if e.Port != fe.Port && e.Addr.Is4() == fe.Addr.Is4() {
					f.add("forward: %v does not translate ports, but frontends[%d] has %d and endpoints[%d] %d", s.Forward, i, fe.Port, j, e.Port)
					return
				}
			}
		}
	}
	for i, fe := range s.Frontends {
		if s.HealthCheckPort != 0 && s.HealthCheckPort == fe.Port && s.Protocol == vipkit.TCP && fe.Kind == LoadBalancerIP {
			f.add("healthCheckPort: %d is the port of frontends[%d]", s.HealthCheckPort, i)
		}
	}
}

func (s Service) validateEndpoints(f *faults) {
	var families [2]bool
	for _, fe := range s.Frontends {
		if fe.Addr.IsValid() {
			families[familyIndex(vipkit.FamilyOf(fe.Addr))] = true
		}
	}
	seen := make(map[netip.AddrPort]int, len(s.Endpoints))
	for i, e := range s.Endpoints {
		if why := notUnicast(e.Addr); why != "" {
			f.add("endpoints[%d].addr: %v %s", i, e.Addr, why)
		} else if fam := vipkit.FamilyOf(e.Addr); len(s.Frontends) > 0 && !families[familyIndex(fam)] {
			f.add("endpoints[%d].addr: %v is %v and no frontend is", i, e.Addr, fam)
		}
		if e.Port == 0 {
			f.add("endpoints[%d].port: 0, want 1–65535", i)
		}
		if e.Weight > 65535 {
			f.add("endpoints[%d].weight: %d, want 0–65535", i, e.Weight)
		}
		if e.Lower > e.Upper {
			f.add("endpoints[%d].lower: %d is above upper, %d", i, e.Lower, e.Upper)
		}
		at := netip.AddrPortFrom(e.Addr, e.Port)
		if j, ok := seen[at]; ok {
			f.add("endpoints[%d]: %v is endpoints[%d] already", i, at, j)
		}
		seen[at] = i
	}
}

// notUnicast says why a cannot be a virtual address or an endpoint, or "".
func notUnicast(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return "is no address"
	case a.Is4In6():
		return "is IPv4 written as IPv6, want " + a.Unmap().String()
	case a.Zone() != "":
		return "has a zone"
	case a.IsUnspecified():
		return "is unspecified"
	case a.IsLoopback():
		return "is a loopback address"
	case a.IsMulticast():
		return "is a multicast address"
	case a.IsLinkLocalUnicast():
		return "is a link-local address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "is the broadcast address"
	}
	return ""
}
