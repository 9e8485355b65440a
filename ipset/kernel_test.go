package ipset_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/ipset/ipsettest"
)

// openKernel returns a Conn in a fresh namespace, which the test enters.
func openKernel(t testing.TB) (*ipset.Conn, *testenv.NS) {
	t.Helper()
	ns := testenv.NewNetNS(t)
	c, err := ipset.Open(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c, ns
}

func TestKernelContract(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPSet)
	ipsettest.TestClient(t, func(t *testing.T) ipset.Client {
		c, _ := openKernel(t)
		return c
	})
}
