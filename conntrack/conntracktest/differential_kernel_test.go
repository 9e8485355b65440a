//go:build linux

package conntracktest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/internal/testenv"
)

// smallTable makes dumps of a table with few flows cheap, on a machine that is there
// for the tests: the kernel walks all buckets, of all namespaces.
func smallTable(t *testing.T) {
	t.Helper()
	const buckets = "/proc/sys/net/netfilter/nf_conntrack_buckets"
	if !testenv.InVM() {
		return
	}
	before, err := os.ReadFile(buckets)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(buckets, []byte("1024"), 0o600))
	t.Cleanup(func() { require.NoError(t, os.WriteFile(buckets, before, 0o600)) })
}

// TestKernelDifferential compares the fake with the kernel.
func TestKernelDifferential(t *testing.T) {
	testenv.RequireKernel(t, testenv.Conntrack)
	smallTable(t)
	seed, steps := testenv.Seed(t), testenv.Steps(t, 10_000)
	o, _ := openKernel(t, nil)
	minimum, err := differential(t.Context(), o, seed, steps)
	if err != nil {
		require.NoError(t, clearAll(t.Context(), o.Client))
		t.Logf("for testdata/regress:\n%s", transcript("", record(t.Context(), o, minimum)))
		t.Fatalf("VIPKIT_SEED=%d: after\n%q\n%v", seed, minimum, err)
	}
	testenv.Count(t, "differential steps", steps)
}

// TestKernelTranscripts replays the transcripts on this kernel, and records new
// ones.
func TestKernelTranscripts(t *testing.T) {
	testenv.RequireKernel(t, testenv.Conntrack)
	smallTable(t)
	files, err := filepath.Glob("testdata/*/*.txtar")
	require.NoError(t, err)
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			o, _ := openKernel(t, nil)
			replay(t, file, o)
		})
	}
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	require.NoError(t, err)
	dir := filepath.Join(testenv.OutDir(t), "conntrack-transcripts")
	require.NoError(t, os.MkdirAll(dir, 0o750))
	for name, steps := range transcripts() {
		o, _ := openKernel(t, nil)
		text := record(t.Context(), o, steps)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".txtar"), transcript(fmt.Sprintf("Linux %s", release[:len(release)-1]), text), 0o600))
		require.Equal(t, text, record(t.Context(), newFake(), steps))
	}
}
