package proxier

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/iptables"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/probe"
)

// needs is what services ask of a host. It is a [sink], so that the layout tells.
type needs struct {
	families [2]bool
	// bound says of which families there are virtual addresses.
	bound      [2]bool
	schedulers map[string]bool
	// outside says that clients outside the cluster are meant.
	outside bool
}

func (p *Proxier) needs(services []Service) needs {
	n := needs{families: p.config.familiesOf(services), schedulers: map[string]bool{p.config.Scheduler: true}}
	for _, svc := range services {
		if svc.Validate() != nil {
			continue // it will be refused
		}
		layoutService(p.config, &n, svc, p.config.LocalMarks.First)
		for _, fe := range svc.Frontends {
			n.outside = n.outside || fe.Kind != ClusterIP
		}
	}
	return n
}

// entry implements [sink].
func (n *needs) entry(setID, vipkit.Family, ipset.Entry) {}

// address implements [sink].
func (n *needs) address(a dummy.Address) { n.bound[familyIndex(vipkit.FamilyOf(a.Addr))] = true }

// server implements [sink].
func (n *needs) server(_ ipvs.Key, make func() ipvs.Server) { n.schedulers[make().Scheduler] = true }

// used are the families that any frontend has.
func (n *needs) used() []vipkit.Family {
	return slices.DeleteFunc(slices.Clone(families[:]), func(f vipkit.Family) bool { return !n.families[familyIndex(f)] })
}

// probe asks the kernel after a facility, if it can be asked. Without the
// privilege every answer is the same: one will do.
func (f *flight) probe(facility probe.Facility) {
	if f.kernel.Probe == nil || f.denied || f.ctx.Err() != nil {
		return
	}
	err := f.kernel.Probe.Probe(f.ctx, facility)
	switch {
	case err == nil:
	case errors.Is(err, errors.ErrUnsupported):
		f.lacks(err)
	case errors.Is(err, fs.ErrPermission):
		f.denied = true
		f.lacks(err)
	default:
		f.warn("whether the kernel has it cannot be told: %v", err)
	}
}

func (f *flight) ipvs() {
	info, err := f.kernel.IPVS.Info(f.ctx)
	if err != nil {
		f.lacks(err)
		return
	}
	f.hasIPVS = true
	f.found("IPVS %d.%d.%d, connection table of %d buckets", info.Version[0], info.Version[1], info.Version[2], info.ConnTableSize)
	for _, family := range f.used() {
		f.probe(probe.Facility{Kind: probe.IPVS, Family: family})
	}
	for _, name := range slices.Sorted(maps.Keys(f.schedulers)) {
		f.probe(probe.Facility{Kind: probe.Scheduler, Name: name})
	}
}

func (f *flight) ipset() {
	for _, err := range f.kernel.IPSet.Sets(f.ctx) {
		if err != nil {
			f.lacks(err)
			return
		}
		break
	}
	f.hasIPSet = true
	types := make(map[ipset.Type]bool)
	for _, spec := range setSpecs {
		types[spec.Type] = true
	}
	for _, t := range slices.Sorted(maps.Keys(types)) {
		for _, family := range f.used() {
			f.probe(probe.Facility{Kind: probe.SetType, Name: string(t), Family: family})
		}
	}
}

func (f *flight) dummy() {
	_, err := f.kernel.Dummy.Link(f.ctx, f.config.Link)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.lacks(err)
		return
	}
	f.probe(probe.Facility{Kind: probe.LinkKind, Name: dummy.Kind})
}

func (f *flight) conntrack() {
	n, limit, err := f.kernel.Conntrack.Count(f.ctx)
	if err != nil {
		f.lacks(err)
		return
	}
	const full = 90 // percent
	if limit > 0 && n >= limit/100*full {
		f.warn("connection tracking holds %d of at most %d flows (net.netfilter.nf_conntrack_max): new ones are dropped when it is full", n, limit)
	}
}

// oldest is the first version of the tools that this library was written for.
var oldest = [3]int{1, 8, 0}

func (f *flight) iptables() {
	for _, family := range f.used() {
		tool := toolOf(family)
		info, err := f.kernel.IPTables.Info(f.ctx, family)
		if err != nil {
			f.lacks(err)
			continue
		}
		version := fmt.Sprintf("%s %d.%d.%d", tool, info.Version[0], info.Version[1], info.Version[2])
		f.found("%s, back end %s", version, info.Backend)
		if slices.Compare(info.Version[:], oldest[:]) < 0 {
			f.warn("%s: vipkit was written for 1.8.0 and later", version)
		}
		tables, err := f.kernel.IPTables.Save(f.ctx, family)
		if err != nil {
			f.lacks(err)
			continue
		}
		f.firewall(family, info.Backend, tables)
		f.elsewhere(family)
		f.extensions(family, version, info)
	}
}

// extensions asks after the matches and targets that our rules name.
func (f *flight) extensions(family vipkit.Family, version string, info iptables.Info) {
	wanted := make(map[probe.Facility]bool)
	random := false
	for _, rules := range f.config.rulesets[familyIndex(family)].chains {
		for _, r := range rules {
			random = random || strings.Contains(string(r), "--random-fully")
			words := strings.Fields(string(r))
			for i := range len(words) - 1 {
				switch name := words[i+1]; {
				case words[i] == "-m":
					wanted[probe.Facility{Kind: probe.Match, Name: name, Family: family}] = true
				case words[i] == "-j" && !isVerdict(name) && !strings.HasPrefix(name, f.config.Prefix+"-"):
					wanted[probe.Facility{Kind: probe.Target, Name: name, Family: family}] = true
				}
			}
		}
	}
	if random && !info.RandomFully {
		f.lacks(&vipkit.OpError{Op: "iptables info", Object: version, Kind: errors.ErrUnsupported, Detail: "--random-fully, since 1.6.2"})
	}
	for _, facility := range slices.SortedFunc(maps.Keys(wanted), func(a, b probe.Facility) int {
		return strings.Compare(a.String(), b.String())
	}) {
		if f.hasIPSet || facility.Module() != "xt_set" { // which needs ip_set
			f.probe(facility)
		}
	}
}

// isVerdict reports whether a target needs no module.
func isVerdict(name string) bool { return name == "ACCEPT" || name == "DROP" || name == "RETURN" }

func toolOf(f vipkit.Family) string {
	if f == vipkit.IPv6 {
		return "ip6tables"
	}
	return "iptables"
}

// ipv6 looks whether the host lets links have IPv6 addresses. Whether that is to
// change is not for a proxier to say, so it is no parameter to set.
func (f *flight) ipv6() {
	if f.kernel.Sysctl == nil || !f.families[familyIndex(vipkit.IPv6)] {
		return
	}
	for _, name := range []string{"net.ipv6.conf.all.disable_ipv6", "net.ipv6.conf.default.disable_ipv6"} {
		value, err := f.kernel.Sysctl.Get(f.ctx, name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			f.lacks(&vipkit.OpError{Op: "ipv6", Kind: errors.ErrUnsupported, Detail: "the kernel has none: option CONFIG_IPV6, or it was started with ipv6.disable=1"})
			return
		case err != nil:
			f.warn("whether IPv6 is disabled cannot be told: %v", err)
			return
		case value != "0":
			f.lacks(&vipkit.OpError{Op: "ipv6", Kind: errors.ErrUnsupported, Detail: "it is disabled: " + name + " = " + value})
			return
		}
	}
}

// addresses compares what the configuration says of the host's addresses with
// what the host has. A client of links that cannot list them says nothing.
func (f *flight) addresses() {
	watcher, ok := f.kernel.Dummy.(dummy.Watcher)
	if !ok || len(f.config.NodeAddresses)+len(f.config.HostAddresses) == 0 || len(f.used()) == 0 {
		return
	}
	list, err := dummy.HostAddresses(f.ctx, watcher)
	if err != nil {
		f.warn("the host's addresses cannot be read: %v", err)
		return
	}
	if !slices.ContainsFunc(list, func(a dummy.HostAddress) bool { return !a.Prefix.Addr().IsLoopback() }) {
		return // a host in memory that nobody has given any
	}
	has := make(map[netip.Addr]bool)
	for _, a := range list {
		has[a.Prefix.Addr()] = has[a.Prefix.Addr()] || a.Usable()
	}
	told := make(map[netip.Addr]bool)
	for _, configured := range []struct {
		what  string
		addrs []netip.Addr
	}{{"node address", f.config.NodeAddresses}, {"host address", f.config.HostAddresses}} {
		for _, a := range configured.addrs {
			usable, there := has[a]
			if usable || told[a] {
				continue
			}
			told[a] = true
			why := "no link of this host has it"
			if there {
				why = "duplicate address detection has not ended well"
			}
			f.warn("%s %v: %s, and no port answers there", configured.what, a, why)
		}
	}
}
