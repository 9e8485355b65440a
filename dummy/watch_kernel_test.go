//go:build linux

package dummy_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/internal/testenv"
)

// follow returns a function that takes the next event of a watch, as text.
func follow(t *testing.T, c *dummy.Conn) func() string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	next, stop := iter.Pull2(c.Watch(ctx))
	t.Cleanup(func() {
		stop()
		cancel()
	})
	return func() string {
		event, err, ok := next()
		require.True(t, ok)
		require.NoError(t, err)
		return event.String()
	}
}

// connOf returns a Conn that works in a namespace in which no thread is.
func connOf(t *testing.T, ns *testenv.NS) *dummy.Conn {
	t.Helper()
	c, err := dummy.Open(&dummy.Config{Namespace: ns.Path()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// TestKernelWatch follows what others do to links and addresses.
func TestKernelWatch(t *testing.T) {
	testenv.RequireKernel(t, testenv.Veth, "ip")
	testenv.CheckLeaks(t)
	ns, peer := testenv.AddNetNS(t), testenv.AddNetNS(t)
	testenv.Connect(t, ns, "eth0", peer, "eth0")
	// No link-local addresses: they come when they like.
	ns.Run(t, "ip", "link", "set", "eth0", "addrgenmode", "none")
	ns.Run(t, "ip", "-6", "addr", "flush", "dev", "eth0")
	ns.AddAddr(t, "eth0", "192.0.2.1/24")
	next := follow(t, connOf(t, ns))
	var first []string
	for event := ""; event != "listed"; {
		event = next()
		first = append(first, event)
	}
	slices.Sort(first)
	require.Equal(t, []string{
		"listed", "present eth0 inet 192.0.2.1/24 scope global", "present lo inet 127.0.0.1/8 scope host", "present lo inet6 ::1/128 scope host",
	}, first)

	expect := func(want ...string) {
		t.Helper()
		var have []string
		for range want {
			have = append(have, next())
		}
		require.ElementsMatch(t, want, have)
	}
	ns.Run(t, "ip", "addr", "add", "192.0.2.2/24", "dev", "eth0")
	expect("present eth0 inet 192.0.2.2/24 scope global secondary")
	ns.Run(t, "ip", "addr", "add", "198.51.100.1", "peer", "198.51.100.2/32", "dev", "eth0")
	expect("present eth0 inet 198.51.100.1 peer 198.51.100.2/32 scope global")
	ns.Run(t, "ip", "addr", "del", "198.51.100.1", "peer", "198.51.100.2/32", "dev", "eth0")
	expect("gone eth0 inet 198.51.100.1 peer 198.51.100.2/32 scope global")
	ns.Run(t, "ip", "addr", "add", "169.254.7.7/16", "scope", "link", "dev", "eth0", "valid_lft", "3600", "preferred_lft", "0")
	expect("present eth0 inet 169.254.7.7/16 scope link deprecated dynamic")
	ns.Run(t, "ip", "addr", "del", "169.254.7.7/16", "dev", "eth0")
	expect("gone eth0 inet 169.254.7.7/16 scope link deprecated dynamic")

	// Duplicate address detection is seen to begin and to end.
	ns.Sysctl(t, "net.ipv6.conf.eth0.accept_dad", "1")
	ns.Run(t, "ip", "addr", "add", "fd00::1/64", "dev", "eth0")
	expect("present eth0 inet6 fd00::1/64 scope global tentative")
	expect("present eth0 inet6 fd00::1/64 scope global")
	peer.AddAddr(t, "eth0", "fd00::2/64")
	ns.Run(t, "ip", "addr", "add", "fd00::2/64", "dev", "eth0")
	expect("present eth0 inet6 fd00::2/64 scope global tentative")
	expect("present eth0 inet6 fd00::2/64 scope global tentative dadfailed")
	ns.Run(t, "ip", "addr", "del", "fd00::2/64", "dev", "eth0")
	expect("gone eth0 inet6 fd00::2/64 scope global tentative dadfailed")

	ns.Run(t, "ip", "link", "set", "eth0", "down")
	expect("gone eth0 inet6 fd00::1/64 scope global")
	ns.Run(t, "ip", "link", "set", "eth0", "name", "wan0")
	expect("present wan0 inet 192.0.2.1/24 scope global", "present wan0 inet 192.0.2.2/24 scope global secondary")
	ns.Run(t, "ip", "link", "del", "wan0")
	expect("gone wan0 inet 192.0.2.1/24 scope global", "gone wan0 inet 192.0.2.2/24 scope global secondary")
}

// TestKernelWatchOverflow does not read while more happens than a socket holds.
func TestKernelWatchOverflow(t *testing.T) {
	testenv.RequireKernel(t, testenv.Veth)
	ns := testenv.AddNetNS(t)
	next := follow(t, connOf(t, ns))
	for next() != "listed" {
	}
	c := connOf(t, ns)
	var changes []dummy.Change
	for range 1000 {
		a := dummy.Address{Addr: addr4(0, 1)}
		changes = append(changes, dummy.Change{Op: dummy.AddAddress, Address: a}, dummy.Change{Op: dummy.DeleteAddress, Address: a})
	}
	lost := func() bool { // Drops are the column before the last
		for line := range strings.Lines(ns.Run(t, "cat", "/proc/net/netlink")) {
			if f := strings.Fields(line); len(f) > 9 && f[1] == "0" && f[8] != "0" {
				return true
			}
		}
		return false
	}
	for rounds := 0; !lost(); rounds++ {
		require.Less(t, rounds, 50, "no end of room")
		require.Nil(t, c.Apply(t.Context(), "lo", changes))
	}
	ns.AddAddr(t, "lo", "10.0.0.1/32") // of which the watch is not told
	seen := make(map[string]bool)
	for !seen["overflow"] || !seen["listed"] {
		seen[next()] = true
	}
	require.True(t, seen["present lo inet 10.0.0.1/32 scope global"])
	ns.AddAddr(t, "lo", "10.0.0.2/32")
	require.Equal(t, "present lo inet 10.0.0.2/32 scope global", next())
}

// TestKernelWatchConcurrent has watches, lists and changes side by side, and ends
// them while they wait.
func TestKernelWatchConcurrent(t *testing.T) {
	testenv.RequireKernel(t, testenv.Veth)
	testenv.CheckLeaks(t)
	c := connOf(t, testenv.AddNetNS(t))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	ends := make([]error, 4)
	for i := range ends {
		wg.Go(func() {
			for _, err := range c.Watch(ctx) {
				ends[i] = err
			}
		})
	}
	failures := make([]error, 4)
	for i := range failures {
		wg.Go(func() {
			for n := range 50 {
				a := dummy.Change{Op: dummy.AddAddress, Address: dummy.Address{Addr: addr4(i, n), Means: dummy.Means(n % 2)}}
				failures[i] = errors.Join(append(c.Apply(t.Context(), "lo", []dummy.Change{a}), failures[i])...)
				_, err := dummy.HostAddresses(t.Context(), c)
				_, linkErr := c.Link(t.Context(), "lo")
				failures[i] = errors.Join(failures[i], err, linkErr)
			}
		})
	}
	time.AfterFunc(500*time.Millisecond, cancel)
	wg.Wait()
	require.NoError(t, errors.Join(failures...))
	for _, err := range ends {
		require.Equal(t, context.Canceled, err)
	}
	list, err := dummy.HostAddresses(t.Context(), c)
	require.NoError(t, err)
	require.Len(t, list, 2+4*25)
}
