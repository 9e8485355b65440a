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
//	args                      more of the command line
//	dump                      standard input
//	stderr                    what is wrong, on the fresh host
//	fresh                     its virtual servers after it
//	stderr after good.yaml    what is wrong, on the other
//	after good.yaml           its virtual servers
func TestFaults(t *testing.T) {
	good, err := os.ReadFile("testdata/good.yaml")
	require.NoError(t, err)
	files, err := filepath.Glob("testdata/bad/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			require.NoError(t, err)
			var dump string
			args := []string{"-f", "-"}
			got := make(map[string]string)
			for _, f := range archive.Files {
				switch f.Name {
				case "args":
					args = append(args, strings.Fields(string(f.Data))...)
				case "dump":
					dump = string(f.Data)
				}
			}
			fresh, used := newSession(t), newSession(t)
			applied := used.run(t.Context(), string(good), "-f", "-")
			require.Zero(t, applied.code, applied.stderr)
			got["stderr"] = runBad(t, fresh, dump, args)
			got["fresh"] = fresh.host.IPVS.Dump()
			got["stderr after good.yaml"] = runBad(t, used, dump, args)
			got["after good.yaml"] = used.host.IPVS.Dump()
			for i := range archive.Files {
				f := &archive.Files[i]
				if text, ok := got[f.Name]; ok && *update {
					f.Data = []byte(text)
				} else if ok {
					require.Equal(t, string(f.Data), text, f.Name)
				}
				delete(got, f.Name)
			}
			require.Empty(t, got, "sections are missing")
			if *update {
				require.NoError(t, os.WriteFile(file, txtar.Format(archive), 0o644))
			}
		})
	}
}

// runBad runs the program and returns what it says is wrong. If it says that
// nothing was changed, nothing is.
func runBad(t *testing.T, s *session, stdin string, args []string) string {
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
	return got.stderr
}
