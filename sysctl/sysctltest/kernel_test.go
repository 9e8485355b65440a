//go:build linux

package sysctltest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/sysctl"
)

// TestKernelTranscript compares what the kernel answers with its transcript, and
// leaves a new one.
func TestKernelTranscript(t *testing.T) {
	testenv.RequireKernel(t)
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	require.NoError(t, err)
	version := strings.Split(string(release), ".")
	dir := "linux-" + version[0] + "." + version[1]
	ns := testenv.AddNetNS(t)
	ns.Sysctl(t, "net.ipv4.ip_forward", "0")
	ns.Sysctl(t, "net.ipv4.tcp_rmem", "4096 131072 6291456")
	c, err := sysctl.Open(&sysctl.Config{Namespace: ns.Path()})
	require.NoError(t, err)
	have, err := record(t.Context(), c)
	require.NoError(t, err)
	out := filepath.Join(testenv.OutDir(t), dir)
	require.NoError(t, os.MkdirAll(out, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(out, "answers.txt"), []byte(have), 0o600))
	want, err := os.ReadFile(filepath.Join("testdata", dir, "answers.txt"))
	if os.IsNotExist(err) && dir != "linux-6.1" && dir != "linux-6.12" {
		return // a kernel of which there is none
	}
	require.NoError(t, err)
	require.Equal(t, string(want), have)
}
