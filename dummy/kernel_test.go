//go:build linux

package dummy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/dummy/dummytest"
	"github.com/vipkit/vipkit/internal/testenv"
)

// kernelConn returns a Conn in a network namespace of its own.
func kernelConn(t *testing.T) (*dummy.Conn, *testenv.NS) {
	t.Helper()
	ns := testenv.NewNetNS(t)
	c, err := dummy.Open(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c, ns
}

func TestKernelClient(t *testing.T) {
	testenv.RequireKernel(t, testenv.Dummy)
	dummytest.TestClient(t, func(t *testing.T) dummy.Client {
		c, _ := kernelConn(t)
		return c
	})
}
