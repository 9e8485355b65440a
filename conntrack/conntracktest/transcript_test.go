package conntracktest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
	"github.com/vipkit/vipkit/conntrack/conntracktest"
)

// A transcript is what a table answered to steps, one at a time: each step, and
// below it the answer, indented. Those of real kernels are in testdata; make
// test-kernel leaves new ones in its output directory.

func record(ctx context.Context, o conntracktest.Opened, steps []string) string {
	var b strings.Builder
	for _, step := range append(steps, "count", "list") {
		fmt.Fprintf(&b, "%s\n\t%s\n", step, strings.ReplaceAll(play(ctx, o, step), "\n", "\n\t"))
	}
	return b.String()
}

// stepsOf returns the steps of a transcript, without those at its end that record
// adds.
func stepsOf(text string) (steps []string) {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "\t") {
			steps = append(steps, strings.TrimSpace(line))
		}
	}
	return steps[:len(steps)-2]
}

// transcripts are what is recorded, by name.
func transcripts() map[string][]string {
	every := map[string][]string{"answers": answers()}
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 7))
		name := fmt.Sprintf("random-%d", seed)
		for range 600 {
			every[name] = append(every[name], randomStep(r))
		}
	}
	return every
}

// answers is every step on what is there and on what is not, of all protocols.
func answers() (steps []string) {
	for _, family := range []vipkit.Family{vipkit.IPv4, vipkit.IPv6} {
		flows := []conntrack.Flow{conntracktest.SamplePing(family, 0, 7)}
		for _, p := range []vipkit.Protocol{vipkit.TCP, vipkit.UDP, vipkit.SCTP} {
			flows = append(flows, conntracktest.SampleFlow(family, p, 0, 0, 1))
		}
		for _, f := range flows {
			info := conntrack.FlowInfo{Flow: f, Status: conntrack.StatusConfirmed | conntrack.StatusSeenReply, Mark: 3, Timeout: time.Hour}
			if f.Protocol == vipkit.TCP || f.Protocol == vipkit.SCTP {
				info.State = "ESTABLISHED"
			}
			zone, reply := info, info
			zone.Zone, zone.ReplyZone, reply.ReplyZone = 65535, 65535, 9
			listed := fmt.Sprintf("list -p %d -f ipv%d", f.Protocol, family)
			steps = append(steps, "delete "+f.String(), "create "+info.String(), "create "+info.String(), "create "+zone.String(), "create "+reply.String(),
				listed, listed+" -w 65535", listed+" -w 9", listed+" -w 0", listed+" --mark 3", listed+" --mark 2/3", "delete "+zone.Flow.String(), "delete "+f.String(), "count")
			if f.Protocol.Valid() {
				m := conntrack.Match{Protocol: f.Protocol, OriginalDst: f.Original.Dst, ReplySrc: f.Reply.Src}
				steps = append(steps, "stale "+m.String()+" "+f.Reply.Src.String(), "match "+m.String(), "create "+info.String(), "stale "+m.String())
			}
			steps = append(steps, "create "+info.String(), "list")
		}
	}
	return steps
}

// TestTranscripts replays what the kernels answered, and the shortest proofs of
// differences found once, on the fake.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimPrefix(file, "testdata/"), func(t *testing.T) { replay(t, file, newFake()) })
	}
}

// replay compares a table's answers with those in a file.
func replay(t *testing.T, file string, o conntracktest.Opened) {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	want := txtar.Parse(data)
	require.Len(t, want.Files, 1)
	require.Equal(t, "steps", want.Files[0].Name)
	text := string(want.Files[0].Data)
	require.Equal(t, text, record(t.Context(), o, stepsOf(text)))
}

// transcript is the file of a record.
func transcript(comment, text string) []byte {
	return txtar.Format(&txtar.Archive{Comment: []byte(comment + "\n"), Files: []txtar.File{{Name: "steps", Data: []byte(text)}}})
}
