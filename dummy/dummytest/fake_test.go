package dummytest

import (
	"context"
	"errors"
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
