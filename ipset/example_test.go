package ipset_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/ipset/ipsettest"
)

// A set of the tuples that services answer on, brought to what is wanted.
func Example() {
	ctx := context.Background()
	client := new(ipsettest.Fake) // ipset.Open(nil) on a Linux host
	set := ipset.Set{Name: "VIPKIT-CLUSTER-IP", Type: ipset.HashIPPort, Family: vipkit.IPv4, Comment: true}
	if err := errors.Join(client.Apply(ctx, []ipset.Change{{Op: ipset.CreateSet, Set: set}})...); err != nil {
		fmt.Println(err)
	}
	dns := netip.MustParseAddr("10.96.0.10")
	want := []ipset.Entry{
		{EntryKey: ipset.Key(dns, vipkit.UDP, 53), Comment: "kube-system/kube-dns:dns"},
		{EntryKey: ipset.Key(dns, vipkit.TCP, 53), Comment: "kube-system/kube-dns:dns-tcp"},
	}
	fmt.Println(ipset.Sync(ctx, client, set, want))
	fmt.Println(ipset.Sync(ctx, client, set, want)) // nothing to do
	fmt.Print(client.Dump())
	// Output:
	// 2 <nil>
	// 0 <nil>
	// create VIPKIT-CLUSTER-IP hash:ip,port family inet hashsize 1024 maxelem 65536 comment
	// add VIPKIT-CLUSTER-IP 10.96.0.10,tcp:53 comment "kube-system/kube-dns:dns-tcp"
	// add VIPKIT-CLUSTER-IP 10.96.0.10,udp:53 comment "kube-system/kube-dns:dns"
}

// The changes of a batch succeed and fail one by one.
func ExampleClient_Apply() {
	client := new(ipsettest.Fake)
	set := ipset.Set{Name: "nodes", Type: ipset.HashIP, Family: vipkit.IPv4}
	node := ipset.Entry{EntryKey: ipset.EntryKey{Net: ipset.Host(netip.MustParseAddr("192.0.2.1"))}}
	for _, err := range client.Apply(context.Background(), []ipset.Change{
		{Op: ipset.CreateSet, Set: set},
		{Op: ipset.AddEntry, Set: set, Entry: node},
		{Op: ipset.AddEntry, Set: set, Entry: node},
		{Op: ipset.DeleteEntry, Set: set, Entry: node},
		{Op: ipset.DestroySet, Set: ipset.Set{Name: "other"}},
	}) {
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// <nil>
	// ipset add nodes 192.0.2.1: file already exists
	// <nil>
	// ipset destroy other: file does not exist
}

// "Everywhere" is two entries: the kernel refuses a prefix of length 0.
func ExampleSplitDefault() {
	everywhere := netip.MustParsePrefix("0.0.0.0/0")
	fmt.Println(ipset.EntryKey{Net: everywhere}.Validate(ipset.HashNet, vipkit.IPv4))
	fmt.Println(ipset.SplitDefault(everywhere))
	// Output:
	// net: the kernel refuses 0.0.0.0/0: use its two halves (SplitDefault)
	// [0.0.0.0/1 128.0.0.0/1]
}

// A full set is replaced, in one step, by one with more room.
func ExampleResize() {
	ctx := context.Background()
	client := new(ipsettest.Fake)
	if err := client.Load("create s hash:ip maxelem 2\nadd s 192.0.2.1\nadd s 192.0.2.2"); err != nil {
		fmt.Println(err)
	}
	third := ipset.Entry{EntryKey: ipset.EntryKey{Net: ipset.Host(netip.MustParseAddr("192.0.2.3"))}}
	set := ipset.Set{Name: "s", Type: ipset.HashIP, Family: vipkit.IPv4, MaxElem: 4}
	add := []ipset.Change{{Op: ipset.AddEntry, Set: set, Entry: third}}
	fmt.Println(errors.Is(client.Apply(ctx, add)[0], vipkit.ErrFull))
	fmt.Println(ipset.Resize(ctx, client, set), client.Apply(ctx, add))
	fmt.Print(client.Dump())
	// Output:
	// true
	// <nil> []
	// create s hash:ip family inet hashsize 1024 maxelem 4
	// add s 192.0.2.1
	// add s 192.0.2.2
	// add s 192.0.2.3
}

// Differences are a value that prints as what "ipset restore" reads.
func ExampleDiff() {
	set := ipset.Set{Name: "ports", Type: ipset.BitmapPort}
	port := func(n uint16) ipset.Entry { return ipset.Entry{EntryKey: ipset.EntryKey{Port: n}} }
	for _, c := range ipset.Diff(set, ipset.ByKey(port(30001), port(30002)), ipset.ByKey(port(30002), port(30003))) {
		fmt.Println(c)
	}
	// Output:
	// add ports 30003
	// del ports 30001
}

// A range is the keys that it stands for; networks cover it where the set holds
// networks.
func ExampleRange() {
	first, _ := ipset.ParseKey("10.0.0.1")
	last, _ := ipset.ParseKey("10.0.0.6")
	fmt.Println(ipset.Range(ipset.HashNet, first, last))
	fmt.Println(ipset.Range(ipset.BitmapPort, ipset.EntryKey{Port: 8080}, ipset.EntryKey{Port: 8082}))
	// Output:
	// [10.0.0.1 10.0.0.2/31 10.0.0.4/31 10.0.0.6] <nil>
	// [8080 8081 8082] <nil>
}

// The most specific network that covers an address decides.
func ExampleClient_Test() {
	client := new(ipsettest.Fake)
	if err := client.Load("create pods hash:net\nadd pods 10.0.0.0/8\nadd pods 10.1.0.0/16 nomatch"); err != nil {
		fmt.Println(err)
	}
	pods := ipset.Set{Name: "pods", Type: ipset.HashNet, Family: vipkit.IPv4}
	for _, addr := range []string{"10.0.0.1", "10.1.0.1", "192.0.2.1"} {
		fmt.Println(client.Test(context.Background(), pods, ipset.EntryKey{Net: ipset.Host(netip.MustParseAddr(addr))}))
	}
	// Output:
	// true <nil>
	// false <nil>
	// false <nil>
}
