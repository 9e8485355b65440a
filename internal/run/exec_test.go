package run

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestExec(t *testing.T) {
	ctx := context.Background()
	t.Run("output, status and input", func(t *testing.T) {
		before := Started()
		r, err := Exec{}.Run(ctx, []byte("in"), "sh", "-c", "cat; echo err >&2; echo $LC_ALL; exit 3")
		require.NoError(t, err)
		require.Equal(t, Result{Stdout: []byte("inC\n"), Stderr: []byte("err\n"), Code: 3}, r)
		require.Equal(t, before+1, Started())
	})
	t.Run("missing program", func(t *testing.T) {
		before := Started()
		_, err := Exec{}.Run(ctx, nil, "/no/such/dir/ip6tables-restore")
		require.ErrorIs(t, err, errors.ErrUnsupported)
		require.ErrorContains(t, err, "install the package iptables")
		require.Equal(t, before, Started())
	})
	t.Run("cancelled before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		before := Started()
		_, err := Exec{}.Run(ctx, nil, "sh", "-c", "exit 0")
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, before, Started())
	})
	t.Run("killed at the deadline, children and all", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		r, err := Exec{}.Run(ctx, nil, "sh", "-c", "sleep 30 & echo $!; wait")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Less(t, time.Since(start), 10*time.Second)
		if runtime.GOOS == "linux" {
			require.Eventually(t, func() bool { return ended(string(bytes.TrimSpace(r.Stdout))) }, 10*time.Second, 10*time.Millisecond)
		}
	})
	t.Run("done in time although cancelled later", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		_, err := Exec{}.Run(ctx, nil, "sh", "-c", "exit 0")
		cancel()
		require.NoError(t, err)
	})
	t.Run("died of a signal", func(t *testing.T) {
		_, err := Exec{}.Run(ctx, nil, "sh", "-c", "kill -9 $$")
		require.ErrorContains(t, err, "killed")
	})
	t.Run("missing namespace", func(t *testing.T) {
		_, err := Exec{Namespace: "/no/such/netns"}.Run(ctx, nil, "sh", "-c", "exit 0")
		require.Error(t, err)
	})
}

// ended tells whether a process is gone, but for its status that nobody asks for.
func ended(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}
