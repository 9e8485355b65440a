package dummytest

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/dummy"
)

func testAddresses(h host) {
	h.create(theLink)
	for _, a := range []dummy.Address{address("10.96.0.1"), address("fd00::1"), route("10.96.0.2"), route("fd00::2")} {
		h.refused(fs.ErrNotExist, theLink, del(a))
		h.apply(theLink, add(a))
		h.holds(theLink, a)
		h.refused(fs.ErrExist, theLink, add(a))
		h.apply(theLink, del(a))
		h.holds(theLink)
	}

	// A refusal stops nobody, and each is reported at its place.
	h.apply(theLink, add(address("10.96.0.9")))
	errs := h.Apply(context.Background(), theLink, []dummy.Change{
		add(address("10.96.0.1")), add(address("10.96.0.9")), del(route("10.96.0.9")), add(dummy.Address{}), add(route("fd00::2")),
	})
	require.Len(h.t, errs, 5)
	for i, kind := range []error{nil, fs.ErrExist, fs.ErrNotExist, fs.ErrInvalid, nil} {
		require.ErrorIs(h.t, errs[i], kind)
	}
	h.holds(theLink, address("10.96.0.1"), address("10.96.0.9"), route("fd00::2"))
	require.Nil(h.t, h.Apply(context.Background(), theLink, nil))
	for _, err := range h.Addresses(context.Background(), theLink) {
		require.NoError(h.t, err)
		break // early is safe
	}
	h.apply(theLink, del(address("10.96.0.1")), add(address("10.96.0.1")))
	h.holds(theLink, address("10.96.0.1"), address("10.96.0.9"), route("fd00::2"))
}

func testMissingLink(h host) {
	h.refused(fs.ErrNotExist, theLink, add(address("10.96.0.1")))
	h.refused(fs.ErrNotExist, theLink, del(route("10.96.0.1")))
	h.refused(fs.ErrInvalid, theLink, add(address("127.0.0.1")))
	n := 0
	for _, err := range h.Addresses(context.Background(), theLink) {
		require.ErrorIs(h.t, err, fs.ErrNotExist)
		n++
	}
	require.Equal(h.t, 1, n)
}

func testInvalidChanges(h host) {
	h.create(theLink)
	for _, c := range []dummy.Change{
		{}, {Op: 9, Address: address("10.96.0.1")}, add(dummy.Address{}), add(dummy.Address{Addr: netip.MustParseAddr("10.96.0.1"), Means: 9}),
		add(address("0.0.0.0")), add(address("::")), add(address("127.0.0.1")), add(route("::1")), add(address("224.0.0.1")),
		add(address("ff02::1")), add(address("255.255.255.255")), add(address("169.254.0.1")), add(address("fe80::1")),
		add(address("fd00::1%eth0")), add(route("::ffff:10.96.0.1")),
	} {
		h.refused(fs.ErrInvalid, theLink, c)
	}
	h.holds(theLink)
}

// testBothMeans holds one address by both means as far as the kernel lets it.
func testBothMeans(h host) {
	h.create(theLink)
	h.apply(theLink, add(address("10.96.0.1")))
	h.refused(fs.ErrExist, theLink, add(route("10.96.0.1")))
	h.apply(theLink, add(address("fd00::1")), add(route("fd00::1")))
	h.apply(theLink, add(route("10.96.0.2")), add(address("10.96.0.2")))
	h.holds(theLink, address("10.96.0.1"), address("fd00::1"), route("fd00::1"), route("10.96.0.2"), address("10.96.0.2"))

	h.refused(fs.ErrNotExist, theLink, del(route("10.96.0.1")))
	h.apply(theLink, del(address("10.96.0.2")), del(route("fd00::1")))
	h.holds(theLink, address("10.96.0.1"), address("fd00::1"), route("10.96.0.2"))
	h.apply(theLink, dummy.Diff([]dummy.Address{address("10.96.0.1"), address("fd00::1"), route("10.96.0.2")},
		[]dummy.Address{route("10.96.0.1"), route("fd00::1"), address("10.96.0.2")})...)
	h.holds(theLink, route("10.96.0.1"), route("fd00::1"), address("10.96.0.2"))
}

// testTwoLinks holds one address on two links as far as the kernel lets it.
func testTwoLinks(h host) {
	h.create(theLink)
	h.create("vipkit1")
	h.apply(theLink, add(address("10.96.0.1")), add(address("fd00::1")), add(route("10.96.0.2")), add(route("fd00::2")))
	h.apply("vipkit1", add(address("10.96.0.1")), add(address("fd00::1")), add(address("10.96.0.2")), add(address("fd00::2")))
	for _, a := range []string{"10.96.0.1", "10.96.0.2", "fd00::2"} {
		h.refused(fs.ErrExist, "vipkit1", add(route(a)))
	}
	h.apply("vipkit1", add(route("fd00::1")))
	h.refused(fs.ErrNotExist, "vipkit1", del(route("10.96.0.2")))
	h.holds(theLink, address("10.96.0.1"), address("fd00::1"), route("10.96.0.2"), route("fd00::2"))
	h.holds("vipkit1", address("10.96.0.1"), address("fd00::1"), address("10.96.0.2"), address("fd00::2"), route("fd00::1"))
}

func testDown(h host) {
	require.NoError(h.t, h.CreateLink(context.Background(), dummy.Link{Name: theLink}))
	h.apply(theLink, add(address("10.96.0.1")), add(address("fd00::1")), add(route("10.96.0.2")))
	h.refused(fs.ErrInvalid, theLink, add(route("fd00::2")))
	h.holds(theLink, address("10.96.0.1"), address("fd00::1"), route("10.96.0.2"))
}

func testVanish(h host) {
	h.create(theLink)
	h.apply(theLink, add(address("10.96.0.1")), add(address("fd00::1")), add(route("10.96.0.2")), add(route("fd00::2")))
	require.NoError(h.t, h.DeleteLink(context.Background(), theLink))
	h.create(theLink)
	h.holds(theLink)
	h.apply(theLink, add(route("10.96.0.1")), add(route("fd00::1")), add(route("10.96.0.2")), add(route("fd00::2")))
}

func testMany(h host) {
	const n = 600
	h.create(theLink)
	var want []dummy.Address
	var adds, dels []dummy.Change
	for i := range n {
		for _, a := range []dummy.Address{
			address(fmt.Sprintf("10.1.%d.%d", i/250, i%250)), route(fmt.Sprintf("10.2.%d.%d", i/250, i%250)),
			address(fmt.Sprintf("fd00:1::%x", i+1)), route(fmt.Sprintf("fd00:2::%x", i+1)),
		} {
			want = append(want, a)
			adds, dels = append(adds, add(a)), append(dels, del(a))
		}
	}
	h.apply(theLink, adds...)
	h.holds(theLink, want...)
	errs := h.Apply(context.Background(), theLink, adds)
	require.Len(h.t, errs, len(adds))
	for _, err := range errs {
		require.ErrorIs(h.t, err, fs.ErrExist)
	}
	h.apply(theLink, dels...)
	h.holds(theLink)
}
