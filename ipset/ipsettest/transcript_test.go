package ipsettest_test

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

	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/ipset/ipsettest"
)

// A transcript is what a client answered to steps, one at a time, and what it then
// held: sections steps and save of a txtar. Those of real kernels are in testdata;
// make test-kernel leaves new ones in its output directory.

// record makes a transcript of steps.
func record(ctx context.Context, c ipset.Client, lines []string) (*txtar.Archive, error) {
	var steps []step
	for i, line := range lines {
		s, err := parseStep(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		steps = append(steps, s)
	}
	_, answers := run(ctx, c, steps)
	var b strings.Builder
	for i, answer := range answers {
		fmt.Fprintf(&b, "%s\n\t%s\n", lines[i], answer)
	}
	held, err := save(ctx, c)
	if err != nil {
		return nil, err
	}
	return &txtar.Archive{Files: []txtar.File{{Name: "steps", Data: []byte(b.String())}, {Name: "save", Data: []byte(held)}}}, nil
}

// linesOf returns the steps of a transcript.
func linesOf(a *txtar.Archive) (lines []string) {
	for line := range strings.Lines(string(a.Files[0].Data)) {
		if !strings.HasPrefix(line, "\t") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// transcripts are what is recorded, by name.
func transcripts() map[string][]string {
	all := map[string][]string{"answers": answers(), "extensions": extensions()}
	for seed := range uint64(3) {
		name := fmt.Sprintf("random-%d", seed)
		for _, s := range randomSteps(context.Background(), rand.New(rand.NewPCG(seed, 7)), 600, false) {
			all[name] = append(all[name], s.String())
		}
	}
	return all
}

// answers is every operation on what is there and on what is not.
func answers() (lines []string) {
	for _, s := range ipsettest.Shapes() {
		name := strings.NewReplacer(":", "-", ",", "-").Replace(string(s.Set.Type)) + "-" + strings.ToLower(s.Set.Family.String())
		s.Set.Name = name
		small := s.Set
		if small.Type == ipset.BitmapPort {
			small.PortFrom, small.PortTo = 1, 2
		} else {
			small.MaxElem = 2
		}
		a, b, c := name+" "+s.Key(0).String(), name+" "+s.Key(1).String(), name+" "+s.Key(2).String()
		lines = append(lines,
			"add "+a, "add "+a+" -exist", "del "+a, "test "+a, "flush "+name, "destroy "+name, "rename "+name+" other", "swap "+name+" other",
			small.String(), small.String(), s.Set.String()+" comment", "rename "+name+" "+name, "swap "+name+" "+name,
			"del "+a, "add "+a, "add "+a, "add "+a+" -exist", "test "+a, "test "+b, "add "+b, "add "+c, "add "+c+" -exist",
			"add "+b+` comment "x" -exist`, "add "+b+" skbmark 0x1 -exist", "add "+b+" packets 1 -exist", "add "+b+" timeout 0 -exist",
			"rename "+name+" other", "del "+a, strings.Replace(s.Set.String(), name, "second", 1),
			"rename other second", "swap other second", "swap other missing", "flush second", "destroy second", "rename other "+name,
			"del "+b, "del "+b, "flush "+name, "del "+a, "destroy "+name, "destroy "+name,
			s.Set.String()+" comment skbinfo", "add "+a+` comment "stays"`,
		)
	}
	return lines
}

// extensions is every type with all that entries can carry.
func extensions() (lines []string) {
	for i, s := range ipsettest.Shapes() {
		s.Set.Name = fmt.Sprintf("set%d", i)
		s.Set.Timeout, s.Set.Comment, s.Set.Counters, s.Set.SkbInfo = ipset.Forever, true, true, true
		k := s.Set.Name + " " + s.Key(0).String()
		lines = append(lines,
			s.Set.String(), "add "+k+` timeout 7200 packets 5 bytes 6 comment "one" skbmark 0x1/0xff skbprio 1:2 skbqueue 3`,
			"add "+k+" -exist", "add "+k+" packets 9 -exist", "del "+k, "add "+k, "add "+k+` comment "two" -exist`,
			"add "+s.Set.Name+" "+s.Key(1).String()+" skbmark 0x0/0xf bytes 18446744073709551614",
		)
		if strings.HasSuffix(string(s.Set.Type), "net") {
			host := s.Key(3)
			wide := &host.Net
			if host.Net2.IsValid() {
				wide = &host.Net2
			}
			*wide = ipset.Host(wide.Addr())
			h := s.Set.Name + " " + host.String()
			*wide = s.Key(3).Net
			if s.Key(3).Net2.IsValid() {
				*wide = s.Key(3).Net2
			}
			n := s.Set.Name + " " + host.String()
			lines = append(lines, "test "+h, "test "+n, "add "+n, "test "+h, "test "+n, "add "+h+" nomatch", "test "+h, "test "+n, "add "+h+" -exist", "test "+h)
		}
	}
	return lines
}

// TestTranscripts replays what the kernels answered, and the shortest proofs of
// differences found once, on the fake.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimPrefix(file, "testdata/"), func(t *testing.T) { replay(t, file, new(ipsettest.Fake)) })
	}
}

// replay compares a client's answers with those in a file.
func replay(t *testing.T, file string, c ipset.Client) {
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	want := txtar.Parse(data)
	require.Equal(t, "steps", want.Files[0].Name)
	got, err := record(t.Context(), c, linesOf(want))
	require.NoError(t, err)
	got.Comment = want.Comment
	require.Equal(t, string(txtar.Format(want)), string(txtar.Format(got)))
}
