package sysctltest

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/sysctl"
)

const host = `net.ipv4.ip_forward = 0
net.ipv4.ip_local_port_range = 32768	60999
`

func TestFakeClient(t *testing.T) {
	TestClient(t, func(t *testing.T) sysctl.Client {
		var f Fake
		require.NoError(t, f.Load(host))
		return &f
	})
}

func TestFake(t *testing.T) {
	lost := errors.New("lost")
	var f Fake
	require.NoError(t, f.Load(host+"# comment\nkernel.hostname = vm\nnet/ipv4/conf/eth0.100/arp_ignore = 1\n"))
	require.Error(t, f.Load("rubbish"))
	require.Error(t, f.Load("a..b = 1"))
	require.NoError(t, f.Set(context.Background(), "net.ipv4.ip_local_port_range", "1"))
	require.NoError(t, f.Set(context.Background(), "kernel.hostname", "other"))
	require.Equal(t, "kernel.hostname = other\nnet/ipv4/conf/eth0.100/arp_ignore = 1\n"+
		"net.ipv4.ip_forward = 0\nnet.ipv4.ip_local_port_range = 1\t60999\n", f.Dump())
	f.Before = func(op, name string) error {
		require.Equal(t, "get kernel.hostname", op+" "+name)
		return lost
	}
	_, err := f.Get(context.Background(), "kernel.hostname")
	require.ErrorIs(t, err, lost)
}

// FuzzLoad reads back what was dumped.
func FuzzLoad(f *testing.F) {
	f.Add(host)
	f.Add("net/ipv4/conf/eth0.100/arp_ignore = 1\n# comment\nkernel.hostname = a b\n")
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
