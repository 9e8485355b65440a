//go:build linux

package proxier_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/internal/run"
	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/iptables"
	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/proxier"
)

// TestKernelScripts runs the scenarios on a real kernel: the fake host and the
// kernel are held to the same files.
func TestKernelScripts(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS, testenv.IPSet, testenv.IPTables, testenv.Dummy, testenv.Conntrack)
	for _, file := range scripts(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			node := testenv.AddNetNS(t)
			s := script{kernel: realKernel(t, node), load: func(tool, text string) error {
				return loadWithTools(node, tool, text)
			}}
			s.run(t, file, false)
		})
	}
}

// loadWithTools sets up what somebody else has, with the tools that they use.
func loadWithTools(ns *testenv.NS, tool, text string) error {
	command, ok := map[string][]string{
		"ipvsadm":   {"ipvsadm", "-R"},
		"ipset":     {"ipset", "restore"},
		"iptables":  {"iptables-restore", "--noflush"},
		"ip6tables": {"ip6tables-restore", "--noflush"},
		"ip":        {"sh", "-e"},
		"conntrack": {"sh", "-e"},
	}[tool]
	if !ok {
		return fmt.Errorf("no tool for %s", tool)
	}
	if tool == "conntrack" {
		text = conntrackCommands(text)
	}
	return ns.Do(func() error {
		c := exec.Command(command[0], command[1:]...)
		c.Stdin = strings.NewReader(text)
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", command, err, out)
		}
		return nil
	})
}

// conntrackCommands turns lines of conntrack -L into commands that make such
// flows.
func conntrackCommands(text string) string {
	line := regexp.MustCompile(`(?m)^(\w+) +\d+ src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+) src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+).*$`)
	return line.ReplaceAllStringFunc(text, func(l string) string {
		m := line.FindStringSubmatch(l)
		state := ""
		if m[1] == "tcp" {
			state = " --state ESTABLISHED"
		}
		return fmt.Sprintf("conntrack -I -p %s -s %s -d %s --sport %s --dport %s -r %s -q %s --reply-port-src %s --reply-port-dst %s -t 600 -u SEEN_REPLY%s",
			m[1], m[2], m[3], m[4], m[5], m[6], m[7], m[8], m[9], state)
	})
}

func TestKernelTwoPrefixes(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS, testenv.IPSet, testenv.IPTables, testenv.Dummy, testenv.Conntrack)
	node := testenv.NewNetNS(t)
	touchTables(t, node)
	twoPrefixes(t, realKernel(t, node))
}

// touchTables makes every table that we use exist, so that what is seen before
// and after differs in nothing else.
func touchTables(t *testing.T, ns *testenv.NS) {
	t.Helper()
	var touch strings.Builder
	for _, table := range []string{"mangle", "nat", "filter"} {
		touch.WriteString("*" + table + "\n")
		for _, chain := range iptables.BuiltinChains(table) {
			fmt.Fprintf(&touch, "-A %s -j ACCEPT\n-D %s -j ACCEPT\n", chain, chain)
		}
		touch.WriteString("COMMIT\n")
	}
	for _, tool := range []string{"iptables-restore", "ip6tables-restore"} {
		require.NoError(t, ns.Do(func() error {
			c := exec.Command(tool, "--noflush")
			c.Stdin = strings.NewReader(touch.String())
			out, err := c.CombinedOutput()
			if err != nil {
				return fmt.Errorf("%s: %w\n%s", tool, err, out)
			}
			return nil
		}))
	}
}

// hostState is what the operator's tools say of a host. Packet counters and the
// time of the dump are left out.
func hostState(t *testing.T, ns *testenv.NS) string {
	t.Helper()
	var b strings.Builder
	for _, command := range []string{"ipvsadm -Sn", "ipset save", "iptables-save", "ip6tables-save", "ip -o addr", "ip route show table all", "ip -6 route show table all"} {
		words := strings.Fields(command)
		fmt.Fprintf(&b, "# %s\n%s", command, ns.Run(t, words[0], words[1:]...))
	}
	volatile := regexp.MustCompile(`(?m) \[\d+:\d+\]$|^# (Generated|Completed|Warning).*\n`)
	return volatile.ReplaceAllString(b.String(), "")
}

// TestKernelThousandServices measures the first build, and shows that a second
// call does nothing and an endpoint costs what it must.
func TestKernelThousandServices(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS, testenv.IPSet, testenv.IPTables, testenv.Dummy, testenv.Conntrack)
	node := testenv.AddNetNS(t)
	rec := kerneltest.Record(realKernel(t, node))
	p, err := proxier.New(rec.Kernel(), nil)
	require.NoError(t, err)
	services := manyServices(1000, 5)

	// One service comes and goes first: then the kernel has loaded its modules.
	started := time.Now()
	for _, few := range [][]proxier.Service{services[:1], nil} {
		_, err := p.ApplyServices(t.Context(), few)
		require.NoError(t, err)
	}
	loading := time.Since(started)

	started = time.Now()
	report, err := p.ApplyServices(t.Context(), services)
	first := time.Since(started)
	require.NoError(t, err)
	require.Len(t, report.Programmed, 1000)

	rec.Reset()
	processes := run.Started()
	started = time.Now()
	_, err = p.ApplyServices(t.Context(), services)
	again := time.Since(started)
	require.NoError(t, err)
	require.Empty(t, rec.Writes(), "nothing changed: nothing is written")
	require.Zero(t, rec.Reads(), "nor read")
	require.Equal(t, processes, run.Started(), "nor a process started")

	services[500].Endpoints = services[500].Endpoints[1:]
	started = time.Now()
	_, err = p.ApplyServices(t.Context(), services)
	endpoint := time.Since(started)
	require.NoError(t, err)
	require.Len(t, rec.Writes(), 1, "one endpoint: one write")
	require.Equal(t, processes, run.Started())

	p, err = proxier.New(rec.Kernel(), nil)
	require.NoError(t, err)
	rec.Reset()
	started = time.Now()
	_, err = p.ApplyServices(t.Context(), services)
	restart := time.Since(started)
	require.NoError(t, err)
	require.Empty(t, rec.Writes(), "a restart finds everything in place")

	started = time.Now()
	_, err = p.ApplyServices(t.Context(), nil)
	removal := time.Since(started)
	require.NoError(t, err)
	figures := fmt.Sprintf("1,000 services × 5 endpoints: modules loaded in %v, first %v, nothing changed %v, one endpoint %v, restart %v, removal %v\n",
		loading.Round(time.Millisecond), first.Round(time.Millisecond), again.Round(time.Microsecond), endpoint.Round(time.Microsecond), restart.Round(time.Millisecond), removal.Round(time.Millisecond))
	t.Log(figures)
	require.NoError(t, os.WriteFile(filepath.Join(testenv.OutDir(t), "thousand.txt"), []byte(figures), 0o644))
}
