package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// waitDelay is how long the output of a program that has ended may be held open:
// far longer than a busy machine takes to read it, because the program and what
// it started are dead by then.
const waitDelay = 30 * time.Second

// packages names the Debian package of each program that vipkit starts.
var packages = map[string]string{
	"iptables":          "iptables",
	"iptables-save":     "iptables",
	"iptables-restore":  "iptables",
	"ip6tables":         "iptables",
	"ip6tables-save":    "iptables",
	"ip6tables-restore": "iptables",
	"ipset":             "ipset",
	"ipvsadm":           "ipvsadm",
	"conntrack":         "conntrack",
	"ip":                "iproute2",
	"nft":               "nftables",
	"modprobe":          "kmod",
}

// Exec is the Runner that starts processes. Its zero value starts them in the
// network namespace of the calling thread. It is safe for concurrent use.
type Exec struct {
	// Namespace is the path of a network namespace ("/run/netns/blue") in which
	// programs run.
	Namespace string
}

var _ Runner = Exec{}

// Run implements [Runner].
func (e Exec) Run(ctx context.Context, stdin []byte, name string, args ...string) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	path, err := Find(name)
	if err != nil {
		return Result{}, err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	cmd.WaitDelay = waitDelay
	killGroup(cmd)
	if err := startIn(e.Namespace, cmd); err != nil {
		return Result{}, fmt.Errorf("start %s: %w", name, err)
	}
	started.Add(1)
	err = cmd.Wait()
	result := Result{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), Code: cmd.ProcessState.ExitCode()}
	if ctxErr := ctx.Err(); ctxErr != nil && (err != nil || result.Code != 0) {
		return result, ctxErr
	}
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || result.Code < 0) {
		return result, fmt.Errorf("%s: %w", name, err)
	}
	return result, nil
}

// Find returns the path of a program. It fails with errors.ErrUnsupported,
// naming the package to install, where there is none. Where PATH leaves out
// the directories of the system's own programs (as a plain user's does), they
// are searched too.
func Find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	if !errors.Is(err, exec.ErrNotFound) && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if filepath.Base(name) == name {
		for _, dir := range []string{"/usr/sbin", "/sbin"} {
			if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return path, nil
			}
		}
	}
	hint := "not found in PATH"
	if p := packages[filepath.Base(name)]; p != "" {
		hint += ": install the package " + p
	}
	return "", fmt.Errorf("program %s %s: %w", name, hint, errors.ErrUnsupported)
}

// Count adds processes that a library started on vipkit's behalf, so that
// [Started] tells the truth.
func Count(n int64) { started.Add(n) }
