package sysctltest

import (
	"context"
	"io/fs"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/sysctl"
)

// TestClient is the contract of [sysctl.Client]. open returns a Client of a host
// where the link lo exists, net.ipv4.ip_forward is 0 and
// net.ipv4.ip_local_port_range has two numbers; it may be written to.
func TestClient(t *testing.T, open func(t *testing.T) sysctl.Client) {
	ctx := context.Background()
	t.Run("get and set", func(t *testing.T) {
		c := open(t)
		for _, value := range []string{"1", "0", " 1 ", "0x1"} {
			require.NoError(t, c.Set(ctx, "net.ipv4.ip_forward", value))
			have, err := c.Get(ctx, "net.ipv4.ip_forward")
			require.NoError(t, err)
			want := "1"
			if value == "0" {
				want = "0"
			}
			require.Equal(t, want, have)
		}
		have, err := c.Get(ctx, "net/ipv4/ip_forward")
		require.NoError(t, err)
		require.Equal(t, "1", have)
		require.NoError(t, c.Set(ctx, "net.ipv4.ip_local_port_range", "2000 3000"))
		have, err = c.Get(ctx, "net.ipv4.ip_local_port_range")
		require.NoError(t, err)
		require.Equal(t, "2000\t3000", have)
	})
	t.Run("missing", func(t *testing.T) {
		c := open(t)
		for _, name := range []string{"net.ipv4.no_such_parameter", "no.such", "net.ipv4", "net.ipv4.ip_forward.deeper"} {
			_, err := c.Get(ctx, name)
			require.ErrorIs(t, err, fs.ErrNotExist, name)
			require.ErrorContains(t, err, "sysctl get "+name)
			require.ErrorIs(t, c.Set(ctx, name, "1"), fs.ErrNotExist, name)
		}
	})
	t.Run("invalid", func(t *testing.T) {
		c := open(t)
		for _, name := range []string{
			"", ".", "net..ipv4", "net/../kernel/hostname", "../etc/passwd", "/proc/sys/net", "net/./ipv4", "net.ipv4.ip_forward\x00", "a b",
		} {
			_, err := c.Get(ctx, name)
			require.ErrorIs(t, err, fs.ErrInvalid, "%q", name)
			require.ErrorIs(t, c.Set(ctx, name, "1"), fs.ErrInvalid, "%q", name)
		}
		for _, value := range []string{"", " ", "yes", "1\n2", "99999999999", "1\x00"} {
			require.ErrorIs(t, c.Set(ctx, "net.ipv4.ip_forward", value), fs.ErrInvalid, "%q", value)
			have, err := c.Get(ctx, "net.ipv4.ip_forward")
			require.NoError(t, err)
			require.Equal(t, "0", have, "%q", value)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		c := open(t)
		done, cancel := context.WithCancel(ctx)
		cancel()
		_, err := c.Get(done, "net.ipv4.ip_forward")
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, c.Set(done, "net.ipv4.ip_forward", "1"), context.Canceled)
		have, err := c.Get(ctx, "net.ipv4.ip_forward")
		require.NoError(t, err)
		require.Equal(t, "0", have)
	})
	t.Run("concurrent", func(t *testing.T) {
		c := open(t)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := c.Set(ctx, "net.ipv4.ip_forward", "1"); err != nil {
					t.Error(err)
				}
				if value, err := c.Get(ctx, "net.ipv4.ip_forward"); err != nil || value != "1" {
					t.Errorf("get: %q, %v", value, err)
				}
			})
		}
		wg.Wait()
	})
}
