//go:build linux

package probe_test

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/probe"
	"github.com/vipkit/vipkit/probe/probetest"
)

func open(t *testing.T, ns *testenv.NS) probe.Client {
	t.Helper()
	c, err := probe.Open(&probe.Config{Namespace: ns.Path()})
	require.NoError(t, err)
	return c
}

func TestKernelClient(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS, testenv.IPSet, testenv.IPTables, testenv.Dummy)
	probetest.TestClient(t, func(t *testing.T) probe.Client { return open(t, testenv.AddNetNS(t)) })
}

// TestKernelChangesNothing asks after everything, and finds a namespace as it was.
func TestKernelChangesNothing(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS, testenv.IPSet, testenv.IPTables, testenv.Dummy)
	ns := testenv.AddNetNS(t)
	state := func() string {
		var b strings.Builder
		for _, command := range []string{"ipvsadm -Sn", "ipset save", "ip -d -o link", "ip -o addr", "nft list ruleset"} {
			words := strings.Fields(command)
			fmt.Fprintf(&b, "# %s\n%s", command, ns.Run(t, words[0], words[1:]...))
		}
		return b.String()
	}
	before := state()
	probetest.TestClient(t, func(t *testing.T) probe.Client { return open(t, ns) })
	require.Equal(t, before, state())
}

// TestKernelHidden asks after modules that were hidden from the kernel.
func TestKernelHidden(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS, testenv.IPSet, testenv.IPTables, testenv.Dummy)
	if !testenv.InVM() {
		t.Log("not in a machine of its own: nothing is hidden")
		return
	}
	ns := testenv.AddNetNS(t)
	c := open(t, ns)
	for _, f := range []probe.Facility{
		{Kind: probe.Scheduler, Name: "ovf"},
		{Kind: probe.SetType, Name: "hash:ip,port,ip", Family: vipkit.IPv6},
		{Kind: probe.Match, Name: "statistic", Family: vipkit.IPv4},
	} {
		require.NoError(t, c.Probe(t.Context(), f))
		module := f.Module()
		ns.Run(t, "rmmod", module)
		rule := "/etc/modprobe.d/" + module + ".conf"
		require.NoError(t, os.MkdirAll("/etc/modprobe.d", 0o755))
		require.NoError(t, os.WriteFile(rule, []byte("install "+module+" /bin/false\n"), 0o644))
		err := c.Probe(t.Context(), f)
		require.NoError(t, os.Remove(rule))
		require.Error(t, err, f)
		require.Equal(t, probe.Missing(f).Error(), err.Error())
		require.NoError(t, c.Probe(t.Context(), f), "it is there again")
	}
}

// TestKernelUnprivileged asks without the privilege.
func TestKernelUnprivileged(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS, testenv.IPSet, testenv.Dummy)
	ns := testenv.AddNetNS(t)
	c, err := probe.Open(nil)
	require.NoError(t, err)
	var errs []error
	require.NoError(t, ns.Do(func() error {
		// This thread alone, which ends with the function. Raw: the wrappers of
		// package syscall are about the whole process.
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, 65534, 65534, 65534); errno != 0 {
			return errno
		}
		for _, f := range []probe.Facility{
			{Kind: probe.Scheduler, Name: "rr"},
			{Kind: probe.SetType, Name: "hash:ip", Family: vipkit.IPv4},
			{Kind: probe.Match, Name: "set", Family: vipkit.IPv4},
			{Kind: probe.LinkKind, Name: "dummy"},
		} {
			errs = append(errs, c.Probe(t.Context(), f))
		}
		return nil
	}))
	for _, err := range errs {
		require.ErrorIs(t, err, fs.ErrPermission)
	}
}
