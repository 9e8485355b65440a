//go:build linux

package ipvstest_test

import (
	"net"
	"syscall"
	"testing"

	moby "github.com/moby/ipvs"
	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/ipvs"
)

// openMoby opens the other library's handle in a namespace.
func openMoby(t *testing.T, ns *testenv.NS) *moby.Handle {
	t.Helper()
	var handle *moby.Handle
	require.NoError(t, ns.Do(func() (err error) {
		handle, err = moby.New("")
		return err
	}))
	t.Cleanup(handle.Close)
	return handle
}

// TestKernelMobyWrong is the list of where moby/ipvs 1.1.0 is not right, and what
// we read of the same. It is why the codec is our own; what is mended there goes
// from here.
func TestKernelMobyWrong(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS)
	c, ns := openIn(t)
	handle := openMoby(t, ns)
	one := func(lines string) (*moby.Service, *moby.Destination) {
		require.NoError(t, clearAll(t.Context(), c))
		require.Nil(t, c.Apply(t.Context(), parseAll(t, lines)))
		ours, err := save(t.Context(), c)
		require.NoError(t, err)
		require.Equal(t, lines, ours)
		services, err := handle.GetServices()
		require.NoError(t, err)
		require.Len(t, services, 1)
		destinations, err := handle.GetDestinations(services[0])
		require.NoError(t, err)
		if len(destinations) == 0 {
			return services[0], nil
		}
		return services[0], destinations[0]
	}

	t.Run("an IPv6 destination of an IPv4 service is written as 253.0.0.0", func(t *testing.T) {
		s, _ := one("-A -t 10.0.0.1:80 -s rr\n")
		require.NoError(t, handle.NewDestination(s, &moby.Destination{
			AddressFamily: syscall.AF_INET6, Address: net.ParseIP("fd00::1"), Port: 80, Weight: 1, ConnectionFlags: moby.ConnectionFlagTunnel,
		}))
		ours, err := save(t.Context(), c)
		require.NoError(t, err)
		require.Equal(t, "-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 253.0.0.0:80 -i -w 1 --tun-type ipip\n", ours)
	})
	t.Run("the persistence engine is not read, so reading and writing removes it", func(t *testing.T) {
		s, _ := one("-A -u 10.0.0.1:5060 -s rr -p 60 --pe sip\n")
		require.Empty(t, s.PEName)
		require.NoError(t, handle.UpdateService(s))
		ours, err := save(t.Context(), c)
		require.NoError(t, err)
		require.Equal(t, "-A -u 10.0.0.1:5060 -s rr -p 60\n", ours)
	})
	t.Run("weights are read as 16 bits", func(t *testing.T) {
		one("-A -t 10.0.0.1:80 -s rr\n")
		ns.Run(t, "ipvsadm", "-a", "-t", "10.0.0.1:80", "-r", "10.1.0.1:80", "-m", "-w", "70000")
		services, err := handle.GetServices()
		require.NoError(t, err)
		destinations, err := handle.GetDestinations(services[0])
		require.NoError(t, err)
		require.Equal(t, 70000-1<<16, destinations[0].Weight)
		for d, err := range c.Destinations(t.Context(), parseAll(t, "-D -t 10.0.0.1:80\n")[0].Service.Key) {
			require.NoError(t, err)
			require.EqualValues(t, 70000, d.Weight)
		}
	})
	t.Run("an IPv4 netmask is in the order of the network", func(t *testing.T) {
		s, _ := one("-A -t 10.0.0.1:80 -s rr -p 60 -M 255.255.0.0\n")
		require.EqualValues(t, 0xffff, s.Netmask)
	})
	t.Run("tunnels have no type", func(t *testing.T) {
		s, d := one("-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.1.0.4:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum\n")
		d.Weight = 2
		require.NoError(t, handle.UpdateDestination(s, d))
		ours, err := save(t.Context(), c)
		require.NoError(t, err)
		require.Equal(t, "-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.1.0.4:80 -i -w 2 --tun-type ipip\n", ours)
	})
}

// TestKernelMoby writes with one library and reads with the other, as far as
// moby/ipvs can be right (weights of 16 bits, IPv4 netmasks byte-swapped, no
// tunnels, no persistence engine).
func TestKernelMoby(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS)
	_, ns := openIn(t)
	c, err := ipvs.Open(&ipvs.Config{Namespace: ns.Path()})
	require.NoError(t, err)
	defer c.Close()
	const text = `-A -t 10.0.0.1:80 -s rr
-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 7 -x 10 -y 5
-a -t 10.0.0.1:80 -r 10.1.0.9:80 -g -w 0
-A -u 10.0.0.1:53 -s sh -p 60
-A -t [fd00::1]:443 -s wlc
-a -t [fd00::1]:443 -r [fd00:1::1]:6443 -m -w 1
-A -f 17 -s wrr
`
	require.Nil(t, c.Apply(t.Context(), parseAll(t, text)))
	handle := openMoby(t, ns)
	services, err := handle.GetServices()
	require.NoError(t, err)
	require.Len(t, services, 4)
	destinations := make(map[*moby.Service][]*moby.Destination)
	for _, s := range services {
		destinations[s], err = handle.GetDestinations(s)
		require.NoError(t, err)
		switch {
		case s.FWMark != 0:
			require.EqualValues(t, 17, s.FWMark)
			require.Equal(t, "wrr", s.SchedName)
		case s.Port == 80:
			require.Equal(t, "10.0.0.1", s.Address.String())
			require.EqualValues(t, vipkit.TCP, s.Protocol)
			require.Len(t, destinations[s], 2)
		case s.Port == 53:
			require.EqualValues(t, 60, s.Timeout)
			require.EqualValues(t, 1, s.Flags&1)
		case s.Port == 443:
			require.Equal(t, "fd00::1", s.Address.String())
			require.Equal(t, "fd00:1::1", destinations[s][0].Address.String())
			require.EqualValues(t, 6443, destinations[s][0].Port)
		}
		for _, d := range destinations[s] {
			if d.Port == 8080 {
				require.Equal(t, []any{7, uint32(10), uint32(5), uint32(0)}, []any{d.Weight, d.UpperThreshold, d.LowerThreshold, d.ConnectionFlags})
			}
		}
	}

	require.NoError(t, clearAll(t.Context(), c))
	for _, s := range services {
		require.NoError(t, handle.NewService(s))
		for _, d := range destinations[s] {
			require.NoError(t, handle.NewDestination(s, d))
		}
	}
	got, err := save(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, text, got)
}
