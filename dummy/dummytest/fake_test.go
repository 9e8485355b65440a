package dummytest

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/dummy"
)

func TestFakeClient(t *testing.T) {
	TestClient(t, func(*testing.T) Client { return new(Fake) })
}

func TestFakeDumpLoad(t *testing.T) {
	const text = `addr add 192.0.2.1/32 dev lo
link add vipkit0 mtu 1500 up type dummy
addr add 10.96.0.1/32 dev vipkit0
route add local 10.96.0.2 dev vipkit0 table local proto static
addr add fd00::1/128 dev vipkit0 nodad
link add vipkit1 mtu 9000 type dummy
`
	var f Fake
	require.Empty(t, f.Dump())
	require.NoError(t, f.Load(text))
	require.Equal(t, text, f.Dump())
	for _, bad := range []string{"rubbish", "link add x", "link add x mtu y up type dummy", "addr add 10.0.0.1/32 dev nolink", "addr add 10.0.0.1/24 dev lo"} {
		require.Error(t, f.Load(bad), bad)
	}
	require.Equal(t, text, f.Dump(), "a failed Load changes nothing")
	require.NoError(t, f.Load(""))
	require.Empty(t, f.Dump())
}

func TestFakeHooks(t *testing.T) {
	ctx := context.Background()
	lost := errors.New("lost")
	changes := []dummy.Change{add(address("10.96.0.1")), add(address("10.96.0.2"))}
	var f Fake
	require.NoError(t, f.Load("link add vipkit0 up type dummy"))
	f.Before = func(c Call) error {
		require.Equal(t, Call{Op: "apply", Link: theLink, Changes: changes}, c)
		return lost
	}
	for _, err := range f.Apply(ctx, theLink, changes) {
		require.ErrorIs(t, err, lost)
	}
	f.Before = nil
	host{t, &f}.holds(theLink)
	f.After = func(Call) error { return lost }
	require.Len(t, f.Apply(ctx, theLink, changes), 2)
	f.After = nil
	host{t, &f}.holds(theLink, changes[0].Address, changes[1].Address)
}

// TestFakeHostAddresses has addresses that are not virtual, and an overflow.
func TestFakeHostAddresses(t *testing.T) {
	var f Fake
	h := host{t, &f}
	w, stop := h.watch()
	defer stop()
	prefix := netip.MustParsePrefix("2001:db8::1/64")
	a := dummy.HostAddress{HostKey: dummy.HostKey{Prefix: prefix}, Link: "eth0", Flags: dummy.Permanent | dummy.Tentative}
	f.SetHostAddress(a)
	require.Equal(t, "present eth0 inet6 2001:db8::1/64 scope global tentative", w.step().String())
	a.Flags = dummy.Permanent
	f.SetHostAddress(a)
	require.Equal(t, "present eth0 inet6 2001:db8::1/64 scope global", w.step().String())
	f.Overflow()
	require.Equal(t, dummy.Overflow, w.step().Kind)
	require.Equal(t, dummy.Listed, w.step().Kind)
	l, err := f.Link(t.Context(), "eth0")
	require.NoError(t, err)
	require.Equal(t, dummy.Link{Name: "eth0", Up: true, MTU: 1500}, l)
	require.ErrorIs(t, f.DeleteLink(t.Context(), "eth0"), fs.ErrInvalid)

	// A route to an IPv4 address that somebody has is one too many.
	f.SetHostAddress(dummy.HostAddress{HostKey: dummy.HostKey{Prefix: netip.MustParsePrefix("192.0.2.1/24")}, Link: "eth0"})
	require.NoError(t, f.CreateLink(t.Context(), dummy.Link{Name: theLink, Up: true}))
	h.refused(fs.ErrExist, theLink, add(route("192.0.2.1")))

	require.True(t, f.DeleteHostAddress("eth0", a.HostKey))
	require.False(t, f.DeleteHostAddress("eth0", a.HostKey))
	require.False(t, f.DeleteHostAddress("nosuch", a.HostKey))
	w.until(1)
	lost := errors.New("lost")
	f.Before = func(c Call) error {
		require.Equal(t, Call{Op: "watch"}, c)
		return lost
	}
	_, err = dummy.HostAddresses(t.Context(), &f)
	require.ErrorIs(t, err, lost)
}

// FuzzLoad reads back what was dumped.
func FuzzLoad(f *testing.F) {
	f.Add("link add vipkit0 mtu 1500 group 7 up type dummy\naddr add 10.96.0.1/32 dev vipkit0\nroute add local fd00::1 dev vipkit0 table local proto static\n")
	f.Add("addr add 192.0.2.1/32 dev lo\nlink add x type dummy\n")
	f.Fuzz(func(t *testing.T, text string) {
		var first, second Fake
		if first.Load(text) != nil {
			require.Empty(t, first.Dump())
			return
		}
		require.NoError(t, second.Load(first.Dump()))
		require.Equal(t, first.Dump(), second.Dump())
	})
}
