//go:build linux

package dummy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/internal/testenv"
)

// node is a host with virtual addresses, and a client that it is the router of.
type node struct {
	*testenv.NS
	client *testenv.NS
	dummy  *dummy.Conn
}

// newNode makes a node, whose dummy link was there before its other links.
func newNode(t *testing.T) node {
	t.Helper()
	n := node{NS: testenv.AddNetNS(t), client: testenv.AddNetNS(t)}
	var err error
	n.dummy, err = dummy.Open(&dummy.Config{Namespace: n.Path()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.dummy.Close()) })
	require.NoError(t, n.dummy.CreateLink(t.Context(), dummy.Link{Name: "vipkit0", Up: true}))
	n.Sysctl(t, "net.ipv4.ip_forward", "1")
	n.Sysctl(t, "net.ipv6.conf.all.forwarding", "1")
	testenv.Connect(t, n.NS, "n0", n.client, "c0")
	n.AddAddr(t, "n0", "192.0.2.1/24", "fd00:2::1/64")
	n.client.AddAddr(t, "c0", "192.0.2.2/24", "fd00:2::2/64")
	n.AddRoute(t, "0.0.0.0/0", "192.0.2.2", "")
	n.AddRoute(t, "::/0", "fd00:2::2", "")
	return n
}

// hold gives the node virtual addresses.
func (n node) hold(t *testing.T, means dummy.Means, addrs ...string) {
	t.Helper()
	var changes []dummy.Change
	for _, a := range addrs {
		changes = append(changes, dummy.Change{Op: dummy.AddAddress, Address: dummy.Address{Addr: netip.MustParseAddr(a), Means: means}})
	}
	require.Nil(t, n.dummy.Apply(t.Context(), "vipkit0", changes))
}

func eachMeans(t *testing.T, test func(t *testing.T, means dummy.Means)) {
	for _, means := range []dummy.Means{dummy.ByAddress, dummy.ByRoute} {
		t.Run(map[dummy.Means]string{dummy.ByAddress: "address", dummy.ByRoute: "route"}[means], func(t *testing.T) { test(t, means) })
	}
}

// TestKernelMeansNeighbours shows that the node answers ARP for its virtual addresses
// by either means, unless arp_ignore says otherwise, and never answers NDP.
func TestKernelMeansNeighbours(t *testing.T) {
	testenv.RequireKernel(t, testenv.Dummy, testenv.Veth, "ip")
	eachMeans(t, func(t *testing.T, means dummy.Means) {
		n := newNode(t)
		for _, family := range []string{"ipv4", "ipv6"} {
			n.client.Sysctl(t, "net."+family+".neigh.c0.retrans_time_ms", "100")
		}
		n.client.AddRoute(t, "10.96.0.0/24", "", "c0")
		n.client.AddRoute(t, "fd00:96::/64", "", "c0")
		for ignore := range 3 {
			n.Sysctl(t, "net.ipv4.conf.all.arp_ignore", fmt.Sprint(ignore))
			vip4, vip6 := fmt.Sprintf("10.96.0.%d", ignore+1), fmt.Sprintf("fd00:96::%d", ignore+1)
			n.hold(t, means, vip4, vip6)
			require.Equal(t, ignore == 0, n.answers(t, vip4), "ARP, arp_ignore %d", ignore)
			require.False(t, n.answers(t, vip6), "NDP")
		}
	})
}

// answers reports whether the client finds out the node's link-layer address for
// an address.
func (n node) answers(t *testing.T, addr string) (answered bool) {
	t.Helper()
	require.NoError(t, n.client.Do(func() error {
		c, err := net.Dial("udp", net.JoinHostPort(addr, "9"))
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("x"))
		return err
	}))
	require.Eventually(t, func() bool {
		state := n.client.Run(t, "ip", "neigh", "show", "to", addr)
		answered = strings.Contains(state, "lladdr")
		return answered || strings.Contains(state, "FAILED")
	}, 10*time.Second, 50*time.Millisecond)
	return answered
}

// source returns the source address that the kernel chooses for packets from the
// node.
func (n node) source(t *testing.T, to string) (source string) {
	t.Helper()
	require.NoError(t, n.Do(func() error {
		c, err := net.Dial("udp", net.JoinHostPort(to, "9"))
		if err != nil {
			return err
		}
		source = c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().String()
		return c.Close()
	}))
	return source
}

// TestKernelMeansSource shows which source addresses packets of the node have, and
// that an address held by a route is none of a link that lacks one of its own.
func TestKernelMeansSource(t *testing.T) {
	testenv.RequireKernel(t, testenv.Dummy, testenv.Veth, "ip")
	eachMeans(t, func(t *testing.T, means dummy.Means) {
		n := newNode(t)
		n.hold(t, means, "10.96.0.1", "fd00:96::1")
		byAddress := means == dummy.ByAddress
		choose := func(address, route string) string {
			if byAddress {
				return address
			}
			return route
		}
		// To the virtual address itself.
		require.Equal(t, "10.96.0.1", n.source(t, "10.96.0.1"))
		require.Equal(t, choose("fd00:96::1", "fd00:2::1"), n.source(t, "fd00:96::1"))
		// To a neighbour, and beyond.
		require.Equal(t, "192.0.2.1", n.source(t, "192.0.2.2"))
		require.Equal(t, "192.0.2.1", n.source(t, "198.51.100.1"))
		require.Equal(t, "fd00:2::1", n.source(t, "fd00:2::2"))
		require.Equal(t, "fd00:2::1", n.source(t, "2001:db8::1"))
		// Over a link without addresses of its own, as routers have them.
		testenv.Connect(t, n.NS, "n1", n.client, "c1")
		n.AddRoute(t, "203.0.113.0/24", "", "n1")
		n.AddRoute(t, "fd00:96:0:1::/64", "", "n1")
		require.Equal(t, choose("10.96.0.1", "192.0.2.1"), n.source(t, "203.0.113.1"))
		require.Equal(t, choose("fd00:96::1", "fd00:2::1"), n.source(t, "fd00:96:0:1::1"))

		// Programs of the host can listen at an IPv6 address only where it is one.
		require.NoError(t, n.listen("10.96.0.1"))
		if err := n.listen("fd00:96::1"); byAddress {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, unix.EADDRNOTAVAIL)
		}

		shown := n.Run(t, "ip", "-o", "addr", "show", "dev", "vipkit0")
		for _, a := range []string{"10.96.0.1", "fd00:96::1"} {
			require.Equal(t, byAddress, strings.Contains(shown, a))
			require.Contains(t, n.Run(t, "ip", "route", "get", a), "local "+a)
		}
	})
}

func (n node) listen(addr string) error {
	return n.Do(func() error {
		l, err := net.Listen("tcp", net.JoinHostPort(addr, "8080"))
		if err != nil {
			return err
		}
		return l.Close()
	})
}

// TestKernelMeansDAD shows that no duplicate address detection delays an address,
// though the host is set to do it.
func TestKernelMeansDAD(t *testing.T) {
	testenv.RequireKernel(t, testenv.Dummy, testenv.Veth)
	n := newNode(t)
	n.Sysctl(t, "net.ipv6.conf.vipkit0.accept_dad", "1")
	n.hold(t, dummy.ByAddress, "fd00:96::1")
	list, err := dummy.HostAddresses(t.Context(), n.dummy)
	require.NoError(t, err)
	found := false
	for _, a := range list {
		if a.Link == "vipkit0" {
			found = true
			require.Equal(t, dummy.Permanent, a.Flags)
		}
	}
	require.True(t, found)
}

// TestKernelMeansIPVS shows that IPVS serves virtual addresses that are held by
// either means, to clients that the node is the router of and to the node itself.
func TestKernelMeansIPVS(t *testing.T) {
	testenv.RequireKernel(t, testenv.Dummy, testenv.Veth, testenv.IPVS, "ipvsadm")
	eachMeans(t, func(t *testing.T, means dummy.Means) {
		n, pod := newNode(t), testenv.AddNetNS(t)
		testenv.Connect(t, n.NS, "n1", pod, "p0")
		n.AddAddr(t, "n1", "10.1.0.1/24", "fd00:1::1/64")
		pod.AddAddr(t, "p0", "10.1.0.2/24", "fd00:1::2/64")
		pod.AddRoute(t, "0.0.0.0/0", "10.1.0.1", "")
		pod.AddRoute(t, "::/0", "fd00:1::1", "")
		n.client.AddRoute(t, "10.96.0.0/24", "192.0.2.1", "")
		n.client.AddRoute(t, "fd00:96::/64", "fd00:2::1", "")
		n.hold(t, means, "10.96.0.1", "fd00:96::1")
		for vip, backend := range map[string]string{"10.96.0.1": "10.1.0.2", "[fd00:96::1]": "[fd00:1::2]"} {
			greet(t, pod, backend+":8080")
			n.Run(t, "ipvsadm", "-A", "-t", vip+":80", "-s", "rr")
			n.Run(t, "ipvsadm", "-a", "-t", vip+":80", "-r", backend+":8080", "-m")
			for who, ns := range map[string]*testenv.NS{"client": n.client, "node": n.NS} {
				require.Equal(t, "hello", fetch(t, ns, vip+":80"), "%s to %s", who, vip)
			}
		}
	})
}

// greet says hello to whoever connects.
func greet(t *testing.T, ns *testenv.NS, at string) {
	t.Helper()
	var l net.Listener
	require.NoError(t, ns.Do(func() (err error) {
		l, err = net.Listen("tcp", at)
		return err
	}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "hello")
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
}

func fetch(t *testing.T, ns *testenv.NS, at string) string {
	t.Helper()
	var text []byte
	require.NoError(t, ns.Do(func() error {
		c, err := net.DialTimeout("tcp", at, 5*time.Second)
		if err != nil {
			return err
		}
		err = c.SetDeadline(time.Now().Add(5 * time.Second))
		var readErr error
		text, readErr = io.ReadAll(c)
		return errors.Join(err, readErr, c.Close())
	}))
	return string(text)
}

// TestKernelGroup shows why a group is what marks a link: it is there with the
// link, and an alias in the same request is not.
func TestKernelGroup(t *testing.T) {
	testenv.RequireKernel(t, testenv.Dummy, "ip")
	c, ns := kernelConn(t)
	group := dummy.Group("VIPKIT")
	ns.Run(t, "ip", "link", "add", "vipkit0", "group", fmt.Sprint(group), "alias", "vipkit", "type", "dummy")
	l, err := c.Link(context.Background(), "vipkit0")
	require.NoError(t, err)
	require.Equal(t, dummy.Link{Name: "vipkit0", Kind: dummy.Kind, MTU: 1500, Group: group}, l)
	require.NotContains(t, ns.Run(t, "ip", "link", "show", "vipkit0"), "alias")
	require.NoError(t, c.CreateLink(context.Background(), dummy.Link{Name: "vipkit1", Group: group}))
	shown := ns.Run(t, "ip", "link", "show", "group", fmt.Sprint(group))
	require.Contains(t, shown, "vipkit0")
	require.Contains(t, shown, "vipkit1")
	// An alternative name is not the link's name.
	ns.Run(t, "ip", "link", "property", "add", "dev", "vipkit1", "altname", "vipkit9")
	_, err = c.Link(context.Background(), "vipkit9")
	require.Error(t, err)
}
