//go:build linux

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"golang.org/x/tools/txtar"

	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/iptables"
)

// asProgram is the variable that makes the test binary the program.
const asProgram = "QUICKSTART_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(testenv.Main(m))
}

// TestProgram runs the program as a process.
func TestProgram(t *testing.T) {
	got := process(t, nil, "-node", "node-b")
	require.Equal(t, newSession(t).run(t.Context(), "", "-node", "node-b"), got)
	require.Equal(t, 2, process(t, nil, "-x").code)
	require.Equal(t, 1, process(t, nil, "-f", "testdata/absent.yaml").code)
}

func process(t *testing.T, attr *syscall.SysProcAttr, args ...string) result {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = &stdout, &stderr, attr
	cmd.Env = append(os.Environ(), asProgram+"=1", "LANG=tr_TR.UTF-8", "LC_ALL=tr_TR.UTF-8", "TZ=Asia/Kathmandu")
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		require.NoError(t, err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// newNode makes a host with the addresses, in whose namespace the test then is.
func newNode(t *testing.T, addresses ...string) *testenv.NS {
	t.Helper()
	testenv.RequireKernel(t, testenv.IPVS, testenv.IPSet, testenv.IPTables, testenv.Dummy, testenv.Conntrack, "ipvsadm", "ipset", "ip")
	ns := testenv.NewNetNS(t)
	ns.AddDummy(t, "eth0")
	ns.AddAddr(t, "eth0", addresses...)
	// Every table exists before and after, so that what is seen differs in
	// nothing else.
	var touch strings.Builder
	for _, table := range []string{"mangle", "nat", "filter"} {
		touch.WriteString("*" + table + "\n")
		for _, chain := range iptables.BuiltinChains(table) {
			touch.WriteString("-A " + chain + " -j ACCEPT\n-D " + chain + " -j ACCEPT\n")
		}
		touch.WriteString("COMMIT\n")
	}
	for _, tool := range []string{"iptables-restore", "ip6tables-restore"} {
		cmd := exec.Command(tool, "--noflush")
		cmd.Stdin = strings.NewReader(touch.String())
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", tool, out)
	}
	return ns
}

// runHere runs the program, on the kernel with -kernel.
func runHere(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, open, strings.NewReader(stdin), &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// volatile is what the tools say that changes by itself or with every host.
var volatile = regexp.MustCompile(`(?m) \[\d+:\d+\]$|^# (Generated|Completed|Warning).*\n| hashsize \d+| bucketsize \d+| initval \S+|^\d+: |\s*\\\s+valid_lft forever preferred_lft forever`)

// tool returns what an operator's tool says.
func tool(t *testing.T, ns *testenv.NS, command string) string {
	t.Helper()
	words := strings.Fields(command)
	return volatile.ReplaceAllString(ns.Run(t, words[0], words[1:]...), "")
}

// hostState is what all tools say of a host, and its parameters.
func hostState(t *testing.T, ns *testenv.NS) string {
	t.Helper()
	var b strings.Builder
	for _, command := range []string{"ipvsadm -Sn", "ipset save", "iptables-save", "ip6tables-save", "ip -o addr", "ip route show table all", "ip -6 route show table all"} {
		b.WriteString("# " + command + "\n" + tool(t, ns, command))
	}
	for line := range strings.Lines(booted) {
		name, _, _ := strings.Cut(line, " ")
		b.WriteString(name + " = " + ns.ReadSysctl(t, name) + "\n")
	}
	return b.String()
}

// section returns a part of what the program printed.
func section(t *testing.T, stdout, title string) string {
	t.Helper()
	_, rest, ok := strings.Cut("\n"+stdout, "\n# "+title+"\n")
	require.True(t, ok, "no section %q", title)
	text, _, _ := strings.Cut(rest, "\n\n# ")
	return volatile.ReplaceAllString(strings.TrimSuffix(text, "\n")+"\n", "")
}

// sorted sorts lines, of which the kernel keeps no order.
func sorted(text string) string {
	lines := slices.Collect(strings.Lines(text))
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// sortedTables sorts the tables of iptables-save and leaves the rules in order.
func sortedTables(text string) string {
	tables := strings.SplitAfter(text, "COMMIT\n")
	slices.Sort(tables)
	return strings.Join(tables, "")
}

// TestKernelQuickstart runs the program on a real kernel and compares what the
// operator's tools then say with what the host in memory has.
func TestKernelQuickstart(t *testing.T) {
	ns := newNode(t, "192.168.50.11/24", "fd00:50::11/64")
	before := hostState(t, ns)
	memory := newSession(t)
	wanted := memory.run(t.Context(), "")

	first := runHere(t, "", "-kernel")
	require.Equal(t, result{stdout: first.stdout}, first)
	programmed := hostState(t, ns)
	require.Equal(t, sorted(memory.host.IPVS.Dump()), sorted(tool(t, ns, "ipvsadm -Sn")))
	require.Equal(t, sorted(section(t, wanted.stdout, "ipset save")), sorted(tool(t, ns, "ipset save")))
	for _, save := range []string{"iptables-save", "ip6tables-save"} {
		require.Equal(t, sortedTables(section(t, wanted.stdout, save)), sortedTables(tool(t, ns, save)), save)
	}
	show := "ip -o addr show dev vipkit0"
	require.Equal(t, sorted(section(t, wanted.stdout, show)), sorted(tool(t, ns, show)))
	require.Equal(t, sorted(section(t, first.stdout, "ipvsadm -Ln")), sorted(tool(t, ns, "ipvsadm -Ln")))

	// The program's own words are the same, whichever kernel it is.
	shownHere, reportHere, _ := strings.Cut(first.stdout, "\n# report\n")
	shown, report, _ := strings.Cut(wanted.stdout, "\n# report\n")
	require.Equal(t, shown, shownHere)
	require.Contains(t, reportHere, "sysctl -w net.ipv4.vs.conntrack=1 (was 0: ")
	require.Equal(t, lastLine(report), lastLine(reportHere))

	again := runHere(t, "", "-kernel")
	require.Zero(t, again.code, again.stderr)
	require.Contains(t, again.stdout, "\n21 services programmed, 0 failed, 0 operations, ")
	require.NotContains(t, again.stdout, "sysctl -w")
	require.Equal(t, programmed, hostState(t, ns))

	removed := runHere(t, "", "-kernel", "-remove")
	require.Zero(t, removed.code, removed.stderr)
	resetParameters(t, ns) // routes depend on them
	require.Equal(t, before, hostState(t, ns), "byte for byte")
}

func lastLine(text string) string {
	text = strings.TrimSuffix(text, "\n")
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// TestKernelFaults gives the kernel every dump of testdata/bad, after a good one:
// it ends as the host in memory does.
func TestKernelFaults(t *testing.T) {
	ns := newNode(t, "192.0.2.1/24")
	good, err := os.ReadFile("testdata/good.yaml")
	require.NoError(t, err)
	files, err := filepath.Glob("testdata/bad/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		parts := make(map[string]string)
		archive, err := txtar.ParseFile(file)
		require.NoError(t, err)
		for _, f := range archive.Files {
			parts[f.Name] = string(f.Data)
		}
		applied := runHere(t, string(good), "-kernel", "-f", "-")
		require.Zero(t, applied.code, applied.stderr)
		stays := strings.HasSuffix(parts["stderr"], unchanged)
		before := ""
		if stays {
			before = hostState(t, ns)
		}
		got := runHere(t, parts["dump"], append([]string{"-kernel", "-f", "-"}, strings.Fields(parts["args"])...)...)
		require.Equal(t, parts["stderr after good.yaml"], got.stderr, file)
		require.Equal(t, sorted(parts["after good.yaml"]), sorted(tool(t, ns, "ipvsadm -Sn")), file)
		if stays {
			require.Equal(t, before, hostState(t, ns), file)
		}
	}
	// Somebody else's sets, of types that we never make, are in nobody's way.
	ns.Run(t, "ipset", "create", "other-ports", "bitmap:port", "range", "0-99")
	ns.Run(t, "ipset", "create", "other-list", "list:set")
	ns.Run(t, "ipset", "add", "other-list", "other-ports")
	got := runHere(t, string(good), "-kernel", "-f", "-")
	require.Zero(t, got.code, got.stderr)
	require.Contains(t, got.stdout, "\n# entries of list:set are not shown\n")
}

// TestKernelUnprivileged runs the program as somebody who may not.
func TestKernelUnprivileged(t *testing.T) {
	ns := newNode(t, "192.168.50.11/24", "fd00:50::11/64")
	before := hostState(t, ns)
	nobody := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 65534, Size: 1}}
	for name, attr := range map[string]*syscall.SysProcAttr{
		"plain user":                 {Credential: &syscall.Credential{Uid: 65534, Gid: 65534}},
		"user namespace":             {Cloneflags: syscall.CLONE_NEWUSER, UidMappings: nobody, GidMappings: nobody},
		"user and network namespace": {Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET, UidMappings: nobody, GidMappings: nobody},
	} {
		for _, args := range [][]string{{"-kernel"}, {"-kernel", "-remove"}} {
			got := process(t, attr, args...)
			t.Logf("%s %v:\n%s", name, args, got.stderr)
			require.Equal(t, 1, got.code, name)
			require.Empty(t, got.stdout, name)
			require.Contains(t, got.stderr, "permission denied", name)
			require.True(t, strings.HasSuffix(got.stderr, root+unchanged), name)
			require.Equal(t, before, hostState(t, ns), name)
		}
	}
}

// TestKernelMissing takes tools and modules away from a machine of its own.
func TestKernelMissing(t *testing.T) {
	ns := newNode(t, "192.168.50.11/24", "fd00:50::11/64")
	if !testenv.InVM() {
		t.Log("not in a machine of its own: nothing is taken away")
		return
	}
	before := hostState(t, ns)
	path := os.Getenv("PATH")
	only4 := t.TempDir()
	for _, name := range []string{"iptables", "iptables-save", "iptables-restore"} {
		full, err := exec.LookPath(name)
		require.NoError(t, err)
		require.NoError(t, os.Symlink(full, filepath.Join(only4, name)))
	}
	for _, dir := range []string{t.TempDir(), only4} {
		t.Setenv("PATH", dir)
		got := runHere(t, "", "-kernel")
		t.Setenv("PATH", path)
		t.Log(got.stderr)
		require.Equal(t, 1, got.code)
		require.Empty(t, got.stdout)
		require.True(t, strings.HasSuffix(got.stderr, getTools+unchanged), got.stderr)
		require.Equal(t, before, hostState(t, ns))
	}

	const loader = "/proc/sys/kernel/modprobe"
	modprobe, err := os.ReadFile(loader)
	require.NoError(t, err)
	load := func(helper string) { require.NoError(t, os.WriteFile(loader, []byte(helper), 0o644)) }
	t.Cleanup(func() { load(string(modprobe)) })
	ns.Run(t, "ip", "link", "del", "eth0")
	before = hostState(t, ns)
	for _, tt := range []struct {
		modules []string
		want    string
	}{
		{[]string{"dummy"}, getDummy},
		{[]string{"xt_set"}, getModules},
		{[]string{
			"xt_set", "ip_set_hash_ip", "ip_set_hash_ipport", "ip_set_hash_ipportip", "ip_set_hash_ipportnet", "ip_set_hash_net",
			"ip_set_bitmap_port", "ip_set_list_set", "ip_set",
		}, getIPSet},
		{[]string{"ip_vs_rr", "ip_vs"}, getIPVS},
	} {
		// With everything there it works, and takes everything back.
		for _, args := range [][]string{{"-kernel"}, {"-kernel", "-remove"}} {
			got := runHere(t, "", args...)
			require.Zero(t, got.code, got.stderr)
		}
		resetParameters(t, ns)
		load("/bin/false")
		for _, m := range tt.modules {
			unload(t, m)
		}
		got := runHere(t, "", "-kernel")
		load(string(modprobe))
		t.Logf("without %v:\n%s", tt.modules, got.stderr)
		require.Equal(t, 1, got.code)
		require.Empty(t, got.stdout)
		require.True(t, strings.HasSuffix(got.stderr, tt.want+unchanged), got.stderr)
		require.Equal(t, before, hostState(t, ns))
	}
}

// resetParameters sets kernel parameters back, which -remove leaves alone.
func resetParameters(t *testing.T, ns *testenv.NS) {
	t.Helper()
	for line := range strings.Lines(booted) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		require.Equal(t, "1", ns.ReadSysctl(t, name))
		ns.Sysctl(t, name, value)
	}
}

// unload removes a module, once the namespaces of earlier tests are gone.
func unload(t *testing.T, module string) {
	t.Helper()
	require.Eventually(t, func() bool {
		err := unix.DeleteModule(module, unix.O_NONBLOCK)
		return err == nil || errors.Is(err, unix.ENOENT)
	}, 20*time.Second, 50*time.Millisecond, module)
}
