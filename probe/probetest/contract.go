package probetest

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/probe"
)

// TestClient is the contract of [probe.Client]. open returns a Client of a kernel
// that has all facilities of Linux 6.1.
func TestClient(t *testing.T, open func(t *testing.T) probe.Client) {
	ctx := context.Background()
	for kind, all := range names {
		t.Run(kind.String(), func(t *testing.T) {
			c := open(t)
			for _, name := range all {
				for _, f := range facilities(kind, name) {
					require.NoError(t, c.Probe(ctx, f), f)
					require.NoError(t, c.Probe(ctx, f), f)
				}
			}
		})
		t.Run("no "+kind.String(), func(t *testing.T) {
			c := open(t)
			for _, f := range facilities(kind, "none-such") {
				err := c.Probe(ctx, f)
				require.ErrorIs(t, err, errors.ErrUnsupported)
				require.NotErrorIs(t, err, fs.ErrNotExist)
				require.Equal(t, probe.Missing(f).Error(), err.Error())
			}
		})
	}
	t.Run("ipvs", func(t *testing.T) {
		c := open(t)
		for _, family := range []vipkit.Family{vipkit.IPv4, vipkit.IPv6} {
			require.NoError(t, c.Probe(ctx, probe.Facility{Kind: probe.IPVS, Family: family}))
		}
	})
	t.Run("icmp", func(t *testing.T) {
		c := open(t)
		require.NoError(t, c.Probe(ctx, probe.Facility{Kind: probe.Match, Name: "icmp", Family: vipkit.IPv4}))
		require.NoError(t, c.Probe(ctx, probe.Facility{Kind: probe.Match, Name: "icmp6", Family: vipkit.IPv6}))
		require.ErrorIs(t, c.Probe(ctx, probe.Facility{Kind: probe.Match, Name: "icmp", Family: vipkit.IPv6}), errors.ErrUnsupported)
	})
	t.Run("invalid", func(t *testing.T) {
		c := open(t)
		for _, f := range []probe.Facility{
			{},
			{Kind: 99, Name: "rr"},
			{Kind: probe.IPVS},
			{Kind: probe.IPVS, Name: "rr", Family: vipkit.IPv4},
			{Kind: probe.Scheduler},
			{Kind: probe.Scheduler, Name: "rr", Family: vipkit.IPv4},
			{Kind: probe.Scheduler, Name: strings.Repeat("r", 16)},
			{Kind: probe.Match, Name: "set"},
			{Kind: probe.Match, Name: strings.Repeat("s", 29), Family: vipkit.IPv4},
			{Kind: probe.Target, Name: "SET\x00", Family: vipkit.IPv4},
			{Kind: probe.SetType, Name: "hash:ip"},
			{Kind: probe.SetType, Name: "bitmap:port", Family: vipkit.IPv6},
			{Kind: probe.LinkKind, Name: "../dummy"},
		} {
			err := c.Probe(ctx, f)
			require.ErrorIs(t, err, fs.ErrInvalid, "%+v", f)
			require.NotErrorIs(t, err, errors.ErrUnsupported, "%+v", f)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		c := open(t)
		done, cancel := context.WithCancel(ctx)
		cancel()
		err := c.Probe(done, probe.Facility{Kind: probe.LinkKind, Name: "dummy"})
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, errors.ErrUnsupported)
	})
}

// facilities returns those of a kind and name: one for each family, if it has any.
func facilities(kind probe.Kind, name string) []probe.Facility {
	one := probe.Facility{Kind: kind, Name: name}
	if one.Validate() == nil {
		return []probe.Facility{one}
	}
	v4, v6 := one, one
	v4.Family, v6.Family = vipkit.IPv4, vipkit.IPv6
	return []probe.Facility{v4, v6}
}
