package ports_test

import (
	"io/fs"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ports"
)

// A plain user can hold ports too, so this needs no kernel of its own.
func TestConn(t *testing.T) {
	c, err := ports.Open(nil)
	require.NoError(t, err)
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer probe.Close()
	taken := at(vipkit.TCP, probe.Addr().String())
	_, err = c.Hold(t.Context(), taken)
	require.ErrorIs(t, err, vipkit.ErrInUse)
	require.ErrorContains(t, err, ": ports.test")
	_, err = c.Hold(t.Context(), at(vipkit.UDP, "192.0.2.77:30080"))
	require.ErrorIs(t, err, fs.ErrNotExist)

	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := free.Addr().String()
	require.NoError(t, free.Close())
	contract(t, c, address)

	held, err := c.Hold(t.Context(), at(vipkit.TCP, address))
	require.NoError(t, err)
	_, err = net.Listen("tcp", address)
	require.Error(t, err, "nobody else gets it")
	_, err = net.Dial("tcp", address)
	require.Error(t, err, "and nobody answers there")
	require.NoError(t, held.Close())
}
