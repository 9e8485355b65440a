package iptablestest

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/iptables"
)

func TestFakeClient(t *testing.T) {
	TestClient(t, func(_ *testing.T, _ vipkit.Family, set string) iptables.Client {
		return &Fake{Sets: func(name string) bool { return name == set }}
	})
}

func TestFakeDumpLoad(t *testing.T) {
	var f Fake
	text := "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n" +
		":VIPKIT - [0:0]\n-A PREROUTING -j VIPKIT\n-A VIPKIT -m set --match-set S dst,dst -j RETURN\nCOMMIT\n" +
		"*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
	require.NoError(t, f.Load(vipkit.IPv4, text))
	require.Equal(t, text, f.Dump(vipkit.IPv4))
	require.Empty(t, f.Dump(vipkit.IPv6))
	require.True(t, f.References("S"))
	require.False(t, f.References("T"))

	require.Error(t, f.Load(vipkit.IPv4, "*nat\n:X - [0:0]\n-A X -j NONE\nCOMMIT\n"))
	require.Equal(t, text, f.Dump(vipkit.IPv4), "a failed Load changes nothing")
	require.NoError(t, f.Load(vipkit.IPv4, ""))
	require.Empty(t, f.Dump(vipkit.IPv4))
}

func TestFakeHooks(t *testing.T) {
	ctx := context.Background()
	lost := errors.New("lost")
	edits := []iptables.Edit{newChain("nat", "A")}
	var seen []Call
	f := Fake{Before: func(c Call) error {
		seen = append(seen, c)
		return lost
	}}
	require.ErrorIs(t, f.Restore(ctx, vipkit.IPv4, edits), lost)
	require.Empty(t, f.Dump(vipkit.IPv4))
	require.Equal(t, []Call{{Op: "restore", Family: vipkit.IPv4, Edits: edits}}, seen)

	f = Fake{After: func(Call) error { return lost }}
	require.ErrorIs(t, f.Restore(ctx, vipkit.IPv4, edits), lost)
	require.Contains(t, f.Dump(vipkit.IPv4), ":A - [0:0]")
	require.Equal(t, 1, f.Restores())
	require.Equal(t, 0, f.Saves())
}
