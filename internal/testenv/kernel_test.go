package testenv

import (
	"context"
	"io"
	"net"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"
)

// TestKernelFacilities needs everything that the kernels of the matrix have.
func TestKernelFacilities(t *testing.T) {
	facilities := []string{
		IPVS, IPSet, IPTables, Dummy, Conntrack, Veth, Bridge, SCTP,
		"ipvsadm", "ip", "nft", "curl",
	}
	for _, name := range facilities {
		t.Run(name, func(t *testing.T) { RequireKernel(t, name) })
	}
}

func TestKernelNetNS(t *testing.T) {
	RequireKernel(t)
	CheckLeaks(t)
	outside, err := netns.Get()
	require.NoError(t, err)
	defer outside.Close()

	t.Run("inside", func(t *testing.T) {
		ns := NewNetNS(t)
		inside, err := netns.Get()
		require.NoError(t, err)
		defer inside.Close()
		require.True(t, inside.Equal(ns.ns))
		require.False(t, inside.Equal(outside))
		links, err := ns.Handle().LinkList()
		require.NoError(t, err)
		require.Equal(t, "lo", links[0].Attrs().Name)
		require.NotZero(t, links[0].Attrs().Flags&net.FlagUp)
	})
	after, err := netns.Get()
	require.NoError(t, err)
	defer after.Close()
	require.True(t, after.Equal(outside))
}

// TestKernelTraffic joins a client and a server through a router with a bridge.
func TestKernelTraffic(t *testing.T) {
	RequireKernel(t, Veth, Bridge)
	client, router, server := AddNetNS(t), AddNetNS(t), AddNetNS(t)
	Connect(t, client, "eth0", router, "outside")
	Connect(t, server, "eth0", router, "pod0")
	router.AddBridge(t, "br0", "pod0")
	router.AddAddr(t, "outside", "192.0.2.1/24", "2001:db8:1::1/64")
	router.AddAddr(t, "br0", "10.1.0.1/24", "2001:db8:2::1/64")
	client.AddAddr(t, "eth0", "192.0.2.2/24", "2001:db8:1::2/64")
	server.AddAddr(t, "eth0", "10.1.0.2/24", "2001:db8:2::2/64")
	client.AddRoute(t, "10.0.0.0/8", "192.0.2.1", "")
	client.AddRoute(t, "::/0", "2001:db8:1::1", "eth0")
	server.AddRoute(t, "0.0.0.0/0", "10.1.0.1", "")
	server.AddRoute(t, "::/0", "2001:db8:2::1", "")
	router.Sysctl(t, "net.ipv4.ip_forward", "1")
	router.Sysctl(t, "net.ipv6.conf.all.forwarding", "1")
	require.Equal(t, "1", router.ReadSysctl(t, "net.ipv4.ip_forward"))
	require.Equal(t, "0", client.ReadSysctl(t, "net.ipv4.ip_forward"))

	for _, address := range []string{"10.1.0.2:80", "[2001:db8:2::2]:80"} {
		require.Equal(t, "hello", ask(t, server, client, address), address)
	}
	require.Contains(t, client.Run(t, "ip", "route"), "10.0.0.0/8 via 192.0.2.1")
}

// ask serves a greeting at address in one namespace and reads it from another.
func ask(t *testing.T, server, client *NS, address string) string {
	t.Helper()
	var listener net.Listener
	require.NoError(t, server.Do(func() (err error) {
		listener, err = new(net.ListenConfig).Listen(context.Background(), "tcp", address)
		return err
	}))
	defer listener.Close()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			_, _ = io.WriteString(conn, "hello")
			_ = conn.Close()
		}
	}()
	var answer []byte
	require.NoError(t, client.Do(func() error {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err != nil {
			return err
		}
		defer conn.Close()
		answer, err = io.ReadAll(conn)
		return err
	}))
	return string(answer)
}

func TestKernelOutDir(t *testing.T) {
	RequireKernel(t)
	require.DirExists(t, OutDir(t))
	require.NoError(t, os.WriteFile(OutDir(t)+"/proof.txt", []byte("from the kernel\n"), 0o600))
}
