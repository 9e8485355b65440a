package oracle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/iptables"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/proxier"
	"github.com/vipkit/vipkit/sysctl"
)

// Snapshot is what decides about packets on a host at one moment.
type Snapshot struct {
	network Network
	// virtual are the addresses that the dummy link holds, and how.
	virtual map[netip.Addr]dummy.Means
	linkUp  bool
	link    string
	tables  map[vipkit.Family]map[string]map[string]iptables.Chain
	sets    map[string]*set
	servers map[ipvs.Key]*server
	sysctls map[string]string
	rules   map[ruleID]*rule // those that were looked at
}

type server struct {
	ipvs.Service
	destinations []ipvs.DestinationInfo // sorted
}

// The kernel parameters that decide about packets.
const (
	useConntrack = "net.ipv4.vs.conntrack"
	expireNoDest = "net.ipv4.vs.expire_nodest_conn"
	forwarding4  = "net.ipv4.ip_forward"
	forwarding6  = "net.ipv6.conf.all.forwarding"
)

// Parameters returns the names of the kernel parameters that decide about
// packets.
func Parameters() []string {
	return []string{useConntrack, expireNoDest, forwarding4, forwarding6}
}

// Read reads what decides about packets from a kernel, in memory or real. Link is
// the dummy link, and network the rest of what the host's routing tables say.
// Nothing is written. Rules of a family whose tools are missing count as none. A
// kernel parameter that is not there counts as 0, and all of them do without a
// client for them.
func Read(ctx context.Context, k proxier.Kernel, link string, network Network) (*Snapshot, error) {
	s := &Snapshot{
		network: network, link: link,
		virtual: make(map[netip.Addr]dummy.Means),
		tables:  make(map[vipkit.Family]map[string]map[string]iptables.Chain),
		sets:    make(map[string]*set),
		servers: make(map[ipvs.Key]*server),
		sysctls: make(map[string]string),
		rules:   make(map[ruleID]*rule),
	}
	err := errors.Join(
		s.readLink(ctx, k.Dummy), s.readRules(ctx, k.IPTables), s.readSets(ctx, k.IPSet),
		s.readServers(ctx, k.IPVS), s.readSysctls(ctx, k.Sysctl))
	if err != nil {
		return nil, fmt.Errorf("oracle: %w", err)
	}
	return s, nil
}

func (s *Snapshot) readLink(ctx context.Context, c dummy.Client) error {
	l, err := c.Link(ctx, s.link)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	s.linkUp = l.Up
	for a, err := range c.Addresses(ctx, s.link) {
		if err != nil {
			return err
		}
		s.virtual[a.Addr] = a.Means
	}
	return nil
}

func (s *Snapshot) readRules(ctx context.Context, c iptables.Client) error {
	for _, f := range []vipkit.Family{vipkit.IPv4, vipkit.IPv6} {
		tables, err := c.Save(ctx, f)
		if errors.Is(err, errors.ErrUnsupported) {
			continue
		}
		if err != nil {
			return err
		}
		s.tables[f] = make(map[string]map[string]iptables.Chain, len(tables))
		for _, t := range tables {
			chains := make(map[string]iptables.Chain, len(t.Chains))
			for _, c := range t.Chains {
				chains[c.Name] = c
			}
			s.tables[f][t.Name] = chains
		}
	}
	return nil
}

func (s *Snapshot) readSets(ctx context.Context, c ipset.Client) error {
	for set, err := range c.Sets(ctx) {
		if err != nil {
			return err
		}
		if err := s.readSet(ctx, c, set); err != nil {
			return err
		}
	}
	return nil
}

func (s *Snapshot) readSet(ctx context.Context, c ipset.Client, of ipset.Set) error {
	into := newSet(of)
	s.sets[of.Name] = into
	for e, err := range c.Entries(ctx, of.Name) {
		if errors.Is(err, errors.ErrUnsupported) {
			into.unknown = true // an error for the packet that asks it
			return nil
		}
		if err != nil {
			return err
		}
		into.add(e)
	}
	return nil
}

func (s *Snapshot) readServers(ctx context.Context, c ipvs.Client) error {
	for info, err := range c.Services(ctx) {
		if err != nil {
			return err
		}
		s.servers[info.Key] = &server{Service: info.Service}
	}
	for key, v := range s.servers {
		for d, err := range c.Destinations(ctx, key) {
			if err != nil {
				return err
			}
			v.destinations = append(v.destinations, d)
		}
		v.sort()
	}
	return nil
}

func (s *Snapshot) readSysctls(ctx context.Context, c sysctl.Client) error {
	if c == nil {
		return nil
	}
	for _, name := range Parameters() {
		value, err := c.Get(ctx, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		s.sysctls[name] = value
	}
	return nil
}

// on reports whether a kernel parameter is not 0.
func (s *Snapshot) on(name string) bool { return s.sysctls[name] != "" && s.sysctls[name] != "0" }

// local reports whether an address is one of the host, virtual ones included.
func (s *Snapshot) local(a netip.Addr) bool {
	_, virtual := s.virtual[a]
	return virtual && s.linkUp || s.network.holds(a)
}
