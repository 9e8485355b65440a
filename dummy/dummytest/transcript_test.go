package dummytest

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

	"github.com/vipkit/vipkit/dummy"
)

// A transcript is what a client answered to operations, and what there then was:
// sections operations and state of a txtar. Those of real kernels are in testdata;
// make test-kernel leaves new ones in its output directory.

func record(ctx context.Context, c Client, ops []operation) (*txtar.Archive, error) {
	var b strings.Builder
	for i, answer := range do(ctx, c, ops) {
		fmt.Fprintf(&b, "%s\n\t%s\n", ops[i], answer)
	}
	is, err := state(ctx, c)
	return &txtar.Archive{Files: []txtar.File{{Name: "operations", Data: []byte(b.String())}, {Name: "state", Data: []byte(is)}}}, err
}

// operations returns those of a transcript.
func operations(t *testing.T, a *txtar.Archive) (ops []operation) {
	require.Equal(t, "operations", a.Files[0].Name)
	for line := range strings.Lines(string(a.Files[0].Data)) {
		if !strings.HasPrefix(line, "\t") {
			o, err := parseOperation(strings.TrimSpace(line))
			require.NoError(t, err)
			ops = append(ops, o)
		}
	}
	return ops
}

// recorded are the operations of which there are transcripts, by name.
func recorded() map[string][]operation {
	all := make(map[string][]operation)
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 7))
		name := fmt.Sprintf("random-%d", seed)
		all[name] = []operation{{verb: "add", link: dummy.Link{Name: "vipkit0", Up: true}}}
		for len(all[name]) < 400 {
			// What cannot be written down was refused before it came to a kernel.
			if o := randomOperation(r); o.change.Address.Validate() == nil || o.verb != "" {
				all[name] = append(all[name], o)
			}
		}
	}
	return all
}

// TestTranscripts replays what the kernels answered, and the shortest proofs of
// differences found once, on the fake.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimPrefix(file, "testdata/"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			want := txtar.Parse(data)
			got, err := record(t.Context(), new(Fake), operations(t, want))
			require.NoError(t, err)
			got.Comment = want.Comment
			require.Equal(t, string(txtar.Format(want)), string(txtar.Format(got)))
		})
	}
}
