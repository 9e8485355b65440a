//go:build linux

package ipvstest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/ipvs/ipvstest"
)

// openIn opens the kernel's IPVS of a new namespace.
func openIn(t testing.TB) (*ipvs.Conn, *testenv.NS) {
	t.Helper()
	ns := testenv.AddNetNS(t)
	var c *ipvs.Conn
	require.NoError(t, ns.Do(func() (err error) {
		c, err = ipvs.Open(nil)
		return err
	}))
	t.Cleanup(func() { _ = c.Close() })
	return c, ns
}

func TestKernelClient(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS)
	ipvstest.TestClient(t, func(t *testing.T) ipvs.Client {
		c, _ := openIn(t)
		return c
	})
}
