package iptables

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
)

// lockFile is where the legacy tools lock one another out.
func lockFile() string {
	if path := os.Getenv("XTABLES_LOCKFILE"); path != "" {
		return path
	}
	return "/run/xtables.lock"
}

// locks reports whether the tools of a family are known to take the lock.
func (c *Conn) locks(f vipkit.Family) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cfg.Backend == "legacy" || c.info[f].Backend == "legacy"
}

// locked is the error of a Restore that could not have the lock in time; holder
// may be empty.
func locked(holder string) error {
	detail := lockFile()
	if holder != "" {
		detail += ": " + holder
	}
	return &vipkit.OpError{Op: "iptables restore", Kind: context.DeadlineExceeded, Err: ErrLocked, Detail: detail}
}

// lockHolder describes the process that holds the lock now: "process 4711
// (iptables-restor)". It is empty if there is none or /proc does not show it.
func lockHolder() string {
	var st unix.Stat_t
	if unix.Stat(lockFile(), &st) != nil {
		return ""
	}
	file, err := os.Open("/proc/locks")
	if err != nil {
		return ""
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		// "1: FLOCK  ADVISORY  WRITE 4711 00:1a:1234 0 EOF"; a process that waits
		// has "->" in the second place. File systems that lie on others show
		// another device than stat does, so only the inode counts.
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[1] != "FLOCK" || !strings.HasSuffix(fields[5], fmt.Sprintf(":%d", st.Ino)) {
			continue
		}
		name, err := os.ReadFile("/proc/" + fields[4] + "/comm")
		if err != nil {
			return "process " + fields[4]
		}
		return fmt.Sprintf("process %s (%s)", fields[4], strings.TrimSpace(string(name)))
	}
	return ""
}
