package testenv

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func TestLeaks(t *testing.T) {
	before := takeInventory()
	require.Empty(t, before.wait(time.Second))

	stop := make(chan struct{})
	go func() { <-stop }()
	file, err := os.Open(os.DevNull)
	require.NoError(t, err)
	child := exec.Command("sh", "-c", "read word")
	stdin, err := child.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	leaks := before.wait(20 * time.Millisecond)
	close(stop)
	require.NoError(t, file.Close())
	require.NoError(t, stdin.Close())
	require.Error(t, child.Wait()) // read found no word

	if _, err := os.Stat("/proc/self/fd"); err == nil {
		all := strings.Join(leaks, "\n")
		require.Contains(t, all, os.DevNull)
		require.Contains(t, all, "process "+strconv.Itoa(child.Process.Pid)+" (sh)")
	}
	require.Contains(t, leaks[0], "TestLeaks")
	require.Empty(t, before.wait(leakPatience))
}

func TestProbe(t *testing.T) {
	err := probe([]string{"no-such-program-anywhere"})
	if os.Geteuid() != 0 {
		require.ErrorContains(t, err, "not root")
	} else {
		require.ErrorContains(t, err, "no no-such-program-anywhere")
	}
}

// A t.Fatal inside Do ends its goroutine: Do has to come back with an error.
func TestDoEndsWithItsGoroutine(t *testing.T) {
	require.Error(t, onThread(func() error { runtime.Goexit(); return nil }))
}
