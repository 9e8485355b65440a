package dummytest

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
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
	Client
}

// Client is what the contract is about.
type Client interface {
	dummy.Client
	dummy.Watcher
}

// TestClient is the contract of [dummy.Client] and [dummy.Watcher]: what every
// implementation must do. open returns a Client of a host with the link lo, up,
// IPv6, and no other link or address; it is called in the subtest that uses the
// Client.
func TestClient(t *testing.T, open func(t *testing.T) Client) {
	for _, c := range []struct {
		name string
		test func(h host)
	}{
		{"links", testLinks},
		{"update link", testUpdateLink},
		{"ensure link", testEnsure},
		{"invalid links", testInvalidLinks},
		{"addresses", testAddresses},
		{"missing link", testMissingLink},
		{"invalid changes", testInvalidChanges},
		{"both means", testBothMeans},
		{"two links", testTwoLinks},
		{"a link that is down", testDown},
		{"addresses vanish with the link", testVanish},
		{"many", testMany},
		{"host addresses", testHostAddresses},
		{"watch", testWatch},
		{"watch ends", testWatchEnds},
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
	have, wanted := make(map[dummy.Address]int), make(map[dummy.Address]int)
	for a, err := range h.Addresses(context.Background(), link) {
		require.NoError(h.t, err)
		have[a]++
	}
	for _, a := range want {
		wanted[a]++
	}
	require.Equal(h.t, wanted, have)
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

	for _, name := range []string{theLink, "lo"} {
		require.ErrorIs(h.t, h.CreateLink(ctx, dummy.Link{Name: name}), fs.ErrExist)
	}
	require.ErrorIs(h.t, h.DeleteLink(ctx, "lo"), fs.ErrInvalid)
	require.NoError(h.t, h.DeleteLink(ctx, theLink))
	require.ErrorIs(h.t, h.DeleteLink(ctx, theLink), fs.ErrNotExist)
	_, err = h.Link(ctx, theLink)
	require.ErrorIs(h.t, err, fs.ErrNotExist)
}

func testUpdateLink(h host) {
	ctx := context.Background()
	want := dummy.Link{Name: theLink, Kind: dummy.Kind, MTU: 1500}
	require.NoError(h.t, h.CreateLink(ctx, dummy.Link{Name: theLink}))
	for _, l := range []dummy.Link{
		{}, {Up: true}, {Up: true}, {Up: true, MTU: 9000}, {Up: true, Group: 7}, {MTU: 1280, Group: dummy.Group("x")}, {},
		{Kind: dummy.Kind, Up: true, MTU: 65535, Group: 8},
	} {
		l.Name = theLink
		require.NoError(h.t, h.UpdateLink(ctx, l))
		want.Up = l.Up
		if l.MTU != 0 {
			want.MTU = l.MTU
		}
		if l.Group != 0 {
			want.Group = l.Group
		}
		have, err := h.Link(ctx, theLink)
		require.NoError(h.t, err)
		require.Equal(h.t, want, have)
	}
	require.ErrorIs(h.t, h.UpdateLink(ctx, dummy.Link{Name: "lo"}), fs.ErrInvalid)
	require.ErrorIs(h.t, h.UpdateLink(ctx, dummy.Link{Name: theLink, MTU: 68}), fs.ErrInvalid)
	require.ErrorIs(h.t, h.UpdateLink(ctx, dummy.Link{Name: theLink, Kind: "bridge"}), fs.ErrInvalid)
	require.ErrorIs(h.t, h.UpdateLink(ctx, dummy.Link{Name: "nosuch"}), fs.ErrNotExist)

	all := []dummy.Address{address("10.96.0.1"), route("10.96.0.2"), address("fd00::1"), route("fd00::2")}
	for _, a := range all {
		h.apply(theLink, add(a))
	}
	require.NoError(h.t, h.UpdateLink(ctx, dummy.Link{Name: theLink, Up: true, MTU: 1400}))
	h.holds(theLink, all...)
	for _, up := range []bool{false, true} { // what went down with the link stays away
		require.NoError(h.t, h.UpdateLink(ctx, dummy.Link{Name: theLink, Up: up}))
		h.holds(theLink, all[0], all[1])
	}
}

func testEnsure(h host) {
	ctx := context.Background()
	ours := dummy.Link{Name: theLink, Up: true, MTU: 1400, Group: dummy.Group("x")}
	ensure := func(l dummy.Link) bool {
		h.t.Helper()
		changed, err := dummy.Ensure(ctx, h, l)
		require.NoError(h.t, err)
		return changed
	}
	require.True(h.t, ensure(ours))
	have, err := h.Link(ctx, theLink)
	require.NoError(h.t, err)
	require.Equal(h.t, dummy.Link{Name: theLink, Kind: dummy.Kind, Up: true, MTU: 1400, Group: dummy.Group("x")}, have)
	require.False(h.t, ensure(ours))
	require.False(h.t, ensure(dummy.Link{Name: theLink, Up: true}), "who has no group owns all")
	ours.MTU = 1500
	require.True(h.t, ensure(ours))
	require.False(h.t, ensure(ours))

	theirs := ours
	theirs.Group = dummy.Group("y")
	for _, l := range []dummy.Link{theirs, {Name: "lo", Up: true}} {
		_, err = dummy.Ensure(ctx, h, l)
		require.ErrorIs(h.t, err, fs.ErrExist)
	}
	_, err = dummy.Ensure(ctx, h, dummy.Link{Name: theLink, MTU: 1})
	require.ErrorIs(h.t, err, fs.ErrInvalid)
	require.NoError(h.t, h.UpdateLink(ctx, theirs)) // adopted
	require.False(h.t, ensure(theirs))
	_, err = dummy.Ensure(ctx, h, ours)
	require.ErrorIs(h.t, err, fs.ErrExist)
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
