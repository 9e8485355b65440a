package proxier

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/vipkit/vipkit"
)

// Need says how much depends on a parameter.
type Need uint8

// Needs.
const (
	// Required: services do not work as said with another value.
	Required Need = iota + 1
	// Advised: they work, but worse in cases that Why tells.
	Advised
	// Optional: it depends on the network, or the value is only told.
	Optional
)

var needNames = []string{Required: "required", Advised: "advised", Optional: "optional"}

// String returns "required", "advised" or "optional".
func (n Need) String() string { return enumString(needNames, n) }

// Sysctl is a kernel parameter that matters to services. It is comparable with
// ==, but for Err.
type Sysctl struct {
	Name string
	// Want is the value to set; "" where none is wanted. Have is the one that is;
	// "" where it could not be read, for the reason in Err.
	Want, Have string
	// UpTo is the greatest number that does as well as Want; "" if only Want does.
	UpTo string
	Need Need
	Err  error
	// Why says what goes wrong with another value.
	Why string
}

// Fine reports whether the parameter has a value that will do. One of which none
// is wanted always has.
func (s Sysctl) Fine() bool {
	if s.Want == "" || s.Err == nil && s.Have == s.Want {
		return true
	}
	least, err1 := strconv.ParseInt(s.Want, 10, 64)
	most, err2 := strconv.ParseInt(s.UpTo, 10, 64)
	have, err3 := strconv.ParseInt(s.Have, 10, 64)
	return s.Err == nil && err1 == nil && err2 == nil && err3 == nil && least <= have && have <= most
}

// fault says what is wrong with a parameter.
func (s Sysctl) fault() error {
	if s.Err != nil {
		return s.Err
	}
	return fmt.Errorf("%s = %s, want %s: %s", s.Name, s.Have, s.Want, s.Why)
}

// Previous returns what gives parameters that were set back the values that they
// had when they were read, the last first. Those that could not be read are left
// out.
func Previous(sysctls []Sysctl) []Sysctl {
	var back []Sysctl
	for _, s := range slices.Backward(sysctls) {
		if s.Err != nil || s.Want == "" {
			continue
		}
		s.Want, s.Have, s.UpTo = s.Have, s.Want, ""
		back = append(back, s)
	}
	return back
}

const (
	ipvsConntrack = "net.ipv4.vs.conntrack"
	forwarding6   = "net.ipv6.conf.all.forwarding"
	reuseMode     = "net.ipv4.vs.conn_reuse_mode"

	noForwarding = "answers of pods do not reach clients outside the node"
	anyGreater   = "2147483647"
)

// wantedSysctls returns the parameters that matter, without their values.
func (f *flight) wantedSysctls() []Sysctl {
	wanted := []Sysctl{
		{Name: ipvsConntrack, Want: "1", Need: Required, Why: "source NAT does not see IPVS's connections"},
		{Name: "net.ipv4.vs.expire_nodest_conn", Want: "1", Need: Advised, Why: "UDP clients keep sending to an endpoint that is gone"},
		{Name: "net.ipv4.vs.expire_quiescent_template", Want: "1", Need: Advised, Why: "clients with affinity stay with an endpoint that is being drained"},
	}
	if f.hasIPVS {
		wanted = append(wanted, f.reuse()...)
	}
	if f.families[familyIndex(vipkit.IPv4)] {
		wanted = append(wanted, Sysctl{Name: "net.ipv4.ip_forward", Want: "1", Need: Required, Why: noForwarding})
	}
	if f.families[familyIndex(vipkit.IPv6)] {
		wanted = append(wanted, Sysctl{Name: forwarding6, Want: "1", Need: Required, Why: noForwarding})
	}
	if f.bound[familyIndex(vipkit.IPv4)] {
		need := Optional
		if f.config.Tuning.StrictARP {
			need = Advised
		}
		wanted = append(wanted,
			// 1: an address of the link that was asked; 2: and of the asker's subnet.
			Sysctl{Name: "net.ipv4.conf.all.arp_ignore", Want: "1", UpTo: "2", Need: need, Why: "every link answers ARP for virtual addresses, also where another host should"},
			Sysctl{Name: "net.ipv4.conf.all.arp_announce", Want: "2", Need: need, Why: "ARP requests may carry a virtual address, and neighbours learn it"})
	}
	for _, name := range []string{"nf_conntrack_max", "nf_conntrack_tcp_timeout_established", "nf_conntrack_tcp_timeout_close_wait", "nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"} {
		wanted = append(wanted, Sysctl{Name: "net.netfilter." + name, Need: Optional})
	}
	return f.tuned(wanted)
}

// tuned applies [Tuning.Sysctls].
func (f *flight) tuned(wanted []Sysctl) []Sysctl {
	names := make(map[string]bool)
	tuned := wanted[:0]
	for _, s := range wanted {
		names[s.Name] = true
		value, set := f.config.Tuning.Sysctls[s.Name]
		if set && value == "" {
			continue
		}
		if set {
			s.Want, s.Need, s.UpTo, s.Why = value, min(Advised, s.Need), "", asConfigured
		}
		if set && s.Name == "net.netfilter.nf_conntrack_max" {
			s.UpTo = anyGreater
		}
		tuned = append(tuned, s)
	}
	for _, name := range slices.Sorted(maps.Keys(f.config.Tuning.Sysctls)) {
		if value := f.config.Tuning.Sysctls[name]; value != "" && !names[name] {
			tuned = append(tuned, Sysctl{Name: name, Want: value, Need: Advised, Why: asConfigured})
		}
	}
	return tuned
}

const asConfigured = "it is configured"

// reuse chooses what IPVS does with a new connection from a port that an old one
// still has. 1 looks for an endpoint again, 0 keeps the old one even if that is
// being drained or gone (Kubernetes #81775). Before Linux 5.9 (commit f0a5e4d7a594)
// IPVS drops the first packet with 1 when connection tracking knows the old
// connection, which costs the client a second (#70747), so there 0 is the lesser
// evil.
//
// Nothing but packets tells the two behaviours apart. A parameter that came later,
// run_estimation of Linux 5.16, tells without a version that the kernel has the
// better one; without it only the version is left. A kernel that a distribution
// gave the change but not the number gets 0: [Tuning].Sysctls can say 1.
func (f *flight) reuse() []Sysctl {
	s := Sysctl{Name: reuseMode, Want: "1", UpTo: "3", Need: Advised, Why: "new connections from a port used before go to an endpoint that is drained or gone"}
	if _, err := f.kernel.Sysctl.Get(f.ctx, "net.ipv4.vs.run_estimation"); err == nil {
		return []Sysctl{s}
	}
	release, err := f.kernel.Sysctl.Get(f.ctx, "kernel.osrelease")
	var major, minor int
	if n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil || n != 2 {
		f.warn("%s: which value is right cannot be told without the kernel's version (kernel.osrelease)", reuseMode)
		return nil
	}
	if major < 5 || major == 5 && minor < 9 {
		s.Want, s.UpTo, s.Why = "0", "", "before Linux 5.9, a new connection from a port used before stalls for a second"
	}
	return []Sysctl{s}
}

func (f *flight) parameters() {
	if f.kernel.Sysctl == nil {
		return
	}
	for _, s := range f.wantedSysctls() {
		s.Have, s.Err = f.kernel.Sysctl.Get(f.ctx, s.Name)
		absent := errors.Is(s.Err, fs.ErrNotExist)
		switch {
		case absent && s.Name == ipvsConntrack && f.hasIPVS:
			f.lacks(&vipkit.OpError{Op: "sysctl get", Object: s.Name, Kind: errors.ErrUnsupported, Detail: "the kernel's IPVS lacks it: option CONFIG_IP_VS_NFCT"})
		case absent && (s.Want == "" || s.Name == reuseMode || !f.hasIPVS && strings.HasPrefix(s.Name, "net.ipv4.vs.")):
			// Not in this kernel, or not yet: there is nothing to set.
		default:
			f.Sysctls = append(f.Sysctls, s)
		}
	}
	if v, err := f.kernel.Sysctl.Get(f.ctx, "net.ipv4.conf.all.rp_filter"); err == nil && v == "1" && f.outside {
		f.warn("net.ipv4.conf.all.rp_filter = 1: packets of clients are dropped on a link that is not the one that leads back to them")
	}
}

func (f *flight) timeouts() {
	f.Timeouts.Want = f.config.Tuning.Timeouts
	if !f.hasIPVS {
		return
	}
	f.Timeouts.Have, f.Timeouts.Err = f.kernel.IPVS.Timeouts(f.ctx)
}
