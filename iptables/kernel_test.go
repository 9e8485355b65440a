//go:build linux

package iptables_test

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/iptables"
	"github.com/vipkit/vipkit/iptables/iptablestest"
)

var backends = []string{"nft", "legacy"}

// kernelConn returns a Conn of one back end in a network namespace of its own,
// which has an IP set.
func kernelConn(t *testing.T, backend string, f vipkit.Family, set string) (*iptables.Conn, *testenv.NS) {
	t.Helper()
	t.Setenv("XTABLES_LOCKFILE", filepath.Join(t.TempDir(), "lock"))
	ns := testenv.NewNetNS(t)
	family := "inet"
	if f == vipkit.IPv6 {
		family = "inet6"
	}
	if set != "" {
		ns.Run(t, "ipset", "create", set, "hash:ip", "family", family, "skbinfo")
	}
	// The test's goroutine keeps its thread in the namespace.
	path := fmt.Sprintf("/proc/self/task/%d/ns/net", syscall.Gettid())
	conn, err := iptables.Open(&iptables.Config{Namespace: path, Backend: backend})
	require.NoError(t, err)
	return conn, ns
}

func TestKernelClient(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPTables, testenv.IPSet, "ipset")
	for _, backend := range backends {
		t.Run(backend, func(t *testing.T) {
			iptablestest.TestClient(t, func(t *testing.T, f vipkit.Family, set string) iptables.Client {
				conn, _ := kernelConn(t, backend, f, set)
				return conn
			})
		})
	}
}
