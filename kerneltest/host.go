package kerneltest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/tools/txtar"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack/conntracktest"
	"github.com/vipkit/vipkit/dummy/dummytest"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/ipset/ipsettest"
	"github.com/vipkit/vipkit/iptables"
	"github.com/vipkit/vipkit/iptables/iptablestest"
	"github.com/vipkit/vipkit/ipvs/ipvstest"
	"github.com/vipkit/vipkit/kerneltest/oracle"
	"github.com/vipkit/vipkit/ports/portstest"
	"github.com/vipkit/vipkit/probe"
	"github.com/vipkit/vipkit/probe/probetest"
	"github.com/vipkit/vipkit/proxier"
	"github.com/vipkit/vipkit/sysctl/sysctltest"
)

// Host is a Linux host in memory. Make one with [New]. It is safe for concurrent
// use.
type Host struct {
	IPVS      *ipvstest.Fake
	IPSet     *ipsettest.Fake
	IPTables  *iptablestest.Fake
	Dummy     *dummytest.Fake
	Conntrack *conntracktest.Fake
	Sysctl    *sysctltest.Fake
	// Probe lacks the schedulers and set types that IPVS and IPSet lack.
	Probe *probetest.Fake
	Ports *portstest.Fake

	// Network is what the host knows of the world around it, and Link the dummy
	// link that holds virtual addresses ("vipkit0" if empty): for packets.
	Network oracle.Network
	Link    string

	sendMu  sync.Mutex
	conns   oracle.Connections
	touched []destination // whose count may have changed

	// mu orders what asks another fake with its own lock held: a restore asks
	// for sets, a change of sets for the rules that name them.
	mu sync.Mutex
}

// sysctls are the parameters that a proxier asks for, as they are on a host that
// nobody has set up.
const sysctls = `kernel.osrelease = 6.12.0
net.ipv4.conf.all.arp_announce = 0
net.ipv4.conf.all.arp_ignore = 0
net.ipv4.conf.all.rp_filter = 0
net.ipv4.ip_forward = 0
net.ipv4.vs.conn_reuse_mode = 1
net.ipv4.vs.conntrack = 0
net.ipv4.vs.expire_nodest_conn = 0
net.ipv4.vs.expire_quiescent_template = 0
net.ipv4.vs.run_estimation = 1
net.ipv6.conf.all.disable_ipv6 = 0
net.ipv6.conf.all.forwarding = 0
net.ipv6.conf.default.disable_ipv6 = 0
net.netfilter.nf_conntrack_max = 65536
net.netfilter.nf_conntrack_tcp_timeout_close_wait = 60
net.netfilter.nf_conntrack_tcp_timeout_established = 432000
net.netfilter.nf_conntrack_udp_timeout = 30
net.netfilter.nf_conntrack_udp_timeout_stream = 120
`

// New returns a host on which nothing was ever set up, with the parameters of
// such a host.
func New() *Host {
	h := &Host{
		IPVS:      new(ipvstest.Fake),
		IPSet:     new(ipsettest.Fake),
		IPTables:  new(iptablestest.Fake),
		Dummy:     new(dummytest.Fake),
		Conntrack: new(conntracktest.Fake),
		Sysctl:    new(sysctltest.Fake),
		Probe:     new(probetest.Fake),
		Ports:     new(portstest.Fake),
	}
	if err := h.Sysctl.Load(sysctls); err != nil {
		panic(fmt.Sprintf("kerneltest: %v", err)) // the text above is wrong
	}
	h.IPSet.InUse = h.IPTables.References
	h.IPTables.Sets = h.hasSet
	h.Probe.Lacks = h.lacks
	return h
}

func (h *Host) hasSet(name string) bool {
	for s, err := range h.IPSet.Sets(context.Background()) {
		if err == nil && s.Name == name {
			return true
		}
	}
	return false
}

// lacks reports whether the other fakes lack a facility.
func (h *Host) lacks(f probe.Facility) bool {
	switch f.Kind {
	case probe.Scheduler:
		return h.IPVS.Schedulers != nil && !slices.Contains(h.IPVS.Schedulers, f.Name)
	case probe.SetType:
		return h.IPSet.Lacks != nil && h.IPSet.Lacks(ipset.Type(f.Name))
	default:
		return false
	}
}

// orderedIPSet and orderedIPTables are the fakes that ask one another, one at a
// time.
type orderedIPSet struct {
	ipset.Client
	mu *sync.Mutex
}

func (c orderedIPSet) Apply(ctx context.Context, changes []ipset.Change) []error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Client.Apply(ctx, changes)
}

type orderedIPTables struct {
	iptables.Client
	mu *sync.Mutex
}

func (c orderedIPTables) Restore(ctx context.Context, f vipkit.Family, edits []iptables.Edit) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Client.Restore(ctx, f, edits)
}

// Kernel returns the host as a proxier takes it.
func (h *Host) Kernel() proxier.Kernel {
	return proxier.Kernel{
		IPVS:      h.IPVS,
		IPSet:     orderedIPSet{h.IPSet, &h.mu},
		IPTables:  orderedIPTables{h.IPTables, &h.mu},
		Dummy:     h.Dummy,
		Conntrack: h.Conntrack,
		Sysctl:    h.Sysctl,
		Probe:     h.Probe,
		Ports:     h.Ports,
	}
}

// Dump returns the host as [Dump] prints it, with the named link.
func (h *Host) Dump(link string) string {
	text, err := Dump(context.Background(), h.Kernel(), link)
	if err != nil {
		panic(fmt.Sprintf("kerneltest: the fakes do not answer: %v", err)) // they have no reason not to
	}
	return text
}

// Load sets each facility that the dump has a file for to what the file holds.
func (h *Host) Load(dump string) error {
	for _, file := range txtar.Parse([]byte(dump)).Files {
		if err := h.load(file.Name, string(file.Data)); err != nil {
			return fmt.Errorf("load %s: %w", file.Name, err)
		}
	}
	return nil
}

func (h *Host) load(tool, text string) error {
	switch tool {
	case "ipvsadm":
		return h.IPVS.Load(text)
	case "ipset":
		return h.IPSet.Load(text)
	case "iptables":
		return h.IPTables.Load(vipkit.IPv4, text)
	case "ip6tables":
		return h.IPTables.Load(vipkit.IPv6, text)
	case "ip":
		return h.Dummy.Load(strings.ReplaceAll("\n"+text, "\nip ", "\n")) // as ip -batch reads it
	case "conntrack":
		return h.Conntrack.Load(text)
	case "sysctl":
		return h.Sysctl.Load(text)
	case "network":
		n, err := oracle.ParseNetwork(text)
		if err == nil {
			h.Network = n
		}
		return err
	}
	return fmt.Errorf("want one of ipvsadm, ipset, iptables, ip6tables, ip, conntrack, sysctl, network")
}
