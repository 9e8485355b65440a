//go:build linux

package sysctl_test

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/sysctl"
	"github.com/vipkit/vipkit/sysctl/sysctltest"
)

func TestKernelClient(t *testing.T) {
	testenv.RequireKernel(t)
	sysctltest.TestClient(t, func(t *testing.T) sysctl.Client {
		ns := testenv.NewNetNS(t)
		ns.Sysctl(t, "net.ipv4.ip_forward", "0")
		path := fmt.Sprintf("/proc/self/task/%d/ns/net", syscall.Gettid())
		c, err := sysctl.Open(&sysctl.Config{Namespace: path})
		require.NoError(t, err)
		return c
	})
}
