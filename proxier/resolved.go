package proxier

import (
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/vipkit/vipkit/dummy"
)

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
		r.HostAddresses = slices.Clone(c.HostAddresses)
		r.Tuning.Sysctls = maps.Clone(c.Tuning.Sysctls)
	}
	if len(r.HostAddresses) == 0 {
		r.HostAddresses = r.NodeAddresses
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
	for i, a := range c.HostAddresses {
		if why := notUnicast(a); why != "" {
			f.add("config: hostAddresses[%d]: %v %s", i, a, why)
		}
	}
	if name := strings.TrimSuffix(c.PodLink, "+"); c.PodLink != "" {
		if err := dummy.CheckName(name); err != nil {
			f.add("config: podLink %q: %w", c.PodLink, err)
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
	c.Tuning.validate(&f)
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
