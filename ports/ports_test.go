package ports_test

import (
	"io/fs"
	"net/netip"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/ports"
	"github.com/vipkit/vipkit/ports/portstest"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

func at(protocol vipkit.Protocol, text string) ports.Key {
	a := netip.MustParseAddrPort(text)
	return ports.Key{Protocol: protocol, Addr: a.Addr(), Port: a.Port()}
}

// contract is what the fake and the kernel both keep. The address is one of the
// host, and the ports are free.
func contract(t *testing.T, c ports.Client, address string) {
	for _, protocol := range []vipkit.Protocol{vipkit.TCP, vipkit.UDP} {
		k := at(protocol, address)
		held, err := c.Hold(t.Context(), k)
		require.NoError(t, err)
		_, err = c.Hold(t.Context(), k)
		require.ErrorIs(t, err, vipkit.ErrInUse)
		require.ErrorContains(t, err, k.String())
		require.NoError(t, held.Close())
		require.NoError(t, held.Close(), "twice")
		held, err = c.Hold(t.Context(), k)
		require.NoError(t, err, "free again")
		require.NoError(t, held.Close())
	}
	for _, k := range []ports.Key{{}, at(vipkit.TCP, "0.0.0.0:80"), at(1, "127.0.0.1:80"), at(vipkit.TCP, "127.0.0.1:0")} {
		_, err := c.Hold(t.Context(), k)
		require.ErrorIs(t, err, fs.ErrInvalid)
	}
}

func TestFake(t *testing.T) {
	var fake portstest.Fake
	contract(t, &fake, "192.0.2.1:30080")
	k := at(vipkit.TCP, "192.0.2.1:30080")
	fake.Take(k, "process 7: nginx")
	_, err := fake.Hold(t.Context(), k)
	require.ErrorContains(t, err, "nginx")
	fake.Take(k, "")
	held, err := fake.Hold(t.Context(), k)
	require.NoError(t, err)
	require.Equal(t, map[ports.Key]bool{k: true}, fake.Held())
	require.NoError(t, held.Close())
	require.Empty(t, fake.Held())
}
