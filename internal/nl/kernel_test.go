//go:build linux

package nl

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit/internal/testenv"
)

// TestKernelNamespace opens a socket in another namespace, and stays where it is.
func TestKernelNamespace(t *testing.T) {
	testenv.RequireKernel(t)
	ns := testenv.AddNetNS(t)
	path := filepath.Join(t.TempDir(), "ns")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, ns.Do(func() error {
		return unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
	}))
	t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
	before, err := os.Readlink("/proc/thread-self/ns/net")
	require.NoError(t, err)

	c := open(t, Config{Protocol: unix.NETLINK_ROUTE, Namespace: path})
	var b Batch
	for i := range 2000 { // local routes on lo, which only the new namespace gets
		b.Begin(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
		b.Raw(unix.AF_INET, 32, 0, 0, unix.RT_TABLE_LOCAL, unix.RTPROT_STATIC, unix.RT_SCOPE_HOST, unix.RTN_LOCAL, 0, 0, 0, 0)
		b.Bytes(unix.RTA_DST, []byte{10, 9, byte(i >> 8), byte(i)})
		b.U32(unix.RTA_OIF, 1)
		b.End()
	}
	require.NoError(t, c.Exec(t.Context(), &b, func(f Failure) { t.Error(f) }))
	failed := 0
	require.NoError(t, c.Exec(t.Context(), &b, func(f Failure) {
		require.Equal(t, unix.EEXIST, f.Errno)
		failed++
	}))
	require.Equal(t, b.Len(), failed)

	after, err := os.Readlink("/proc/thread-self/ns/net")
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.Contains(t, ns.Run(t, "ip", "route", "show", "table", "local"), "local 10.9.7.207")

	b.Reset()
	b.Begin(unix.RTM_GETROUTE, unix.NLM_F_DUMP)
	b.Raw(unix.AF_INET, 0, 0, 0, unix.RT_TABLE_LOCAL, 0, 0, 0, 0, 0, 0, 0)
	b.U32(unix.RTA_TABLE, unix.RT_TABLE_LOCAL)
	b.End()
	seen := make(map[string]bool)
	for m, err := range c.Query(t.Context(), &b) {
		require.NoError(t, err)
		for a := range Attrs(m.Data[unix.SizeofRtMsg:]) {
			if a.Type == unix.RTA_DST {
				addr, ok := a.Addr()
				require.True(t, ok)
				seen[addr.String()] = true
			}
		}
	}
	for i := range 2000 {
		require.True(t, seen[fmt.Sprintf("10.9.%d.%d", i>>8, i&255)], i)
	}
}
