package iptables_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/iptables"
)

// A transcript is what a client answered to restores and what it then held: sections
// restores and save of a txtar. Those of real kernels and back ends are in testdata,
// each named family-what.txtar; make test-kernel holds them against the kernels, and
// leaves new ones in its output directory.

// record makes a transcript.
func record(ctx context.Context, c iptables.Client, f vipkit.Family, restores [][]iptables.Edit) (*txtar.Archive, error) {
	var b strings.Builder
	for _, edits := range restores {
		answer := "done"
		if err := c.Restore(ctx, f, edits); err != nil {
			answer = kindOf(err).Error()
		}
		fmt.Fprintf(&b, "%s\t%s\n", iptables.RestoreText(edits), answer)
	}
	held, err := c.Save(ctx, f)
	if err != nil {
		return nil, err
	}
	return &txtar.Archive{Files: []txtar.File{
		{Name: "restores", Data: []byte(b.String())}, {Name: "save", Data: []byte(iptables.Format(held))},
	}}, nil
}

// restoresOf returns the restores of a transcript.
func restoresOf(t *testing.T, a *txtar.Archive) (restores [][]iptables.Edit) {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(string(a.Files[0].Data)) {
		if !strings.HasPrefix(line, "\t") {
			b.WriteString(line)
			continue
		}
		edits, err := iptables.ParseRestore(b.String())
		require.NoError(t, err)
		restores = append(restores, edits)
		b.Reset()
	}
	return restores
}

// one makes restores of one edit each, of lines "TABLE LINE".
func one(t *testing.T, lines ...string) (restores [][]iptables.Edit) {
	t.Helper()
	for _, line := range lines {
		table, edit, _ := strings.Cut(line, " ")
		edits, err := iptables.ParseRestore("*" + table + "\n" + strings.ReplaceAll(edit, " | ", "\n") + "\nCOMMIT\n")
		require.NoError(t, err)
		restores = append(restores, edits)
	}
	return restores
}

// transcripts are what is recorded, by name.
func transcripts(t *testing.T, f vipkit.Family) map[string][][]iptables.Edit {
	t.Helper()
	all := map[string][][]iptables.Edit{
		// Every verb on what is there and on what is not.
		"edits": one(t,
			"filter -A T -j DROP", "filter -I T 1 -j DROP", "filter -D T -j DROP", "filter -X T",
			"filter :T - [0:0]", "filter -D T -j DROP", "filter -I T 2 -j DROP", "filter -I T 1 -j DROP", "filter -A T -j DROP",
			"filter -X T", "filter -A INPUT -j T", "filter :T - [0:0]", "filter -X T", "filter -D INPUT -j T", "filter -X T",
			"filter :T - [0:0] | -A T -j ACCEPT | -A INPUT -j T | -D INPUT -j T", "filter :T - [0:0] | -A INPUT -j T | -A T -j NONE",
			"filter :T - [0:0] | -A INPUT -j T | -X T", "filter :FORWARD DROP [0:0]", "filter -A FORWARD -p udp -j ACCEPT",
			"nat -A PREROUTING -j T", "nat :OUTPUT DROP [0:0]", "filter -D FORWARD -p tcp -j ACCEPT", "filter :FORWARD ACCEPT [0:0]",
			// A chain that is declared and deleted again, and one that takes another's place.
			"mangle :A - [0:0] | :B - [0:0] | -A A -j B", "mangle -X B", "mangle -D A -j B | -X B | :B - [0:0] | -A B -j A", "mangle -A A -m set --match-set GONE src",
			"mangle -A A -m set --match-set S src,dst,src", "mangle -A A -j SET --map-set GONE src --map-mark",
		),
		// Chains that come back to themselves, reached by a packet or not. Kernels differ.
		"loops": one(t,
			"filter :A - [0:0] | :B - [0:0] | :C - [0:0]", "filter -A A -j A", "filter -A A -j B", "filter -A B -j A", "filter -A B -j C", "filter -A C -j A",
			"filter -A INPUT -j A", "filter -A C -j A", "filter -A C -p tcp -j A", "filter -A C -g A", "filter -A C -j RETURN | -A C -j A",
			"filter -D A -j B | -A C -j A", "filter -A A -j B",
		),
	}
	for seed := range uint64(2) {
		d := differ(newFake("nft"), "nft", f, rand.New(rand.NewPCG(seed, 3)), 400)
		all[fmt.Sprintf("random-%d", seed)] = d.history
	}
	name := families[f]
	all["rules"] = nil
	for _, p := range readPrinted(t, "printed-"+name+".txt") {
		e := iptables.Edit{Table: p.table, Verb: iptables.Append, Chain: p.chain, Rule: p.wrote}
		if p.chain == "X" {
			e.Chain = "RULES"
		}
		if iptables.Validate(f, []iptables.Edit{e}) != nil {
			continue // a mask with gaps
		}
		if n := len(all["rules"]); n == 0 || all["rules"][n-1][0].Table != p.table || len(all["rules"][n-1]) > 40 {
			all["rules"] = append(all["rules"], nil)
			if e.Chain == "RULES" {
				all["rules"][n] = append(all["rules"][n], iptables.Edit{Table: p.table, Verb: iptables.NewChain, Chain: "RULES"})
			}
		}
		n := len(all["rules"]) - 1
		all["rules"][n] = append(all["rules"][n], e)
	}
	data, err := os.ReadFile(filepath.Join("testdata", "refused-"+name+".txt"))
	require.NoError(t, err)
	all["refused"] = one(t, "filter :X - [0:0]", "nat :X - [0:0]", "mangle :X - [0:0]")
	for line := range strings.Lines(string(data)) {
		table, rule, _ := strings.Cut(strings.TrimSpace(line), " ")
		all["refused"] = append(all["refused"], one(t, table+" -A "+rule)...)
	}
	return all
}

// TestTranscripts replays what each kernel answered through each back end, and the
// shortest proofs of differences found once, on the fake.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*-*/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimPrefix(file, "testdata/"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			want := txtar.Parse(data)
			dir, base := filepath.Base(filepath.Dir(file)), filepath.Base(file)
			f := vipkit.IPv4
			if strings.HasPrefix(base, "ipv6-") {
				f = vipkit.IPv6
			}
			fake := newFake(dir[strings.LastIndex(dir, "-")+1:])
			have, err := record(t.Context(), fake, f, restoresOf(t, want))
			require.NoError(t, err)
			have.Comment = want.Comment
			if differs(dir, strings.TrimSuffix(base[len("ipv4-"):], ".txtar")) {
				require.NotEqual(t, string(txtar.Format(want)), string(txtar.Format(have)), "the fake follows Linux 6.12")
				return
			}
			require.Equal(t, string(txtar.Format(want)), string(txtar.Format(have)))
		})
	}
}

// differs reports whether a transcript is one of those in which a kernel differs from
// the fake, which follows Linux 6.12.
func differs(dir, what string) bool { return dir == "linux-6.1-nft" && what == "loops" }

// series is the part of a kernel's release that names its transcripts.
func series(release string) string {
	parts := strings.SplitN(release, ".", 3)
	return parts[0] + "." + parts[1]
}

// release is the running kernel's.
func release(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/proc/sys/kernel/osrelease")
	require.NoError(t, err)
	return strings.TrimSpace(string(data))
}
