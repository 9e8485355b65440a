package realserver_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/realserver"
)

// What a real server for direct routing needs.
func ExampleConfig_Commands() {
	c := realserver.Config{VirtualAddrs: []netip.Addr{netip.MustParseAddr("192.0.2.80"), netip.MustParseAddr("2001:db8::80")}}
	commands, err := c.Commands()
	fmt.Println(strings.Join(commands, "\n"), err)
	// Output:
	// ip link add vipkit-rs group 1180094863 up type dummy
	// ip link set vipkit-rs alias "vipkit realserver all/arp_announce=0 all/arp_ignore=0"
	// sysctl -w net.ipv4.conf.all.arp_announce=2
	// sysctl -w net.ipv4.conf.all.arp_ignore=1
	// ip addr add 192.0.2.80/32 dev vipkit-rs
	// ip addr add 2001:db8::80/128 dev vipkit-rs <nil>
}

// The settings of the destinations at the director say what the real server needs.
func ExampleConfig_Commands_tunnel() {
	d := ipvs.Destination{
		DestKey: ipvs.DestKey{Addr: netip.MustParseAddr("198.51.100.7"), Port: 443},
		Weight:  1,
		Forward: ipvs.Tunnel,
		Tunnel:  ipvs.TunnelConfig{Type: ipvs.GUE, Port: 6080},
	}
	c := realserver.Config{
		VirtualAddrs: []netip.Addr{netip.MustParseAddr("2001:db8::80")},
		Tunnels:      []ipvs.TunnelConfig{d.Tunnel},
		Addrs:        []netip.Addr{d.Addr},
	}
	commands, err := c.Commands()
	fmt.Println(strings.Join(commands, "\n"), err)
	// Output:
	// ip link add vipkit-rs group 1180094863 up type dummy
	// ip link set vipkit-rs alias "vipkit realserver gue=198.51.100.7:6080"
	// ip addr add 2001:db8::80/128 dev vipkit-rs
	// ip fou add port 6080 gue local 198.51.100.7
	// ip link add vipkit-rs1 group 1180094863 type sit local 198.51.100.7 mode ip6ip
	// ip link set vipkit-rs1 up <nil>
}

// Everything that is wrong is said at once.
func ExampleConfig_Validate() {
	c := realserver.Config{
		VirtualAddrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
		Tunnels:      []ipvs.TunnelConfig{{Type: ipvs.GUE}},
	}
	fmt.Println(c.Validate())
	// Output:
	// virtual address "127.0.0.1": loopback
	// 1 tunnels at 0 own addresses: want some of both, or of neither
	// tunnel port 0: gue wants one
}

// A container becomes a real server, and what it was before. It needs root.
func ExamplePrepare() {
	ctx := context.Background()
	const namespace = "/run/netns/blue"
	report, err := realserver.Prepare(ctx, namespace, realserver.Config{
		VirtualAddrs: []netip.Addr{netip.MustParseAddr("192.0.2.80")},
		Tunnels:      []ipvs.TunnelConfig{{Type: ipvs.IPIP}},
		Addrs:        []netip.Addr{netip.MustParseAddr("198.51.100.7")},
	})
	fmt.Print(report) // one command a line
	if err != nil {
		fmt.Println(err)
	}
	if _, err := realserver.Undo(ctx, namespace, ""); err != nil {
		fmt.Println(err)
	}
}
