//go:build linux

package iptables_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/run"
	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/iptables"
	"github.com/vipkit/vipkit/iptables/iptablestest"
)

var backends = func() []string {
	if b := os.Getenv("XTABLES_BACKEND"); b != "" && testenv.InVM() {
		return []string{b} // the other one has a machine of its own
	}
	return []string{"nft", "legacy"}
}()

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

// TestKernelObject pins which edit an error names, for each back end. Both keep
// the tool's words.
func TestKernelObject(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPTables, testenv.IPSet, "ipset")
	newChain := iptables.Edit{Table: "nat", Verb: iptables.NewChain, Chain: "A"}
	rule := func(r iptables.Rule) iptables.Edit {
		return iptables.Edit{Table: "nat", Verb: iptables.Append, Chain: "A", Rule: r}
	}
	jump := iptables.Edit{Table: "nat", Verb: iptables.Insert, Chain: "PREROUTING", Pos: 1, Rule: "-j A"}
	for _, c := range []struct {
		edits       []iptables.Edit
		nft, legacy string
	}{
		{[]iptables.Edit{newChain, rule("-j RETURN"), rule("-j NONE"), jump}, "nat -A A -j NONE", "nat -A A -j NONE"},
		{[]iptables.Edit{newChain, rule("-m set --match-set NONE dst -j RETURN"), jump},
			"nat -A A -m set --match-set NONE dst -j RETURN", "nat -A A -m set --match-set NONE dst -j RETURN"},
		{[]iptables.Edit{newChain, rule("-j REJECT")}, "nat -A A -j REJECT", "nat -A A -j REJECT"},
		{[]iptables.Edit{newChain, rule("-j MASQUERADE"), jump, rule("-j RETURN")},
			"nat -I PREROUTING 1 -j A", "nat :A - [0:0]; -A A -j MASQUERADE; -I PREROUTING 1 -j A; and 1 more"},
	} {
		for _, backend := range backends {
			t.Run(backend, func(t *testing.T) {
				conn, _ := kernelConn(t, backend, vipkit.IPv4, "")
				err := conn.Restore(context.Background(), vipkit.IPv4, c.edits)
				var op *vipkit.OpError
				require.ErrorAs(t, err, &op)
				require.ErrorIs(t, err, fs.ErrInvalid)
				want := map[string]string{"nft": c.nft, "legacy": c.legacy}[backend]
				require.Equal(t, want, op.Object, "%v", err)
				require.NotEmpty(t, op.Detail)
			})
		}
	}
}

// TestKernelLock has somebody else hold the lock of the legacy back end.
func TestKernelLock(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPTables)
	conn, _ := kernelConn(t, "legacy", vipkit.IPv4, "")
	lock, err := os.OpenFile(os.Getenv("XTABLES_LOCKFILE"), os.O_CREATE|os.O_RDWR, 0o600)
	require.NoError(t, err)
	defer lock.Close()
	require.NoError(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))

	edits := []iptables.Edit{{Table: "nat", Verb: iptables.NewChain, Chain: "A"}}
	for _, patience := range []time.Duration{300 * time.Millisecond, 1500 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		start := time.Now()
		require.ErrorIs(t, conn.Restore(ctx, vipkit.IPv4, edits), context.DeadlineExceeded)
		require.Less(t, time.Since(start), patience+5*time.Second)
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(200*time.Millisecond, cancel)
	require.ErrorIs(t, conn.Restore(ctx, vipkit.IPv4, edits), context.Canceled)
	tables, err := conn.Save(context.Background(), vipkit.IPv4)
	require.NoError(t, err)
	require.Empty(t, tables)

	unlocked := make(chan error)
	time.AfterFunc(200*time.Millisecond, func() { unlocked <- syscall.Flock(int(lock.Fd()), syscall.LOCK_UN) })
	restored := conn.Restore(context.Background(), vipkit.IPv4, edits)
	require.NoError(t, <-unlocked)
	require.NoError(t, restored)
}

// TestKernelPermission asks without the privilege: a read that may not be made
// is an error, never an empty table.
func TestKernelPermission(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPTables)
	for _, backend := range backends {
		t.Run(backend, func(t *testing.T) {
			conn, _ := kernelConn(t, backend, vipkit.IPv4, "")
			edits := []iptables.Edit{{Table: "nat", Verb: iptables.NewChain, Chain: "A"}}
			require.NoError(t, conn.Restore(context.Background(), vipkit.IPv4, edits))
			exe, err := os.Executable()
			require.NoError(t, err)
			dir, err := os.MkdirTemp("/tmp", "vipkit") // t.TempDir is root's
			require.NoError(t, err)
			defer os.RemoveAll(dir)
			require.NoError(t, os.Chmod(dir, 0o777))
			copied := filepath.Join(dir, "iptables.test")
			data, err := os.ReadFile(exe)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(copied, data, 0o755))

			cmd := exec.Command(copied)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), unprivilegedEnv+"="+backend, "XTABLES_LOCKFILE="+filepath.Join(dir, "lock"))
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Equal(t, "permission denied everywhere\n", string(out))
		})
	}
}

// unprivilegedEnv makes the test binary the child of TestKernelPermission; its
// value is the back end.
const unprivilegedEnv = "VIPKIT_IPTABLES_UNPRIVILEGED"

// lockEnv makes the test binary a process that holds the lock at a path until it is
// killed.
const lockEnv = "VIPKIT_IPTABLES_LOCK"

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(unprivilegedEnv) != "":
		fmt.Println(unprivileged(os.Getenv(unprivilegedEnv)))
	case os.Getenv(lockEnv) != "":
		if err := holdLock(os.Getenv(lockEnv)); err != nil {
			fmt.Println(err)
		}
	default:
		code := testenv.Main(m)
		// Processes are children of the thread that started them.
		children, _ := filepath.Glob("/proc/self/task/*/children")
		for _, file := range children {
			if left, err := os.ReadFile(file); err == nil && len(left) > 0 && code == 0 {
				fmt.Fprintf(os.Stderr, "left behind by the tests: processes %s\n", left)
				code = 1
			}
		}
		os.Exit(code)
	}
}

// holdLock takes a lock, says so and keeps it.
func holdLock(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	fmt.Println("locked")
	<-time.After(time.Minute)
	return file.Close()
}

// unprivileged does what must be refused, and says how it went.
func unprivileged(backend string) string {
	conn, err := iptables.Open(&iptables.Config{Backend: backend})
	if err != nil {
		return err.Error()
	}
	ctx := context.Background()
	if _, err := conn.Info(ctx, vipkit.IPv4); err != nil {
		return err.Error()
	}
	for _, tables := range [][]string{nil, {"nat"}, {"nat", "filter"}} {
		if _, err := conn.Save(ctx, vipkit.IPv4, tables...); !errors.Is(err, fs.ErrPermission) {
			return fmt.Sprintf("save %v: %v", tables, err)
		}
	}
	err = conn.Restore(ctx, vipkit.IPv4, []iptables.Edit{{Table: "nat", Verb: iptables.NewChain, Chain: "B"}})
	if !errors.Is(err, fs.ErrPermission) {
		return fmt.Sprintf("restore: %v", err)
	}
	return "permission denied everywhere"
}

// TestKernelForeignRules has tables that people make: every rule that iptables-save
// prints is read, normalised to itself, and deleted by what was read.
func TestKernelForeignRules(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPTables, testenv.IPSet, "ipset")
	for _, backend := range backends {
		t.Run(backend, func(t *testing.T) {
			conn, ns := kernelConn(t, backend, vipkit.IPv4, "S")
			for _, rule := range [][]string{
				{"-p", "tcp", "-m", "multiport", "--dports", "1,2,3:4", "-j", "DROP"},
				{"-m", "statistic", "--mode", "random", "--probability", "0.5", "-j", "RETURN"},
				{"-m", "limit", "--limit", "5/min", "-j", "LOG", "--log-prefix", "a b: "},
				{"-m", "comment", "--comment", `"quoted" it's \`, "-m", "mark", "!", "--mark", "1/3"},
				{"-p", "tcp", "--syn", "-j", "REJECT", "--reject-with", "tcp-reset"},
				{"-m", "conntrack", "--ctstate", "DNAT,NEW", "--ctorigdstport", "80", "-j", "ACCEPT"},
				{"-m", "set", "--match-set", "S", "src", "!", "--update-counters", "-j", "DROP"},
			} {
				ns.Run(t, "iptables-"+backend, append([]string{"-w", "-A", "INPUT"}, rule...)...)
			}
			printed, err := iptables.Parse(ns.Run(t, "iptables-"+backend+"-save", "-t", "filter"))
			require.NoError(t, err)
			tables, err := conn.Save(context.Background(), vipkit.IPv4, "filter")
			require.NoError(t, err)
			require.Equal(t, printed, tables)
			var edits []iptables.Edit
			for _, r := range tables[0].Chains[0].Rules {
				edits = append(edits, iptables.Edit{Table: "filter", Verb: iptables.Delete, Chain: "INPUT", Rule: r})
			}
			require.Len(t, edits, 7)
			require.NoError(t, conn.Restore(context.Background(), vipkit.IPv4, edits))
		})
	}
}

// TestKernelProcesses pins how many processes each call starts.
func TestKernelProcesses(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPTables)
	for _, backend := range backends {
		t.Run(backend, func(t *testing.T) {
			conn, _ := kernelConn(t, backend, vipkit.IPv4, "")
			ctx := context.Background()
			started := func(f func()) int64 {
				before := run.Started()
				f()
				return run.Started() - before
			}
			require.EqualValues(t, 2, started(func() { _, _ = conn.Info(ctx, vipkit.IPv4) }))
			require.EqualValues(t, 0, started(func() { _, _ = conn.Info(ctx, vipkit.IPv4) }))
			require.EqualValues(t, 1, started(func() { _, _ = conn.Save(ctx, vipkit.IPv4, "nat") }))
			require.EqualValues(t, 1, started(func() { _, _ = conn.Save(ctx, vipkit.IPv4) }))
			require.EqualValues(t, 0, started(func() { _ = conn.Restore(ctx, vipkit.IPv4, nil) }))
			require.EqualValues(t, 1, started(func() {
				_ = conn.Restore(ctx, vipkit.IPv4, []iptables.Edit{{Table: "nat", Verb: iptables.NewChain, Chain: "A"}})
			}))
		})
	}
}
