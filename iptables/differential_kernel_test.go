//go:build linux

package iptables_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/iptables"
)

// TestKernelDifferential drives the tools of each back end and the fake with the
// same random edits, many to a restore. VIPKIT_SEED and VIPKIT_STEPS choose others.
func TestKernelDifferential(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPTables, testenv.IPSet, "ipset")
	// By back end and family: ten thousand with those of the other machine.
	steps, seed := testenv.Steps(t, 2_600), testenv.Seed(t)
	for _, backend := range backends {
		for f, name := range families {
			t.Run(backend+" "+name, func(t *testing.T) {
				// A namespace ends with its subtest, so that shrinking has a new one each time.
				within := func(do func(iptables.Client)) {
					t.Run("run", func(t *testing.T) {
						conn, ns := kernelConn(t, backend, f, "")
						makeSets(t, ns, f)
						do(conn)
					})
				}
				var d differential
				within(func(c iptables.Client) { d = differ(c, backend, f, rand.New(rand.NewPCG(seed, uint64(f))), steps) })
				t.Logf("%d edits, %d of them refused, in %d restores: %s (seed %d)", d.edits, d.refused, len(d.history), d.verdict(), seed)
				testenv.Count(t, "differential steps", d.edits)
				if d.how == "" {
					return
				}
				fails := func(restores [][]iptables.Edit) (how string) {
					within(func(c iptables.Client) { how = disagreement(c, newFake(backend), f, restores) })
					return how
				}
				require.NotEmpty(t, fails(d.history), "it does not come again: %s", d.how)
				enough := time.Now().Add(time.Minute)
				minimum := shrink(d.history, func(fewer [][]iptables.Edit) bool { return time.Now().Before(enough) && fails(fewer) != "" })
				within(func(c iptables.Client) {
					if a, err := record(t.Context(), c, f, minimum); err == nil {
						file := filepath.Join(testenv.OutDir(t), fmt.Sprintf("regress-%s-%s.txtar", backend, name))
						_ = os.WriteFile(file, txtar.Format(a), 0o600)
						t.Logf("for testdata/regress-%s/%s-…:\n%s", backend, name, txtar.Format(a))
					}
				})
				t.Fatalf("VIPKIT_SEED=%d: %s", seed, fails(minimum))
			})
		}
	}
}

// makeSets makes the sets of theSets.
func makeSets(t *testing.T, ns *testenv.NS, f vipkit.Family) {
	t.Helper()
	family := "inet"
	if f == vipkit.IPv6 {
		family = "inet6"
	}
	ns.Run(t, "ipset", "create", "S", "hash:ip,port,ip", "family", family, "skbinfo")
	ns.Run(t, "ipset", "create", "A", "hash:ip", "family", family, "timeout", "60")
	ns.Run(t, "ipset", "create", "P", "bitmap:port", "range", "1-100", "skbinfo")
}

// TestKernelTranscript replays on the kernel what is recorded of it, and leaves new
// records in the output directory: what the fake is held to without a kernel.
func TestKernelTranscript(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPTables, testenv.IPSet, "ipset")
	for _, backend := range backends {
		for f, name := range families {
			for what, restores := range transcripts(t, f) {
				t.Run(backend+" "+name+" "+what, func(t *testing.T) {
					release := release(t)
					file := fmt.Sprintf("linux-%s-%s/%s-%s.txtar", series(release), backend, name, what)
					recorded, err := os.ReadFile(filepath.Join("testdata", file))
					if err == nil {
						restores = restoresOf(t, txtar.Parse(recorded))
					}
					conn, ns := kernelConn(t, backend, f, "")
					makeSets(t, ns, f)
					a, err := record(t.Context(), conn, f, restores)
					require.NoError(t, err)
					a.Comment = []byte(fmt.Sprintf("Linux %s, iptables 1.8.9, %s: recorded by TestKernelTranscript.\n", release, backend))
					out := filepath.Join(testenv.OutDir(t), file)
					require.NoError(t, os.MkdirAll(filepath.Dir(out), 0o755))
					require.NoError(t, os.WriteFile(out, txtar.Format(a), 0o600))
					want := txtar.Parse(recorded)
					if recorded == nil { // of a kernel of which none is kept: the fake must do
						want, err = record(t.Context(), newFake(backend), f, restores)
						require.NoError(t, err)
					}
					want.Comment, a.Comment = nil, nil
					if recorded != nil || !differs(filepath.Base(filepath.Dir(file)), what) {
						require.Equal(t, string(txtar.Format(want)), string(txtar.Format(a)))
					}
				})
			}
		}
	}
}
