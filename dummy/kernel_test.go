//go:build linux

package dummy_test

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/dummy/dummytest"
	"github.com/vipkit/vipkit/internal/testenv"
)

// kernelConn returns a Conn in a network namespace of its own.
func kernelConn(t *testing.T) (*dummy.Conn, *testenv.NS) {
	t.Helper()
	ns := testenv.NewNetNS(t)
	c, err := dummy.Open(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c, ns
}

func TestKernelClient(t *testing.T) {
	testenv.RequireKernel(t, testenv.Dummy)
	dummytest.TestClient(t, func(t *testing.T) dummytest.Client {
		c, _ := kernelConn(t)
		return c
	})
}

// TestKernelTools holds what the tools show against what this package writes:
// the fake's dump is a batch that ip takes, and Addresses finds what it made and
// nothing of others.
func TestKernelTools(t *testing.T) {
	testenv.RequireKernel(t, testenv.Dummy, "ip")
	c, ns := kernelConn(t)
	const batch = `link add vipkit0 mtu 1500 up type dummy
addr add 10.96.0.1/32 dev vipkit0
route add local 10.96.0.2 dev vipkit0 table local proto static
addr add fd00::1/128 dev vipkit0 nodad
route add local fd00::2 dev vipkit0 table local proto static
`
	var fake dummytest.Fake
	require.NoError(t, fake.Load(batch))
	require.Equal(t, batch, fake.Dump())
	file := filepath.Join(t.TempDir(), "batch")
	require.NoError(t, os.WriteFile(file, []byte(batch), 0o600))
	ns.Run(t, "ip", "-batch", file)
	// What others do on our link stays theirs.
	ns.Run(t, "ip", "addr", "add", "192.0.2.1/24", "dev", "vipkit0")
	ns.Run(t, "ip", "route", "add", "local", "10.96.0.3", "dev", "vipkit0", "table", "local")
	ns.Run(t, "ip", "addr", "add", "10.96.0.9/32", "dev", "lo")

	ctx := context.Background()
	want := slices.Collect(addresses(t, &fake, "vipkit0"))
	require.ElementsMatch(t, want, slices.Collect(addresses(t, c, "vipkit0")))

	var deletes []dummy.Change
	for _, a := range want {
		deletes = append(deletes, dummy.Change{Op: dummy.DeleteAddress, Address: a})
	}
	require.Nil(t, c.Apply(ctx, "vipkit0", deletes))
	require.Contains(t, ns.Run(t, "ip", "addr", "show", "dev", "vipkit0"), "192.0.2.1/24")
	require.Contains(t, ns.Run(t, "ip", "route", "show", "table", "local"), "10.96.0.3")

	// A link of ours has no link-local address, the other one (made by ip) has.
	require.NoError(t, c.CreateLink(ctx, dummy.Link{Name: "vipkit1", Up: true}))
	require.NotContains(t, ns.Run(t, "ip", "addr", "show", "dev", "vipkit1"), "fe80")
	require.Contains(t, ns.Run(t, "ip", "addr", "show", "dev", "vipkit1"), "NOARP")
	bound := dummy.Address{Addr: netip.MustParseAddr("10.96.0.1")}
	require.Nil(t, c.Apply(ctx, "vipkit1", []dummy.Change{{Op: dummy.AddAddress, Address: bound}}))
	require.Contains(t, ns.Run(t, "ip", "-o", "addr", "show", "dev", "vipkit1"), "10.96.0.1/32")
}

// TestKernelDisabledIPv6 has a link on which IPv6 is off, as containers have it.
func TestKernelDisabledIPv6(t *testing.T) {
	testenv.RequireKernel(t, testenv.Dummy)
	c, ns := kernelConn(t)
	ns.Sysctl(t, "net.ipv6.conf.default.disable_ipv6", "1")
	ctx := context.Background()
	require.NoError(t, c.CreateLink(ctx, dummy.Link{Name: "vipkit0", Up: true}))
	for _, means := range []dummy.Means{dummy.ByAddress, dummy.ByRoute} {
		errs := c.Apply(ctx, "vipkit0", []dummy.Change{
			{Op: dummy.AddAddress, Address: dummy.Address{Addr: netip.MustParseAddr("fd00::1"), Means: means}},
		})
		require.Len(t, errs, 1)
		require.ErrorIs(t, errs[0], errors.ErrUnsupported)
	}
	require.Empty(t, slices.Collect(addresses(t, c, "vipkit0")))
}

// TestKernelCost pins the number of messages, and prints what 10,000 addresses
// cost.
func TestKernelCost(t *testing.T) {
	testenv.RequireKernel(t, testenv.Dummy)
	c, _ := kernelConn(t)
	ctx := context.Background()
	require.NoError(t, c.CreateLink(ctx, dummy.Link{Name: "vipkit0", Up: true}))
	for _, means := range []dummy.Means{dummy.ByAddress, dummy.ByRoute} {
		n := 2000
		if means == dummy.ByRoute {
			n = 10000
		}
		var changes []dummy.Change
		for i := range n {
			addr := netip.AddrFrom4([4]byte{10, byte(64 + means), byte(i >> 8), byte(i)})
			changes = append(changes, dummy.Change{Op: dummy.AddAddress, Address: dummy.Address{Addr: addr, Means: means}})
		}
		messages, sends := c.Requests()
		start := time.Now()
		require.Nil(t, c.Apply(ctx, "vipkit0", changes))
		took := time.Since(start)
		m, s := c.Requests()
		t.Logf("means %d: %d added in %v, %d messages in %d sends", means, n, took, m-messages, s-sends)
		require.EqualValues(t, n+1, m-messages, "one a change, and one to find the link")
		require.Less(t, s-sends, m-messages)
		start = time.Now()
		require.Len(t, slices.Collect(addresses(t, c, "vipkit0")), n)
		t.Logf("means %d: %d read in %v", means, n, time.Since(start))
		for i := range changes {
			changes[i].Op = dummy.DeleteAddress
		}
		start = time.Now()
		require.Nil(t, c.Apply(ctx, "vipkit0", changes))
		t.Logf("means %d: %d deleted in %v", means, n, time.Since(start))
	}
}

// addresses yields what a link holds and fails the test where it cannot be read.
func addresses(t *testing.T, c dummy.Client, link string) iter.Seq[dummy.Address] {
	return func(yield func(dummy.Address) bool) {
		for a, err := range c.Addresses(context.Background(), link) {
			require.NoError(t, err)
			if !yield(a) {
				return
			}
		}
	}
}

// addr4 returns an address of its own for each pair of small numbers.
func addr4(i, n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 64 + byte(i), byte(n >> 8), byte(n)})
}
