//go:build linux

package iptables_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/iptables"
)

// counting returns a Conn like kernelConn's that reads counters too.
func counting(t *testing.T, backend string) (*iptables.Conn, *iptables.Conn, *testenv.NS) {
	conn, ns := kernelConn(t, backend, vipkit.IPv4, "")
	with, err := iptables.Open(&iptables.Config{Namespace: ns.Path(), Backend: backend, Counters: true})
	require.NoError(t, err)
	return conn, with, ns
}

// TestKernelCounters shows what becomes of counters: those of other rules stay, a
// rule that is moved keeps its own if the edit says so, and the packets of the
// kernel are counted. The legacy tools set those of all policies of a table to
// zero with whatever they change in it.
func TestKernelCounters(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPTables)
	ctx := context.Background()
	for _, backend := range backends {
		t.Run(backend, func(t *testing.T) {
			conn, with, ns := counting(t, backend)
			require.NoError(t, conn.Restore(ctx, vipkit.IPv4, []iptables.Edit{
				{Table: "filter", Verb: iptables.NewChain, Chain: "X"},
				{Table: "filter", Verb: iptables.Append, Chain: "X", Rule: "-p 253", Counters: iptables.Counters{Packets: 5, Bytes: 1 << 40}},
				{Table: "filter", Verb: iptables.Append, Chain: "INPUT", Rule: "-p udp -j X"},
				{Table: "filter", Verb: iptables.SetPolicy, Chain: "FORWARD", Policy: "DROP", Counters: iptables.Counters{Packets: 7, Bytes: 700}},
			}))
			ns.Run(t, "bash", "-c", "echo x >/dev/udp/127.0.0.1/9; true")
			read := func() iptables.Table {
				tables, err := with.Save(ctx, vipkit.IPv4, "filter")
				require.NoError(t, err)
				return tables[0]
			}
			table := read()
			input := table.Chains[0]
			require.Len(t, input.RuleCounters, 1)
			require.EqualValues(t, 1, input.RuleCounters[0].Packets)
			require.EqualValues(t, 30, input.RuleCounters[0].Bytes)
			require.Equal(t, "DROP", table.Chains[1].Policy)
			require.Equal(t, iptables.Counters{Packets: 7, Bytes: 700}, table.Chains[1].Counters)
			require.Equal(t, []iptables.Counters{{Packets: 5, Bytes: 1 << 40}}, table.Chains[3].RuleCounters)

			// Its jump moves behind another rule; nothing else changes.
			require.NoError(t, conn.Restore(ctx, vipkit.IPv4, []iptables.Edit{
				{Table: "filter", Verb: iptables.Delete, Chain: "INPUT", Rule: "-p udp -j X"},
				{Table: "filter", Verb: iptables.Append, Chain: "INPUT", Rule: "-p 254"},
				{Table: "filter", Verb: iptables.Insert, Chain: "INPUT", Pos: 2, Rule: "-p udp -j X", Counters: input.RuleCounters[0]},
			}))
			moved := read()
			require.Equal(t, []iptables.Rule{"-p 254", "-p udp -j X"}, moved.Chains[0].Rules)
			require.Equal(t, []iptables.Counters{{}, input.RuleCounters[0]}, moved.Chains[0].RuleCounters)
			require.Equal(t, table.Chains[3], moved.Chains[3])
			if backend == "legacy" { // forgets what policies have counted
				require.Zero(t, moved.Chains[1].Counters)
			} else {
				require.Equal(t, table.Chains[1:], moved.Chains[1:])
			}

			without, err := conn.Save(ctx, vipkit.IPv4, "filter")
			require.NoError(t, err)
			require.Zero(t, without[0].Chains[1].Counters.Packets)
			require.Nil(t, without[0].Chains[0].RuleCounters)

			// A policy that is set without counters begins at zero.
			require.NoError(t, conn.Restore(ctx, vipkit.IPv4, []iptables.Edit{{Table: "filter", Verb: iptables.SetPolicy, Chain: "FORWARD", Policy: "ACCEPT"}}))
			require.Zero(t, read().Chains[1].Counters)
		})
	}
}

// TestKernelPrinted gives the tools every rule of testdata in one restore a table,
// and holds what they print against what is recorded there.
func TestKernelPrinted(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPTables, testenv.IPSet, "ipset")
	for _, backend := range backends {
		for f, name := range families {
			t.Run(backend+" "+name, func(t *testing.T) { checkPrinted(t, backend, f, "printed-"+name+".txt") })
		}
	}
}

// TestKernelPrintedIPVS is TestKernelPrinted for the match that wants IPVS.
func TestKernelPrintedIPVS(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPTables, testenv.IPSet, "ipset", testenv.IPVS)
	for _, backend := range backends {
		for f, name := range families {
			t.Run(backend+" "+name, func(t *testing.T) { checkPrinted(t, backend, f, "printed-"+name+"-ipvs.txt") })
		}
	}
}

func checkPrinted(t *testing.T, backend string, f vipkit.Family, file string) {
	_, ns := kernelConn(t, backend, f, "")
	family, tool := "inet", "iptables"
	if f == vipkit.IPv6 {
		family, tool = "inet6", "ip6tables"
	}
	ns.Run(t, "ipset", "create", "S", "hash:ip,port,ip", "family", family, "skbinfo")
	ns.Run(t, "ipset", "create", "A", "hash:ip", "family", family, "timeout", "60")
	ns.Run(t, "ipset", "create", "P", "bitmap:port", "range", "1-100", "skbinfo")
	var in strings.Builder
	want := map[string][]string{}
	rules := readPrinted(t, file)
	for _, table := range []string{"raw", "mangle", "nat", "filter"} {
		in.WriteString("*" + table + "\n:X - [0:0]\n")
		for _, p := range rules {
			if p.table == table {
				in.WriteString(strings.TrimSpace("-A "+p.chain+" "+string(p.wrote)) + "\n")
				key := table + " " + p.chain
				want[key] = append(want[key], string(p.want))
			}
		}
		in.WriteString("COMMIT\n")
	}
	path := filepath.Join(t.TempDir(), "rules")
	require.NoError(t, os.WriteFile(path, []byte(in.String()), 0o600))
	ns.Run(t, "bash", "-c", tool+"-"+backend+"-restore --noflush <"+path)
	tables, err := iptables.Parse(ns.Run(t, tool+"-"+backend+"-save"))
	require.NoError(t, err)
	have := map[string][]string{}
	for _, table := range tables {
		for _, c := range table.Chains {
			for _, r := range c.Rules {
				have[table.Name+" "+c.Name] = append(have[table.Name+" "+c.Name], string(r))
			}
		}
	}
	for key, rules := range want {
		require.Equal(t, strings.Join(rules, "\n"), strings.Join(have[key], "\n"), key)
	}
}

// TestKernelElsewhere has rules in both back ends at once.
func TestKernelElsewhere(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPTables)
	ctx := context.Background()
	for _, backend := range []string{"nft", "legacy"} {
		t.Run(backend, func(t *testing.T) {
			other := map[string]string{"nft": "legacy", "legacy": "nft"}[backend]
			conn, ns := kernelConn(t, backend, vipkit.IPv4, "")
			elsewhere, err := conn.Elsewhere(ctx, vipkit.IPv4)
			require.NoError(t, err)
			require.Equal(t, iptables.Elsewhere{Backend: other}, elsewhere)
			require.Empty(t, elsewhere.String())

			ns.Run(t, "iptables-"+other, "-w", "-A", "FORWARD", "-j", "DROP")
			require.NoError(t, conn.Restore(ctx, vipkit.IPv4, []iptables.Edit{{Table: "nat", Verb: iptables.NewChain, Chain: "A"}}))
			elsewhere, err = conn.Elsewhere(ctx, vipkit.IPv4)
			require.NoError(t, err)
			require.Equal(t, other+" back end: 1 rules in filter", elsewhere.String())
			tables, err := conn.Save(ctx, vipkit.IPv4)
			require.NoError(t, err)
			require.Len(t, tables, 1, "what the other one holds is not in Save")
			elsewhere, err = conn.Elsewhere(ctx, vipkit.IPv6)
			require.NoError(t, err)
			require.Empty(t, elsewhere.Tables)
		})
	}
}

// TestKernelLockHolder has another process hold the lock of the legacy back end: the
// error says that it was that, and who.
func TestKernelLockHolder(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPTables)
	conn, _ := kernelConn(t, "legacy", vipkit.IPv4, "")
	path := os.Getenv("XTABLES_LOCKFILE")
	exe, err := os.Executable()
	require.NoError(t, err)
	holder := exec.Command(exe)
	holder.Env = append(os.Environ(), lockEnv+"="+path)
	out, err := holder.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, holder.Start())
	t.Cleanup(func() {
		_ = holder.Process.Kill()
		_ = holder.Wait()
	})
	_, err = out.Read(make([]byte, 16))
	require.NoError(t, err)

	edits := []iptables.Edit{{Table: "nat", Verb: iptables.NewChain, Chain: "A"}}
	// Longer and shorter than the whole second that the tool waits at least.
	for _, patience := range []time.Duration{300 * time.Millisecond, 2500 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := conn.Restore(ctx, vipkit.IPv4, edits)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, iptables.ErrLocked)
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, "process "+strconv.Itoa(holder.Process.Pid)+" (")
	}
	tables, err := conn.Save(context.Background(), vipkit.IPv4)
	require.NoError(t, err)
	require.Empty(t, tables)
}
