package dummy_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/dummy/dummytest"
)

// Put two virtual addresses on a link of our own.
func Example() {
	ctx := context.Background()
	var c dummy.Client = new(dummytest.Fake) // on a host: dummy.Open(nil)

	if err := c.CreateLink(ctx, dummy.Link{Name: "vipkit0", Up: true}); err != nil {
		fmt.Println(err)
		return
	}
	want := []dummy.Address{
		{Addr: netip.MustParseAddr("10.96.0.1")},
		{Addr: netip.MustParseAddr("fd00::1"), Means: dummy.ByRoute},
	}
	changes := dummy.Diff(nil, want)
	for _, change := range changes {
		fmt.Println(change.String("vipkit0"))
	}
	fmt.Println(c.Apply(ctx, "vipkit0", changes))
	// Output:
	// ip addr add 10.96.0.1/32 dev vipkit0
	// ip route add local fd00::1 dev vipkit0 table local proto static
	// []
}

// Errors tell which change was refused, and why; the others are done.
func ExampleClient_apply() {
	ctx := context.Background()
	var fake dummytest.Fake
	if err := fake.Load("link add vipkit0 up type dummy\naddr add 10.96.0.1/32 dev vipkit0\n"); err != nil {
		fmt.Println(err)
		return
	}
	errs := fake.Apply(ctx, "vipkit0", []dummy.Change{
		{Op: dummy.AddAddress, Address: dummy.Address{Addr: netip.MustParseAddr("10.96.0.1")}},
		{Op: dummy.AddAddress, Address: dummy.Address{Addr: netip.MustParseAddr("10.96.0.2")}},
	})
	fmt.Println(errs[0], errors.Is(errs[0], fs.ErrExist))
	fmt.Println(errs[1])
	// Output:
	// dummy apply ip addr add 10.96.0.1/32 dev vipkit0: file already exists true
	// <nil>
}

// Diff deletes an address just before it comes back by the other means.
func ExampleDiff() {
	addr := netip.MustParseAddr("10.96.0.1")
	have := []dummy.Address{{Addr: addr}}
	want := []dummy.Address{{Addr: addr, Means: dummy.ByRoute}}
	for _, change := range dummy.Diff(have, want) {
		fmt.Println(change.String("vipkit0"))
	}
	// Output:
	// ip addr del 10.96.0.1/32 dev vipkit0
	// ip route add local 10.96.0.1 dev vipkit0 table local proto static
}

// Ensure makes a link, or finds the one that it made before, and leaves alone what
// is somebody else's.
func ExampleEnsure() {
	ctx := context.Background()
	c := new(dummytest.Fake) // on a host: dummy.Open(nil)
	ours := dummy.Link{Name: "vipkit0", Up: true, Group: dummy.Group("VIPKIT")}
	fmt.Println(dummy.Ensure(ctx, c, ours))
	fmt.Println(dummy.Ensure(ctx, c, ours))
	theirs := ours
	theirs.Group = dummy.Group("OTHER")
	_, err := dummy.Ensure(ctx, c, theirs)
	fmt.Println(errors.Is(err, fs.ErrExist))
	// Output:
	// true <nil>
	// false <nil>
	// true
}

// Watch tells what is there, then what changes.
func ExampleConn_Watch() {
	ctx := context.Background()
	host := new(dummytest.Fake) // on a host: dummy.Open(nil)
	node := dummy.HostAddress{
		HostKey: dummy.HostKey{Prefix: netip.MustParsePrefix("192.0.2.1/24")}, Link: "eth0", Flags: dummy.Permanent,
	}
	for event, err := range host.Watch(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		switch {
		case event.Kind == dummy.Listed:
			host.SetHostAddress(node) // somebody gives the host an address, and takes it away
		case event.Address.Link == "eth0" && event.Kind == dummy.Present:
			fmt.Println(event)
			host.DeleteHostAddress("eth0", node.HostKey)
		case event.Address.Link == "eth0":
			fmt.Println(event)
			return
		}
	}
	// Output:
	// present eth0 inet 192.0.2.1/24 scope global
	// gone eth0 inet 192.0.2.1/24 scope global
}
