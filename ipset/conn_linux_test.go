package ipset

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
)

// TestNoModule shows what a kernel without sets at all is called, by whichever
// operation finds out: nfnetlink answers EINVAL for a subsystem that it lacks, and a
// kernel without nfnetlink has no such socket.
func TestNoModule(t *testing.T) {
	missing := protocolError(syscall.EINVAL)
	change := Change{Op: FlushSet, Set: Set{Name: "s"}}
	for _, err := range []error{missing, readError("list", "s", missing), readError("test", "s 10.0.0.1", missing), rejected(change, missing)} {
		var op *vipkit.OpError
		require.ErrorAs(t, err, &op)
		require.Equal(t, errors.ErrUnsupported, op.Kind)
		require.NotErrorIs(t, err, fs.ErrInvalid)
		require.ErrorContains(t, err, "needs the module ip_set (CONFIG_IP_SET)")
	}
	require.Equal(t, "ipset flush s: unsupported operation: invalid argument (needs the module ip_set (CONFIG_IP_SET))", rejected(change, missing).Error())
	require.Equal(t, errors.ErrUnsupported, classify(0, "", syscall.EPROTONOSUPPORT))
}

func TestReadErrorKinds(t *testing.T) {
	for err, kind := range map[error]error{
		syscall.ENOENT:           fs.ErrNotExist,
		syscall.EPERM:            fs.ErrPermission,
		syscall.EBUSY:            vipkit.ErrInUse,
		vipkit.ErrReplyLost:      vipkit.ErrReplyLost,
		vipkit.ErrInterrupted:    vipkit.ErrInterrupted,
		context.DeadlineExceeded: context.DeadlineExceeded,
		errMalformed:             errMalformed,
	} {
		got := readError("list", "s", fmt.Errorf("read: %w", err))
		require.ErrorIs(t, got, kind)
		require.Equal(t, "s", got.Object)
	}
}
