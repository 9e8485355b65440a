//go:build linux

package dummytest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/internal/testenv"
)

// openIn opens the links of a new namespace.
func openIn(t testing.TB) *dummy.Conn {
	t.Helper()
	c, err := dummy.Open(&dummy.Config{Namespace: testenv.AddNetNS(t).Path()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// TestKernelDifferential compares the fake with the kernel.
func TestKernelDifferential(t *testing.T) {
	testenv.RequireKernel(t, testenv.Dummy)
	seed, steps := testenv.Seed(t), testenv.Steps(t, 10_400)
	minimum, err := differential(t.Context(), openIn(t), seed, steps)
	if err != nil {
		if a, recordErr := record(t.Context(), openIn(t), minimum); recordErr == nil {
			t.Logf("for testdata/regress:\n%s", txtar.Format(a))
		}
		t.Fatalf("VIPKIT_SEED=%d: after\n%v\n%v", seed, minimum, err)
	}
	testenv.Count(t, "differential steps", steps)
}

// TestKernelTranscripts compares what the kernel answers with its transcripts, and
// leaves new ones.
func TestKernelTranscripts(t *testing.T) {
	testenv.RequireKernel(t, testenv.Dummy)
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	require.NoError(t, err)
	version := strings.Split(string(release), ".")
	dir := "linux-" + version[0] + "." + version[1]
	out := filepath.Join(testenv.OutDir(t), dir)
	require.NoError(t, os.MkdirAll(out, 0o755))
	for name, ops := range recorded() {
		got, err := record(t.Context(), openIn(t), ops)
		require.NoError(t, err)
		text := txtar.Format(got)
		require.NoError(t, os.WriteFile(filepath.Join(out, name+".txtar"), text, 0o600))
		if want, err := os.ReadFile(filepath.Join("testdata", dir, name+".txtar")); err == nil {
			require.Equal(t, string(want), string(text), name)
		} else if _, err := os.Stat(filepath.Join("testdata", dir)); err == nil {
			t.Errorf("no transcript of %s on %s: copy it from the output directory", name, dir)
		}
	}
}
