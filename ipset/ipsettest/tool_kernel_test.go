//go:build linux

package ipsettest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/ipset/ipsettest"
)

// everything returns changes that use every type, family and extension.
func everything() (changes []ipset.Change) {
	for i, s := range ipsettest.Shapes() {
		s.Set.Name = "VIPKIT-" + string(rune('a'+i))
		s.Set.Comment, s.Set.SkbInfo = true, true
		if s.Set.Type != ipset.BitmapPort {
			s.Set.HashSize, s.Set.MaxElem = 1024, 65536
		}
		if i%2 == 0 {
			s.Set.Timeout = time.Hour
		}
		changes = append(changes, ipset.Change{Op: ipset.CreateSet, Set: s.Set})
		for n := range 6 {
			e := ipset.Entry{EntryKey: s.Key(n)}
			switch n {
			case 1:
				e.Comment = `kube-system/dns:dns-tcp \ 'x' é`
			case 2:
				e.Mark, e.MarkMask = 0x4000, 0xffffffff
			case 3:
				e.Mark, e.MarkMask, e.Comment = 0x1, 0xff, "both"
			case 4:
				e.NoMatch = strings.HasSuffix(string(s.Set.Type), "net")
			}
			if s.Set.Timeout != 0 {
				e.Timeout = ipset.Forever
			}
			changes = append(changes, ipset.Change{Op: ipset.AddEntry, Set: s.Set, Entry: e})
		}
	}
	return changes
}

var tuning = regexp.MustCompile(` (bucketsize \d+|initval 0x[0-9a-f]+)`)

// saved returns what "ipset save" prints, without what we do not keep, each
// set's entries sorted as ours are not: by line.
func saved(t *testing.T, ns *testenv.NS) []string {
	lines := strings.Split(strings.TrimSpace(tuning.ReplaceAllString(ns.Run(t, "ipset", "save"), "")), "\n")
	slices.Sort(lines)
	return lines
}

func sortedLines(text string) []string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	slices.Sort(lines)
	return lines
}

// TestKernelTool: "ipset restore" takes our text, "ipset save" prints it, and we
// read both.
func TestKernelTool(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPSet, "ipset")
	var fake ipsettest.Fake
	require.Nil(t, fake.Apply(t.Context(), everything()))
	text := fake.Dump()

	c, ns := openIn(t)
	require.Nil(t, c.Apply(t.Context(), everything()))
	require.Equal(t, sortedLines(text), saved(t, ns), "what the Conn wrote, as the tool prints it")

	restored, ns2 := openIn(t)
	file := filepath.Join(t.TempDir(), "restore")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	ns2.Run(t, "ipset", "restore", "-file", file)
	require.Equal(t, sortedLines(text), saved(t, ns2), "what the tool restored")
	want, err := save(t.Context(), &fake)
	require.NoError(t, err)
	got, err := save(t.Context(), restored)
	require.NoError(t, err)
	require.Equal(t, want, got, "what the Conn reads of it")

	var loaded ipsettest.Fake
	require.NoError(t, loaded.Load(ns2.Run(t, "ipset", "save")))
	require.Equal(t, text, loaded.Dump())

	var rest strings.Builder
	set := everything()[0].Set
	set.Name = "VIPKIT-z"
	entry := everything()[1].Entry
	for _, change := range []ipset.Change{
		{Op: ipset.CreateSet, Set: set},
		{Op: ipset.AddEntry, Set: set, Entry: entry},
		{Op: ipset.SwapSets, Set: set, Other: "VIPKIT-a"},
		{Op: ipset.SwapSets, Set: set, Other: "VIPKIT-a"},
		{Op: ipset.UpdateEntry, Set: set, Entry: entry}, // not right after an add: the tool sends both as one bulk, without -exist
		{Op: ipset.DeleteEntry, Set: set, Entry: entry},
		{Op: ipset.FlushSet, Set: set},
		{Op: ipset.DestroySet, Set: set},
	} {
		rest.WriteString(change.String() + "\n")
	}
	require.NoError(t, os.WriteFile(file, []byte(rest.String()), 0o600))
	ns2.Run(t, "ipset", "restore", "-file", file)
	require.Equal(t, sortedLines(text), saved(t, ns2))
}

// TestKernelForeign: sets that others made are read as they are, or refused by
// name.
func TestKernelForeign(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPSet, "ipset")
	c, ns := openIn(t)
	ns.Run(t, "ipset", "create", "masked", "hash:ip", "netmask", "24", "forceadd")
	ns.Run(t, "ipset", "create", "listed", "hash:ip")
	ns.Run(t, "ipset", "create", "list", "list:set")
	ns.Run(t, "ipset", "add", "list", "listed")
	ns.Run(t, "ipset", "create", "ports", "hash:ip,port", "skbinfo", "counters")
	ns.Run(t, "ipset", "add", "ports", "10.0.0.1,udplite:8", "packets", "5", "bytes", "6", "skbmark", "0x1", "skbprio", "1:2", "skbqueue", "3")
	ns.Run(t, "ipset", "add", "ports", "10.0.0.1,icmp:8/0")

	set, ok, err := ipset.Find(t.Context(), c, "masked")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "netmask 24 forceadd", set.Extra)
	require.False(t, ipset.Set{Name: "masked", Type: ipset.HashIP, Family: set.Family}.Compatible(set))
	set, ok, err = ipset.Find(t.Context(), c, "list")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, ipset.Set{Name: "list", Type: "list:set"}, set)
	_, err = ipset.Snapshot(t.Context(), c, "list")
	require.ErrorContains(t, err, "entries of list:set")
	entries, err := ipset.Snapshot(t.Context(), c, "ports")
	require.NoError(t, err)
	require.Len(t, entries, 2)
	require.Equal(t, "10.0.0.1,1:2048", entries[0].String())
	require.Equal(t, "10.0.0.1,136:8 skbmark 0x1 skbprio 1:2 skbqueue 3", entries[1].String())
	require.ErrorContains(t, c.Apply(t.Context(), []ipset.Change{{Op: ipset.DestroySet, Set: ipset.Set{Name: "listed"}}})[0],
		"ipset destroy listed: in use")
}

// TestKernelRequests pins how many messages and system calls a bulk takes.
func TestKernelRequests(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPSet)
	c, _ := openIn(t)
	s := ipsettest.Shapes()[1]
	require.Nil(t, c.Apply(t.Context(), []ipset.Change{{Op: ipset.CreateSet, Set: s.Set}}))
	changes := make([]ipset.Change, 10000)
	for i := range changes {
		changes[i] = ipset.Change{Op: ipset.AddEntry, Set: s.Set, Entry: ipset.Entry{EntryKey: s.Key(i)}}
	}
	messages, sends := c.Requests()
	require.Nil(t, c.Apply(t.Context(), changes))
	after, sendsAfter := c.Requests()
	t.Logf("10,000 entries of %s: %d messages, %d system calls", s.Set.Type, after-messages, sendsAfter-sends)
	require.LessOrEqual(t, after-messages, int64(20))

	have, err := ipset.Snapshot(t.Context(), c, s.Set.Name)
	require.NoError(t, err)
	messages, _ = c.Requests()
	n, err := ipset.Sync(t.Context(), c, s.Set, have)
	require.NoError(t, err)
	require.Zero(t, n)
	after, _ = c.Requests()
	require.EqualValues(t, 1, after-messages, "no change: one dump, no write")
}
