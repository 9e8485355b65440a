package ipvs

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// TestConnModuleMissing runs on any kernel: where IPVS cannot be had, every call
// says so by the same kind of error, each time it is asked, and none says nil (as
// moby/ipvs 27 did).
func TestConnModuleMissing(t *testing.T) {
	c, err := Open(nil)
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Info(t.Context())
	if err == nil {
		return // this kernel has it, and lets us: the kernel tests tell more
	}
	var op *vipkit.OpError
	require.ErrorAs(t, err, &op)
	require.Contains(t, []error{errors.ErrUnsupported, fs.ErrPermission}, op.Kind)
	for range 2 {
		for _, err := range c.Services(t.Context()) {
			require.ErrorIs(t, err, op.Kind)
		}
		changes := manyChanges(1)
		for _, err := range c.Destinations(t.Context(), changes[0].Service.Key) {
			require.ErrorIs(t, err, op.Kind)
		}
		errs := c.Apply(t.Context(), changes)
		require.Len(t, errs, len(changes))
		for _, err := range errs {
			require.ErrorIs(t, err, op.Kind)
		}
	}
}

func TestConnClosed(t *testing.T) {
	c, err := Open(nil)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	_, err = c.Info(t.Context())
	require.ErrorIs(t, err, net.ErrClosed)
	for _, err := range c.Services(t.Context()) {
		require.ErrorIs(t, err, net.ErrClosed)
	}
	require.ErrorIs(t, c.Apply(t.Context(), manyChanges(1))[0], net.ErrClosed)
}

func TestConnCancelled(t *testing.T) {
	c, err := Open(nil)
	require.NoError(t, err)
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range c.Apply(ctx, manyChanges(1)) {
		require.ErrorIs(t, err, context.Canceled)
	}
	messages, _ := c.Requests()
	require.Zero(t, messages)
}

func TestOpenInMissingNamespace(t *testing.T) {
	_, err := Open(&Config{Namespace: "/run/netns/vipkit-missing"})
	require.ErrorIs(t, err, fs.ErrNotExist)
}
