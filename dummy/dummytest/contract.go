package dummytest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/dummy"
)

// theLink is the link that the contract works on.
const theLink = "vipkit0"

// host is a Client and what one case of the contract does with it.
type host struct {
	t *testing.T
	dummy.Client
}

// TestClient is the contract of [dummy.Client]: what every implementation must
// do. open returns a Client of a host with the link lo, IPv6, and no other link
// or address; it is called in the subtest that uses the Client.
func TestClient(t *testing.T, open func(t *testing.T) dummy.Client) {
	for _, c := range []struct {
		name string
		test func(h host)
	}{
		{"links", testLinks},
		{"invalid links", testInvalidLinks},
		{"addresses", testAddresses},
		{"missing link", testMissingLink},
		{"invalid changes", testInvalidChanges},
		{"both means", testBothMeans},
		{"two links", testTwoLinks},
		{"a link that is down", testDown},
		{"addresses vanish with the link", testVanish},
		{"many", testMany},
		{"cancelled", testCancelled},
		{"concurrent", testConcurrent},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(host{t, open(t)}) })
	}
}

func address(s string) dummy.Address { return dummy.Address{Addr: netip.MustParseAddr(s)} }

func route(s string) dummy.Address {
	return dummy.Address{Addr: netip.MustParseAddr(s), Means: dummy.ByRoute}
}

func add(a dummy.Address) dummy.Change { return dummy.Change{Op: dummy.AddAddress, Address: a} }

func del(a dummy.Address) dummy.Change { return dummy.Change{Op: dummy.DeleteAddress, Address: a} }

// create makes the link, up.
func (h host) create(name string) {
	h.t.Helper()
	require.NoError(h.t, h.CreateLink(context.Background(), dummy.Link{Name: name, Up: true}))
}

// apply carries out changes that must succeed.
func (h host) apply(link string, changes ...dummy.Change) {
	h.t.Helper()
	require.NoError(h.t, errors.Join(h.Apply(context.Background(), link, changes)...))
}

// refused carries out one change that must fail.
func (h host) refused(kind error, link string, c dummy.Change) {
	h.t.Helper()
	errs := h.Apply(context.Background(), link, []dummy.Change{c})
	require.Len(h.t, errs, 1, "%s", c.String(link))
	require.ErrorIs(h.t, errs[0], kind)
	var op *vipkit.OpError
	require.ErrorAs(h.t, errs[0], &op)
	require.Equal(h.t, c.String(link), op.Object)
}

// holds checks what a link holds.
func (h host) holds(link string, want ...dummy.Address) {
	h.t.Helper()
	var have []dummy.Address
	for a, err := range h.Addresses(context.Background(), link) {
		require.NoError(h.t, err)
		have = append(have, a)
	}
	require.ElementsMatch(h.t, want, have)
}

func testLinks(h host) {
	ctx := context.Background()
	lo, err := h.Link(ctx, "lo")
	require.NoError(h.t, err)
	require.Equal(h.t, dummy.Link{Name: "lo", Up: true, MTU: 65536}, lo)
	_, err = h.Link(ctx, theLink)
	require.ErrorIs(h.t, err, fs.ErrNotExist)

	require.NoError(h.t, h.CreateLink(ctx, dummy.Link{Name: theLink, Up: true}))
	l, err := h.Link(ctx, theLink)
	require.NoError(h.t, err)
	require.Equal(h.t, dummy.Link{Name: theLink, Kind: dummy.Kind, Up: true, MTU: 1500}, l)
	h.holds(theLink)
	require.NoError(h.t, h.CreateLink(ctx, dummy.Link{Name: "vipkit1", Kind: dummy.Kind, MTU: 9000}))
	l, err = h.Link(ctx, "vipkit1")
	require.NoError(h.t, err)
	require.Equal(h.t, dummy.Link{Name: "vipkit1", Kind: dummy.Kind, MTU: 9000}, l)

	for range 2 {
		require.NoError(h.t, h.SetLinkUp(ctx, "vipkit1"))
		l, err = h.Link(ctx, "vipkit1")
		require.NoError(h.t, err)
		require.Equal(h.t, dummy.Link{Name: "vipkit1", Kind: dummy.Kind, Up: true, MTU: 9000}, l)
	}
	require.ErrorIs(h.t, h.SetLinkUp(ctx, "lo"), fs.ErrInvalid)
	require.ErrorIs(h.t, h.SetLinkUp(ctx, "nosuch"), fs.ErrNotExist)

	for _, name := range []string{theLink, "lo"} {
		require.ErrorIs(h.t, h.CreateLink(ctx, dummy.Link{Name: name}), fs.ErrExist)
	}
	require.ErrorIs(h.t, h.DeleteLink(ctx, "lo"), fs.ErrInvalid)
	require.NoError(h.t, h.DeleteLink(ctx, theLink))
	require.ErrorIs(h.t, h.DeleteLink(ctx, theLink), fs.ErrNotExist)
	_, err = h.Link(ctx, theLink)
	require.ErrorIs(h.t, err, fs.ErrNotExist)
}

func testInvalidLinks(h host) {
	ctx := context.Background()
	for _, l := range []dummy.Link{
		{}, {Name: "sixteen-bytes-xx"}, {Name: "a/b"}, {Name: "a b"}, {Name: "a:b"}, {Name: ".."}, {Name: "a\x00"},
		{Name: theLink, Kind: "bridge"}, {Name: theLink, MTU: 100}, {Name: theLink, MTU: -1}, {Name: theLink, MTU: 1 << 20},
	} {
		require.ErrorIs(h.t, h.CreateLink(ctx, l), fs.ErrInvalid, "%+v", l)
		if l.Name != theLink {
			_, err := h.Link(ctx, l.Name)
			require.ErrorIs(h.t, err, fs.ErrInvalid, "%q", l.Name)
			require.ErrorIs(h.t, h.DeleteLink(ctx, l.Name), fs.ErrInvalid, "%q", l.Name)
		}
	}
	_, err := h.Link(ctx, theLink)
	require.ErrorIs(h.t, err, fs.ErrNotExist)
}

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

func testCancelled(h host) {
	h.create(theLink)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := h.Link(ctx, theLink)
	require.ErrorIs(h.t, err, context.Canceled)
	require.ErrorIs(h.t, h.CreateLink(ctx, dummy.Link{Name: "vipkit1"}), context.Canceled)
	require.ErrorIs(h.t, h.DeleteLink(ctx, theLink), context.Canceled)
	for _, err := range h.Addresses(ctx, theLink) {
		require.ErrorIs(h.t, err, context.Canceled)
	}
	errs := h.Apply(ctx, theLink, []dummy.Change{add(address("10.96.0.1")), add(route("10.96.0.2"))})
	require.Len(h.t, errs, 2)
	for _, err := range errs {
		require.ErrorIs(h.t, err, context.Canceled)
	}
	h.holds(theLink)
	_, err = h.Link(context.Background(), "vipkit1")
	require.ErrorIs(h.t, err, fs.ErrNotExist)
}

// testConcurrent changes and reads from several goroutines.
func testConcurrent(h host) {
	h.create(theLink)
	var wg sync.WaitGroup
	failures := make([]error, 4)
	for g := range failures {
		wg.Go(func() {
			for i := range 20 {
				a := address(fmt.Sprintf("10.%d.0.%d", g, i+1))
				if i%2 == 0 {
					a = route(fmt.Sprintf("fd00:%d::%x", g, i+1))
				}
				failures[g] = errors.Join(append(h.Apply(context.Background(), theLink, []dummy.Change{add(a)}), failures[g])...)
				found := false
				for have, err := range h.Addresses(context.Background(), theLink) {
					if errors.Is(err, vipkit.ErrInterrupted) {
						found = true // others were writing: nothing was said
						break
					}
					failures[g] = errors.Join(failures[g], err)
					found = found || have == a
				}
				if !found {
					failures[g] = errors.Join(failures[g], fmt.Errorf("%s is not there", a))
				}
			}
		})
	}
	wg.Wait()
	require.NoError(h.t, errors.Join(failures...))
	n := slices.Collect(func(yield func(dummy.Address) bool) {
		for a, err := range h.Addresses(context.Background(), theLink) {
			require.NoError(h.t, err)
			if !yield(a) {
				return
			}
		}
	})
	require.Len(h.t, n, 80)
}
