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
