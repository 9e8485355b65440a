//go:build linux

package ipsettest_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"golang.org/x/tools/txtar"

	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/ipset/ipsettest"
)

// openIn opens the kernel's sets of a new namespace.
func openIn(t testing.TB) (*ipset.Conn, *testenv.NS) {
	t.Helper()
	ns := testenv.AddNetNS(t)
	c, err := ipset.Open(&ipset.Config{Namespace: ns.Path()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c, ns
}

// referred lets the contract have a set referred to, by a list in the kernel.
type referred struct {
	*ipset.Conn
	ns *testenv.NS
}

func (r referred) Refer(t *testing.T, set string) {
	r.ns.Run(t, "ipset", "create", "list", "list:set")
	r.ns.Run(t, "ipset", "add", "list", set)
}

func (r referred) Unrefer(t *testing.T) { r.ns.Run(t, "ipset", "destroy", "list") }

func TestKernelClient(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPSet, "ipset")
	ipsettest.TestClient(t, func(t *testing.T) ipset.Client {
		c, ns := openIn(t)
		return referred{c, ns}
	})
}

// TestKernelDifferential compares the fake with the kernel, step by step.
// VIPKIT_SEED repeats a run or explores, VIPKIT_STEPS makes it longer.
func TestKernelDifferential(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPSet)
	seed := testenv.Seed(t)
	c, _ := openIn(t)
	done, minimum, err := differential(t.Context(), c, seed, testenv.Steps(t, 12_000))
	if err != nil {
		c, _ := openIn(t)
		var lines []string
		for _, s := range minimum {
			lines = append(lines, s.String())
		}
		if a, recordErr := record(t.Context(), c, lines); recordErr == nil {
			t.Logf("for testdata/regress:\n%s", txtar.Format(a))
		}
		t.Fatalf("VIPKIT_SEED=%d: after\n%s\n%v", seed, strings.Join(lines, "\n"), err)
	}
	t.Logf("no difference (VIPKIT_SEED=%d)", seed)
	testenv.Count(t, "differential steps", done)
}

func release(t *testing.T) (whole, short string) {
	t.Helper()
	var u unix.Utsname
	require.NoError(t, unix.Uname(&u))
	whole = unix.ByteSliceToString(u.Release[:])
	numbers := strings.SplitN(whole, ".", 3)
	require.Len(t, numbers, 3)
	return whole, numbers[0] + "." + numbers[1]
}

// TestKernelTranscript records what this kernel answers, for testdata, and compares
// it with what the fake answers.
func TestKernelTranscript(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPSet)
	whole, short := release(t)
	dir := filepath.Join(testenv.OutDir(t), "linux-"+short)
	require.NoError(t, os.MkdirAll(dir, 0o700))
	steps := 0
	all := transcripts()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		c, _ := openIn(t)
		got, err := record(t.Context(), c, all[name])
		require.NoError(t, err)
		got.Comment = []byte("Linux " + whole + ", recorded by TestKernelTranscript.\n")
		file := filepath.Join(dir, name+".txtar")
		require.NoError(t, os.WriteFile(file, txtar.Format(got), 0o600))
		replay(t, file, new(ipsettest.Fake))
		steps += len(all[name])
	}
	testenv.Count(t, "transcript steps", steps)
}

// TestKernelRegress replays the shortest proofs of differences found once.
func TestKernelRegress(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPSet)
	files, err := filepath.Glob("testdata/regress/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		c, _ := openIn(t)
		replay(t, file, c)
	}
}
