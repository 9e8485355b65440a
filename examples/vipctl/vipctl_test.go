package main

import (
	"bytes"
	"context"
	"encoding"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/vipkit/vipkit/examples/internal/clusterdump"
	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/kerneltest/oracle"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

var update = flag.Bool("update", false, "rewrite testdata/*.txtar")

// small is the dump that the quickstart has built in.
const small = "../quickstart/cluster-small.yaml"

// TestScripts runs the command lines of each testdata/*.txtar. A file has
//
//	NAME        a dump, beside cluster-small.yaml in the working directory
//	stdin       standard input
//	$ vipctl …  a command line; what it prints, then each line of standard error
//	            after "stderr: ", then the exit status if it is not 0
func TestScripts(t *testing.T) {
	sample, err := os.ReadFile(small)
	require.NoError(t, err)
	files, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			path, err := filepath.Abs(file)
			require.NoError(t, err)
			archive, err := txtar.ParseFile(path)
			require.NoError(t, err)
			t.Chdir(t.TempDir())
			require.NoError(t, os.WriteFile("cluster-small.yaml", sample, 0o644))
			var stdin string
			ran := 0
			for i := range archive.Files {
				f := &archive.Files[i]
				line, command := strings.CutPrefix(f.Name, "$ vipctl")
				switch {
				case command:
					got := script(t, stdin, strings.Fields(line))
					if ran++; ran == 1 {
						require.Equal(t, got, script(t, stdin, strings.Fields(line)), "the same bytes every time")
					}
					if *update {
						f.Data = []byte(got)
					}
					require.Equal(t, string(f.Data), got, f.Name)
				case f.Name == "stdin":
					stdin = string(f.Data)
				default:
					require.NoError(t, os.WriteFile(f.Name, f.Data, 0o644))
				}
			}
			require.NotZero(t, ran)
			if *update {
				require.NoError(t, os.WriteFile(path, txtar.Format(archive), 0o644))
			}
		})
	}
}

// script runs a command line, and returns all that can be seen of it.
func script(t *testing.T, stdin string, args []string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(stdin), &stdout, &stderr)
	require.Equal(t, code != 0, stderr.Len() > 0, "%d: %s", code, &stderr)
	for line := range strings.Lines(stderr.String()) {
		require.True(t, strings.HasPrefix(line, "vipctl"), line)
		fmt.Fprintf(&stdout, "stderr: %s", line)
	}
	if code != 0 {
		fmt.Fprintf(&stdout, "exit %d\n", code)
	}
	return stdout.String()
}

// TestEveryFrontend traces packets of everybody to every frontend, from the view
// of every node: what the list says and what the trace says agree, and no answer
// is lost on the way that a dump's network is taken to be.
func TestEveryFrontend(t *testing.T) {
	for _, node := range []string{"node-a", "node-b", "node-c"} {
		cluster, err := clusterdump.Source{Files: []string{small}, Node: node}.Load()
		require.NoError(t, err)
		h, err := program(t.Context(), cluster)
		require.NoError(t, err)
		frontends, err := h.frontends(t.Context())
		require.NoError(t, err)
		require.NotEmpty(t, frontends)
		around := h.around()
		s, err := oracle.Read(t.Context(), h.kernel, h.link, around.Network)
		require.NoError(t, err)
		for _, f := range frontends {
			to := target{netip.AddrPortFrom(f.Address, f.Port), f.Protocol}
			for _, o := range []traceOptions{{pod: true, to: to}, {host: true, to: to}, {outside: true, to: to}} {
				p, from, err := o.packet(h, around)
				require.NoError(t, err)
				verdicts, err := s.Trace(p)
				require.NoError(t, err)
				require.NotNil(t, h.frontend(p))
				want, used := f.Inside, func(e endpoint) bool { return e.Inside }
				if from == "outside" {
					want, used = f.Outside, func(e endpoint) bool { return e.Outside }
				}
				var endpoints []string
				for _, e := range f.Endpoints {
					if used(e) {
						endpoints = append(endpoints, netip.AddrPortFrom(e.Address, e.Port).String())
					}
				}
				var reached []string
				for _, v := range verdicts {
					if from == "host" && len(f.SourceRanges) > 0 { // ranges admit pods of the sample, and not the node
						require.Equal(t, oracle.Dropped, v.Outcome)
						reached = endpoints
						continue
					}
					require.Equal(t, want, v.Outcome.String(), "%v %v", node, p)
					require.Empty(t, v.Unanswered, "%v %v", node, p)
					if v.Outcome == oracle.ToEndpoint {
						reached = append(reached, v.To.String())
					}
				}
				require.Equal(t, endpoints, reached, "%v %v from %s", node, p, from)
			}
		}
	}
}

// TestShape looks for each field of the JSON in the package's documentation.
func TestShape(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	seen := 0
	var look func(reflect.Type)
	look = func(v reflect.Type) {
		switch v.Kind() {
		case reflect.Pointer, reflect.Slice:
			look(v.Elem())
		case reflect.Struct:
			if reflect.PointerTo(v).Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
				return
			}
			for f := range v.Fields() {
				name := f.Tag.Get("json")
				require.Regexp(t, `^[a-z][A-Za-z]*$`, name, "%v.%s: always there, by a name of its own", v, f.Name)
				require.Regexp(t, `\b`+name+`\b`, string(doc), "%v.%s", v, f.Name)
				seen++
				look(f.Type)
			}
		default:
		}
	}
	for _, v := range []any{planned{}, listed{}, traced{}} {
		look(reflect.TypeOf(v))
	}
	require.Greater(t, seen, 40)
}

// errWriter is a reader of our output who has gone away.
type errWriter struct{ err error }

func (w errWriter) Write([]byte) (int, error) { return 0, w.err }

func TestOutputFails(t *testing.T) {
	var stderr bytes.Buffer
	full := errWriter{errors.New("no space left on device")}
	require.Equal(t, 1, run(t.Context(), []string{"list", "-f", small}, nil, full, &stderr))
	require.Equal(t, "vipctl list: no space left on device\n", stderr.String())
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range [][]string{{"plan"}, {"list"}, {"trace", "--from-host", "--to", "10.96.0.1:443/tcp"}} {
		var stdout, stderr bytes.Buffer
		code := run(ctx, append(args, "-f", small), nil, &stdout, &stderr)
		require.Equal(t, 1, code)
		require.Empty(t, stdout.String())
		require.Contains(t, stderr.String(), "context canceled")
	}
}
