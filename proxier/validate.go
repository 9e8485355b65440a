package proxier

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/dummy"
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
		if e.Upper != 0 && e.Lower > e.Upper {
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

// config is a Config with its defaults in place.
type config struct {
	Config
	// rulesets are the rules of each family.
	rulesets [2]ruleset
}

// resolved returns the configuration with defaults, or every fault of it.
func (c *Config) resolved() (*config, error) {
	var r config
	if c != nil {
		r.Config = *c
		r.NodeAddresses = slices.Clone(c.NodeAddresses)
		r.ClusterCIDRs = slices.Clone(c.ClusterCIDRs)
		r.PodCIDRs = slices.Clone(c.PodCIDRs)
	}
	if r.Prefix == "" {
		r.Prefix = "VIPKIT"
	}
	if r.Link == "" {
		r.Link = strings.ToLower(r.Prefix) + "0"
	}
	if r.Scheduler == "" {
		r.Scheduler = "rr"
	}
	if r.MasqueradeMark == 0 {
		r.MasqueradeMark = 0x4000
	}
	if r.LocalMarks == (MarkRange{}) {
		r.LocalMarks = defaultMarks(r.Prefix)
	}
	for i, f := range families {
		r.rulesets[i] = r.rules(f)
	}
	return &r, r.validate()
}

// defaultMarks returns 16,384 marks from 0x70000000 on, other ones for another
// prefix in all but one of 8,192 cases. None holds the default masquerade bit.
func defaultMarks(prefix string) MarkRange {
	h := fnv.New32a()
	_, _ = h.Write([]byte(prefix)) // a hash never fails
	first := 0x70000000 | h.Sum32()%0x2000<<15
	return MarkRange{First: first, Last: first + 0x3fff}
}

func (c *config) validate() error {
	var f faults
	if len(c.Prefix) > 14 || strings.ContainsFunc(c.Prefix, func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_'
	}) {
		f.add("config: prefix %q: want 1–14 of A–Z, 0–9, _", c.Prefix)
	}
	if len(c.Link) > dummy.MaxNameLen || strings.ContainsAny(c.Link, "/: \t\n") {
		f.add("config: link %q: want a name of 1–15 bytes", c.Link)
	}
	if c.Means > dummy.ByRoute {
		f.add("config: means %d", c.Means)
	}
	for i, a := range c.NodeAddresses {
		if why := notUnicast(a); why != "" {
			f.add("config: nodeAddresses[%d]: %v %s", i, a, why)
		}
	}
	validateNets(&f, "clusterCIDRs", c.ClusterCIDRs)
	validateNets(&f, "podCIDRs", c.PodCIDRs)
	if m := c.MasqueradeMark; m&(m-1) != 0 {
		f.add("config: masqueradeMark %#x: want one bit", m)
	}
	if m := c.LocalMarks; m.First == 0 || m.Last < m.First {
		f.add("config: localMarks %#x–%#x: want at least one, none of them 0", m.First, m.Last)
	} else if holdsBit(m, c.MasqueradeMark) {
		f.add("config: localMarks %#x–%#x: some hold the masquerade bit %#x", m.First, m.Last, c.MasqueradeMark)
	}
	return f.join()
}

func validateNets(f *faults, name string, nets []netip.Prefix) {
	for i, n := range nets {
		if !n.IsValid() || n != n.Masked() || n.Addr().Is4In6() {
			f.add("config: %s[%d]: %v is no masked network", name, i, n)
		}
	}
}

// holdsBit reports whether any mark of the range holds bit.
func holdsBit(m MarkRange, bit uint32) bool {
	if m.First&bit != 0 || m.Last&bit != 0 {
		return true
	}
	// Neither end holds it: one between does if the bits above it differ.
	return m.First&^(bit-1) != m.Last&^(bit-1)
}
