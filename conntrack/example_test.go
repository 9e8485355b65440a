package conntrack_test

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
	"github.com/vipkit/vipkit/conntrack/conntracktest"
)

const table = `
udp      17 src=10.0.0.9 dst=10.96.0.10 sport=1234 dport=53 [UNREPLIED] src=10.244.0.10 dst=10.0.0.9 sport=53 dport=1234 mark=0 use=1 id=1
udp      17 src=10.0.0.9 dst=10.96.0.10 sport=1235 dport=53 src=10.244.0.11 dst=10.0.0.9 sport=53 dport=1235 mark=0 use=1 id=2
tcp      6 0 ESTABLISHED src=10.0.0.9 dst=10.96.0.10 sport=1234 dport=53 src=10.244.0.10 dst=10.0.0.9 sport=53 dport=1234 [ASSURED] mark=0 use=1 id=3
`

// An endpoint of the cluster's DNS is gone: the UDP flows to it would send into
// the void until they time out, those to the other endpoint go on.
func Example() {
	ctx := context.Background()
	fake := new(conntracktest.Fake) // conntrack.Open(nil) on a Linux host
	if err := fake.Load(table); err != nil {
		fmt.Println(err)
	}
	n, err := fake.DeleteMatching(ctx, []conntrack.Match{{
		Protocol:    vipkit.UDP,
		OriginalDst: netip.MustParseAddrPort("10.96.0.10:53"),
		ReplySrc:    netip.MustParseAddrPort("10.244.0.10:53"),
	}})
	fmt.Println(n, err)
	fmt.Print(fake.Dump())
	// Output:
	// 1 <nil>
	// tcp      6 0 ESTABLISHED src=10.0.0.9 dst=10.96.0.10 sport=1234 dport=53 src=10.244.0.10 dst=10.0.0.9 sport=53 dport=1234 [ASSURED] mark=0 id=3
	// udp      17 0 src=10.0.0.9 dst=10.96.0.10 sport=1235 dport=53 src=10.244.0.11 dst=10.0.0.9 sport=53 dport=1235 mark=0 id=2
}

// A Match prints as the options of the operator's tool.
func ExampleMatch_String() {
	m := conntrack.Match{Protocol: vipkit.UDP, OriginalDst: netip.MustParseAddrPort("[fd00::10]:53")}
	fmt.Println("conntrack -D", m)
	m.OriginalDst = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	fmt.Println(m.Validate())
	// Output:
	// conntrack -D -f ipv6 -p udp --orig-dst fd00::10 --orig-port-dst 53
	// original dst: 0.0.0.0 is no address of a service
}

// Flows are values: what was read is what is deleted.
func ExampleClient_Delete() {
	ctx := context.Background()
	fake := new(conntracktest.Fake)
	if err := fake.Load(table); err != nil {
		fmt.Println(err)
	}
	var client conntrack.Client = fake
	var stale []conntrack.Flow
	for f, err := range client.Flows(ctx, conntrack.Filter{Protocol: vipkit.UDP}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if f.Reply.Src.Addr() == netip.MustParseAddr("10.244.0.11") {
			stale = append(stale, f.Flow)
		}
	}
	fmt.Println(client.Delete(ctx, stale))
	fmt.Println(client.Delete(ctx, stale)) // gone already
	// Output:
	// 1 <nil>
	// 0 <nil>
}

// After a crash nobody knows which flows were to be deleted; which endpoints are
// live is known. The flow of the second client goes on.
func ExampleDeleteStale() {
	ctx := context.Background()
	fake := new(conntracktest.Fake)
	if err := fake.Load(table); err != nil {
		fmt.Println(err)
	}
	dns := conntrack.Frontend{Protocol: vipkit.UDP, Addr: netip.MustParseAddrPort("10.96.0.10:53")}
	live := map[conntrack.Frontend][]netip.AddrPort{
		dns: {netip.MustParseAddrPort("10.244.0.11:53"), netip.MustParseAddrPort("10.244.0.12:53")},
	}
	fmt.Println(conntrack.DeleteStale(ctx, fake, live))
	fmt.Println(conntrack.DeleteStale(ctx, fake, live))
	// Output:
	// 1 <nil>
	// 0 <nil>
}

// A Filter prints as options of the operator's tool, too. This one selects what
// clients have asked over UDP and nobody has answered.
func ExampleFilter() {
	var fake conntracktest.Fake
	if err := fake.Load(table); err != nil {
		fmt.Println(err)
	}
	unreplied := conntrack.Filter{Family: vipkit.IPv4, Protocol: vipkit.UDP, StatusMask: conntrack.StatusSeenReply}
	fmt.Println("conntrack -L", unreplied)
	for f, err := range fake.Flows(context.Background(), unreplied) {
		fmt.Println(f, err)
	}
	// Output:
	// conntrack -L -f ipv4 -p udp --status 0/2
	// udp      17 0 src=10.0.0.9 dst=10.96.0.10 sport=1234 dport=53 [UNREPLIED] src=10.244.0.10 dst=10.0.0.9 sport=53 dport=1234 mark=0 id=1 <nil>
}
