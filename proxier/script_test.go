package proxier_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/proxier"
)

var update = flag.Bool("update", false, "rewrite the expectations of testdata/*.txtar")

// scripts are the scenarios: files of sections that run in order.
//
//	config    a proxier.Config as JSON; the proxier is made anew, as after a restart
//	host      what somebody else has set up: its files follow as host/ipvsadm, host/ipset, …
//	services  what is wanted from now on; it is planned, and then applied
//	upsert    services to add or change; others stay
//	delete    names of services to remove, a line each; others stay
//	fault     writes that fail from now on: a line each, text that they contain; none: no fault
//
// and, after services, what must have come of it:
//
//	plan      the plan before it was applied
//	report    the report, and the error
//	dump      the host
func scripts(t *testing.T) []string {
	var files []string
	t.Helper()
	for _, pattern := range []string{"testdata/*.txtar", "testdata/faults/*.txtar"} {
		f, err := filepath.Glob(pattern)
		require.NoError(t, err)
		files = append(files, f...)
	}
	require.NotEmpty(t, files)
	return files
}

func TestScripts(t *testing.T) {
	for _, file := range scripts(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			host := kerneltest.New()
			s := script{kernel: host.Kernel(), load: func(tool, text string) error {
				return host.Load("-- " + tool + " --\n" + text)
			}}
			s.run(t, file, *update)
		})
	}
}

// script runs one scenario on a kernel.
type script struct {
	kernel proxier.Kernel
	load   func(tool, text string) error

	recorder *kerneltest.Recorder
	config   proxier.Config
	proxier  *proxier.Proxier
	plan     string
	report   string
}

func (s *script) run(t *testing.T, file string, rewrite bool) {
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	archive := txtar.Parse(data)
	s.recorder = kerneltest.Record(s.kernel)
	s.restart(t)
	for i := range archive.Files {
		f := &archive.Files[i]
		name, _, _ := strings.Cut(f.Name, ":") // "services: the endpoint leaves"
		got, expected := s.section(t, name, string(f.Data))
		switch {
		case !expected:
		case rewrite:
			f.Data = []byte(got)
		default:
			require.Equal(t, string(f.Data), got, "section %d, %s", i+1, f.Name)
		}
	}
	if rewrite && !bytes.Equal(txtar.Format(archive), data) {
		require.NoError(t, os.WriteFile(file, txtar.Format(archive), 0o644))
	}
}

// section runs one section. With expected, got is what the section must hold.
func (s *script) section(t *testing.T, name, text string) (got string, expected bool) {
	switch name {
	case "config":
		s.config = proxier.Config{}
		require.NoError(t, json.Unmarshal([]byte(text), &s.config))
		s.restart(t)
	case "fault":
		s.recorder.Fault = faultOn(text)
	case "services":
		s.apply(t, text)
	case "upsert":
		services, err := proxier.ParseServices(text)
		require.NoError(t, err)
		s.change(t, proxier.Changes{Upsert: services})
	case "delete":
		s.change(t, proxier.Changes{Delete: strings.Fields(text)})
	case "plan":
		return s.plan, true
	case "report":
		return s.report, true
	case "dump":
		link := s.config.Link
		if link == "" {
			link = "vipkit0"
		}
		dump, err := kerneltest.Dump(t.Context(), s.kernel, link)
		require.NoError(t, err)
		return indent(dump), true
	default:
		tool, ok := strings.CutPrefix(name, "host/")
		require.True(t, ok, "unknown section %q", name)
		require.NoError(t, s.load(tool, text))
	}
	return "", false
}

// restart makes a proxier that knows nothing of the kernel.
func (s *script) restart(t *testing.T) {
	var err error
	s.proxier, err = proxier.New(s.recorder.Kernel(), &s.config)
	require.NoError(t, err)
}

// apply plans and applies services. The plan must be what is then written
// (P10), and a second time nothing must be left to do (P2).
func (s *script) apply(t *testing.T, text string) {
	services, err := proxier.ParseServices(text)
	require.NoError(t, err)
	plan, err := s.proxier.Plan(t.Context(), services)
	require.NoError(t, err)
	s.plan = plan.String()

	s.recorder.Reset()
	report, err := s.proxier.ApplyServices(t.Context(), services)
	s.reported(report, err)
	if len(report.Failed) > len(plan.Refused) {
		return // writes failed: the trace is shorter, and something is left to do
	}
	require.Equal(t, withoutFlows(s.plan), withoutFlows(strings.Join(s.recorder.Writes(), "\n")), "the plan is the trace")
	again, err := s.proxier.Plan(t.Context(), services)
	require.NoError(t, err)
	require.Empty(t, again.String(), "nothing is left to do")
	s.restart(t)
	again, err = s.proxier.Plan(t.Context(), services)
	require.NoError(t, err)
	require.Empty(t, again.String(), "nothing is left to do after a restart")
}

// change applies changes; its plan is what was written.
func (s *script) change(t *testing.T, c proxier.Changes) {
	s.recorder.Reset()
	report, err := s.proxier.Apply(t.Context(), c)
	s.reported(report, err)
	s.plan = ""
	for _, w := range s.recorder.Writes() {
		s.plan += w + "\n"
	}
	s.recorder.Reset()
	_, again := s.proxier.Apply(t.Context(), c)
	require.Equal(t, fmt.Sprint(err), fmt.Sprint(again))
	require.Empty(t, s.recorder.Writes(), "nothing is left to do")
}

func (s *script) reported(r proxier.Report, err error) {
	s.report = r.String()
	if err != nil {
		s.report += fmt.Sprintf("error: %v\n", err)
	}
}

// withoutFlows drops the lines of conntrack, of which several are one write, and
// what tells a restore's lines from a plan's.
func withoutFlows(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(text)) {
		if !strings.HasPrefix(line, "conntrack") {
			b.WriteString(strings.TrimSpace(line) + "\n")
		}
	}
	return b.String()
}

// indent sets a dump, which is a txtar archive itself, off from the script's
// own sections.
func indent(dump string) string {
	var b strings.Builder
	for line := range strings.Lines(dump) {
		b.WriteString("  " + line)
	}
	return b.String()
}

// errInjected is what a faulty write fails with.
var errInjected = errors.New("injected")

func faultOn(text string) func(int, string) kerneltest.Fault {
	var parts []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			parts = append(parts, line)
		}
	}
	if len(parts) == 0 {
		return nil
	}
	return func(_ int, write string) kerneltest.Fault {
		for _, p := range parts {
			if strings.Contains(write, p) {
				return kerneltest.Fault{Before: errInjected}
			}
		}
		return kerneltest.Fault{}
	}
}
