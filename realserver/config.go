package realserver

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/ipvs"
)

// DefaultLink is the name of the link that holds the virtual addresses, unless
// [Config.Link] says otherwise.
const DefaultLink = "vipkit-rs"

// maxLinkLen leaves room for the numbers of tunnel links behind the name, in bytes.
const maxLinkLen = dummy.MaxNameLen - 2

// maxAddrs is as many addresses as leave a number of two digits for each tunnel
// link: an address has three at most.
const maxAddrs = 32

// Config is what a real server is to be. The order of its lists means nothing.
type Config struct {
	// Link is the name of the dummy link that holds the virtual addresses, 1–13
	// bytes; empty is [DefaultLink]. Tunnel links have a number behind it. The
	// name tells real servers in one namespace apart.
	Link string
	// VirtualAddrs are the addresses of the virtual servers that send packets
	// here, one or more, of either family: what [dummy.Address] allows.
	VirtualAddrs []netip.Addr
	// Tunnels are the encapsulations to take off: the Tunnel of the
	// destinations that point here. None of them is direct routing alone. GRE
	// with checksums and without them do not go together: the kernel takes
	// the one or the other at one address.
	Tunnels []ipvs.TunnelConfig
	// Addrs are the real server's own addresses to which tunnels come, which are
	// those of the destinations: 1–32 if there are Tunnels, otherwise none. What is sent to other addresses is not decapsulated. The family may
	// be another than that of the virtual addresses.
	Addrs []netip.Addr
}

// Validate reports everything for which Prepare would refuse the configuration.
func (c Config) Validate() error {
	errs := []error{checkLink(c.link())}
	if len(c.VirtualAddrs) == 0 {
		errs = append(errs, errors.New("no virtual address"))
	}
	seen := make(map[netip.Addr]bool)
	for _, a := range c.VirtualAddrs {
		errs = append(errs, dummy.Address{Addr: a}.Validate())
		if seen[a] {
			errs = append(errs, fmt.Errorf("virtual address %v twice", a))
		}
		seen[a] = true
	}
	virtual := len(seen)
	for _, a := range c.Addrs {
		if err := (dummy.Address{Addr: a}).Validate(); err != nil {
			errs = append(errs, errors.New(strings.Replace(err.Error(), "virtual", "own", 1)))
		}
		if seen[a] {
			errs = append(errs, fmt.Errorf("own address %v twice, or a virtual one", a))
		}
		seen[a] = true
	}
	if len(c.Addrs) > maxAddrs {
		errs = append(errs, fmt.Errorf("%d own addresses, want at most %d", len(c.Addrs), maxAddrs))
	}
	if tunnels, own := len(c.Tunnels) > 0, len(seen) > virtual; tunnels != own {
		errs = append(errs, fmt.Errorf("%d tunnels at %d own addresses: want some of both, or of neither", len(c.Tunnels), len(c.Addrs)))
	}
	return errors.Join(append(errs, c.checkTunnels())...)
}

func checkLink(name string) error {
	if len(name) > maxLinkLen {
		return fmt.Errorf("link name %q has %d bytes, want 1–%d", name, len(name), maxLinkLen)
	}
	return dummy.CheckName(name)
}

// checkTunnels refuses what ipvs refuses, and what excludes each other.
func (c Config) checkTunnels() error {
	var errs []error
	seen := make(map[ipvs.TunnelConfig]bool)
	checksums := make(map[bool]bool)
	for _, t := range c.Tunnels {
		probe := ipvs.Destination{DestKey: ipvs.DestKey{Addr: anAddr, Port: 1}, Forward: ipvs.Tunnel, Tunnel: t}
		if err := probe.Validate(ipvs.Key{Protocol: 6, Addr: anAddr, Port: 1}); err != nil {
			errs = append(errs, err)
		}
		if seen[t] {
			errs = append(errs, fmt.Errorf("tunnel %s twice", t.Type))
		}
		seen[t] = true
		if t.Type == ipvs.GRE {
			checksums[t.Flags&ipvs.TunnelChecksum != 0] = true
		}
	}
	if len(checksums) > 1 {
		errs = append(errs, errors.New("tunnel gre with and without checksums"))
	}
	return errors.Join(errs...)
}

// anAddr stands for an address where only other settings are looked at.
var anAddr = netip.AddrFrom4([4]byte{192, 0, 2, 1})

func (c Config) link() string { return cmp.Or(c.Link, DefaultLink) }

// Commands returns what [Prepare] does where nothing of it is there yet, in its order:
// commands of ip(8) and sysctl(8), to be looked at beforehand. A namespace whose ARP
// is quiet already needs fewer. It fails as Validate does.
func (c Config) Commands() ([]string, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	p, err := diff(fresh(), layout(c))
	if err != nil {
		return nil, err
	}
	commands := make([]string, len(p.steps))
	for i, s := range p.steps {
		commands[i] = s.String()
	}
	return commands, nil
}

// want is what a Config comes to in the kernel.
type want struct {
	link    string
	addrs   []netip.Addr
	tunnels []tunnel
	ports   []netip.AddrPort // that GUE comes to
}

// A tunnel is a link that takes one encapsulation off, and all that identifies it
// besides its group. It is comparable.
type tunnel struct {
	kind     string     // the kernel's name for the type of link
	local    netip.Addr // where the packets come to
	checksum bool       // gre and ip6gre: whether they carry one
}

// layout turns a valid Config into what it wants.
func layout(c Config) want {
	w := want{link: c.link(), addrs: slices.Clone(c.VirtualAddrs)}
	tunnels, ports := make(map[tunnel]bool), make(map[netip.AddrPort]bool)
	for _, local := range c.Addrs {
		for _, t := range c.Tunnels {
			for _, virtual := range c.VirtualAddrs {
				tunnels[tunnelFor(t, local, virtual)] = true
			}
			if t.Type == ipvs.GUE {
				ports[netip.AddrPortFrom(local, t.Port)] = true
			}
		}
	}
	for t := range tunnels {
		w.tunnels = append(w.tunnels, t)
	}
	for p := range ports {
		w.ports = append(w.ports, p)
	}
	slices.SortFunc(w.addrs, netip.Addr.Compare)
	slices.SortFunc(w.tunnels, tunnel.compare)
	slices.SortFunc(w.ports, netip.AddrPort.Compare)
	return w
}

// tunnelFor returns the link that takes packets for a virtual address out of an
// encapsulation. GUE's own header goes at the port; what is in it is IP in IP.
func tunnelFor(c ipvs.TunnelConfig, local, virtual netip.Addr) tunnel {
	t := tunnel{local: local}
	switch {
	case c.Type == ipvs.GRE:
		t.kind, t.checksum = "gre", c.Flags&ipvs.TunnelChecksum != 0
		if local.Is6() {
			t.kind = "ip6gre"
		}
	case local.Is6():
		t.kind = "ip6tnl" // takes both families
	case virtual.Is6():
		t.kind = "sit"
	default:
		t.kind = "ipip"
	}
	return t
}

// takes4 reports whether IPv4 packets may come out of the tunnel.
func (t tunnel) takes4() bool { return t.kind != "sit" }

func (t tunnel) compare(other tunnel) int {
	checksum := func(t tunnel) int {
		if t.checksum {
			return 1
		}
		return 0
	}
	return cmp.Or(t.local.Compare(other.local), cmp.Compare(t.kind, other.kind), checksum(t)-checksum(other))
}

// number is the IPv4 address that tunnel links get: the reverse path filter, unless
// it is off, refuses whatever comes in on a link without one.
func (w want) number() (addr netip.Addr) {
	if len(w.addrs) > 0 && w.addrs[0].Is4() {
		addr = w.addrs[0]
	}
	return addr
}
