package testenv

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The facilities that [RequireKernel] knows. Any other word names a program that
// has to be in PATH.
const (
	IPVS      = "ipvs"
	IPSet     = "ipset"
	IPTables  = "iptables"
	Dummy     = "dummy"
	Conntrack = "conntrack"
	Veth      = "veth"
	Bridge    = "bridge"
	SCTP      = "sctp"
)

// Required reports whether a missing kernel facility is a failure.
func Required() bool { return os.Getenv("KERNEL_TESTS") == "require" }

// InVM reports whether the test runs in a machine of its own, which it may
// change, rather than on somebody's host.
func InVM() bool { return os.Getenv("VIPKIT_VM") == "1" }

// OutDir returns the directory for files that a test leaves to be looked at
// (transcripts, measurements): $VIPKIT_OUT, which comes back from a virtual
// machine, or the test's temporary directory.
func OutDir(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("VIPKIT_OUT"); dir != "" {
		return dir
	}
	return t.TempDir()
}

// RequireKernel lets the test go on if this process is root and the kernel has
// every facility in needs, loading its modules where they are not loaded. If not,
// it skips the test with the reason, or fails it under KERNEL_TESTS=require.
func RequireKernel(t testing.TB, needs ...string) {
	t.Helper()
	name, _, _ := strings.Cut(t.Name(), "/")
	if !strings.Contains(name, "Kernel") {
		t.Fatalf("%s uses RequireKernel and needs Kernel in its name: make test-kernel finds kernel tests by it", name)
	}
	mode := os.Getenv("KERNEL_TESTS")
	switch mode {
	case "", "auto", "require":
	default:
		t.Fatalf("KERNEL_TESTS=%s: must be auto, require or unset", mode)
	}
	if mode == "" {
		t.Skip("a kernel test: run make test-kernel, or set KERNEL_TESTS=auto as root")
	}
	if err := probe(needs); err != nil {
		if mode == "require" {
			t.Fatalf("kernel test cannot run: %v", err)
		}
		t.Skipf("kernel test cannot run: %v", err)
	}
}

// probe says what this process lacks for the facilities in needs.
func probe(needs []string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("not root (user id %d)", os.Geteuid())
	}
	for _, need := range needs {
		if err := probeFacility(need); err != nil {
			return fmt.Errorf("no %s: %w", need, err)
		}
	}
	return nil
}
