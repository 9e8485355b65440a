package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"
)

// TestFaults runs the program with the dump of each testdata/bad/*.txtar on a
// fresh host, and on one that testdata/good.yaml was applied to. A file has
//
//	args               more of the command line
//	dump               standard input
//	stderr             what is wrong
//	fresh              the virtual servers of the one host after it
//	after good.yaml    those of the other
func TestFaults(t *testing.T) {
	good, err := os.ReadFile("testdata/good.yaml")
	require.NoError(t, err)
	files, err := filepath.Glob("testdata/bad/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			archive := txtar.Parse(data)
			var stdin string
			args := []string{"-f", "-"}
			for i := range archive.Files {
				f := &archive.Files[i]
				var got string
				switch f.Name {
				case "args":
					args = append(args, strings.Fields(string(f.Data))...)
					continue
				case "dump":
					stdin = string(f.Data)
					continue
				case "stderr":
					got = newSession(t).run(t.Context(), stdin, args...).stderr
				case "fresh":
					got = afterDump(t, newSession(t), stdin, args)
				case "after good.yaml":
					s := newSession(t)
					applied := s.run(t.Context(), string(good), "-f", "-")
					require.Zero(t, applied.code, applied.stderr)
					got = afterDump(t, s, stdin, args)
				default:
					t.Fatalf("unknown section %q", f.Name)
				}
				if *update {
					f.Data = []byte(got)
				}
				require.Equal(t, string(f.Data), got, f.Name)
			}
			if *update {
				require.NoError(t, os.WriteFile(file, txtar.Format(archive), 0o644))
			}
		})
	}
}

// afterDump runs the program and returns the virtual servers that are there. If
// it says that nothing was changed, nothing is.
func afterDump(t *testing.T, s *session, stdin string, args []string) string {
	t.Helper()
	before := s.dump()
	got := s.run(t.Context(), stdin, args...)
	if got.code != 0 {
		require.NotEmpty(t, got.stderr)
	}
	for line := range strings.Lines(got.stderr) {
		require.True(t, strings.HasPrefix(line, "quickstart: "), line)
	}
	if strings.Contains(got.stderr, errUnchanged.Error()) {
		require.Equal(t, 1, got.code)
		require.Empty(t, got.stdout)
		require.Equal(t, before, s.dump())
	} else {
		require.Equal(t, before == s.dump(), strings.Contains(got.stdout, " 0 operations, "))
	}
	return s.host.IPVS.Dump()
}
