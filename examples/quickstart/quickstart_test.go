package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/proxier"
)

var update = flag.Bool("update", false, "rewrite testdata/*.golden")

// result is what a run of the program left behind.
type result struct {
	code           int
	stdout, stderr string
}

// booted are the kernel parameters that the program sets, on a host that has just
// booted.
const booted = `net.ipv4.ip_forward = 0
net.ipv4.vs.conntrack = 0
net.ipv4.vs.expire_nodest_conn = 0
net.ipv4.vs.expire_quiescent_template = 0
net.ipv6.conf.all.forwarding = 0
`

// session runs the program several times on one host.
type session struct {
	host   *kerneltest.Host
	kernel proxier.Kernel
	// opened counts how often a run has opened the kernel.
	opened int
}

func newSession(t *testing.T) *session {
	t.Helper()
	host := kerneltest.New()
	return &session{host: host, kernel: host.Kernel()}
}

func (s *session) run(ctx context.Context, stdin string, args ...string) result {
	var stdout, stderr bytes.Buffer
	open := func(bool) (proxier.Kernel, func() error, error) {
		s.opened++
		return s.kernel, func() error { return nil }, nil
	}
	code := run(ctx, args, open, strings.NewReader(stdin), &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// dump returns everything that a run can change.
func (s *session) dump() string { return s.host.Dump(link) + s.host.Sysctl.Dump() }

func TestGolden(t *testing.T) {
	for _, node := range []string{"node-a", "node-b", "node-c"} {
		t.Run(node, func(t *testing.T) {
			got := newSession(t).run(t.Context(), "", "-node", node)
			require.Equal(t, result{stdout: got.stdout}, got)
			file := filepath.Join("testdata", node+".golden")
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got.stdout), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(want), got.stdout)
			require.Equal(t, got, newSession(t).run(t.Context(), "", "-node", node), "the same bytes every time")
		})
	}
}

// TestSections looks for what an operator looks for, in this order.
func TestSections(t *testing.T) {
	got := newSession(t).run(t.Context(), "")
	require.Empty(t, got.stderr)
	require.Zero(t, got.code)
	rest := got.stdout
	for _, part := range []string{
		"# ipvsadm -Ln\n",
		"\nTCP  10.96.0.1:443 rr\n  -> 192.168.50.10:6443           Masq    1      0          0         \n",
		"\nTCP  10.96.0.10:53 rr\n  -> 10.244.0.10:53               Masq",
		"\nUDP  10.96.0.10:53 rr\n  -> 10.244.0.10:53               Masq",
		"\n# ipset save\n", "\nadd VIPKIT-LEDGER-4 10.96.0.10,udp:53 comment \"kube-system/kube-dns:dns\"\n",
		"\n# iptables-save\n", "\n-A PREROUTING -j VIPKIT-SERVICES\n",
		"\n# ip6tables-save\n", "\n-A PREROUTING -j VIPKIT-SERVICES\n",
		"\n# ip -o addr show dev vipkit0\n", "\nvipkit0    inet 10.96.0.10/32 scope global",
		"\n# report\nnode node-a of node-a, node-b, node-c\n",
		"\n21 services programmed, 0 failed, ",
	} {
		at := strings.Index(rest, part)
		require.GreaterOrEqual(t, at, 0, "%q is not in what follows", part)
		rest = rest[at:]
	}
}

func TestAgainAndRemove(t *testing.T) {
	s := newSession(t)
	clean := s.host.Dump(link)
	first := s.run(t.Context(), "")
	require.Zero(t, first.code, first.stderr)
	programmed := s.dump()

	again := s.run(t.Context(), string(sample), "-f", "-")
	require.Zero(t, again.code, again.stderr)
	require.Contains(t, again.stdout, "\n21 services programmed, 0 failed, 0 operations, ")
	require.NotContains(t, again.stdout, "sysctl -w")
	require.Equal(t, programmed, s.dump())

	// Nothing is read to remove: a dump that is gone is no obstacle.
	removed := s.run(t.Context(), "", "-remove", "-f", "testdata/absent.yaml")
	require.Zero(t, removed.code, removed.stderr)
	require.Equal(t, clean, s.host.Dump(link))
	require.Contains(t, removed.stdout, "# ip -o addr show dev vipkit0\nDevice \"vipkit0\" does not exist.\n")

	nothing := newSession(t).run(t.Context(), "", "-remove")
	require.Zero(t, nothing.code, nothing.stderr)
	require.Contains(t, nothing.stdout, "0 services programmed, 0 failed, 0 operations, ")
}

func TestCommandLine(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"-h"}, 0, usage},
		{[]string{"-x"}, 2, "flag provided but not defined: -x\n" + usage},
		{[]string{"-f"}, 2, "flag needs an argument: -f\n" + usage},
		{[]string{"-kernel=maybe"}, 2, "invalid boolean value \"maybe\" for -kernel: parse error\n" + usage},
		{[]string{"dump.yaml"}, 2, "unexpected argument \"dump.yaml\": a dump is given with -f\n" + usage},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			s := newSession(t)
			got := s.run(t.Context(), "", tt.args...)
			require.Equal(t, tt.code, got.code)
			require.Empty(t, got.stdout)
			require.True(t, strings.HasPrefix(got.stderr, tt.says), got.stderr)
			require.Contains(t, got.stderr, "  -remove\n")
			require.Zero(t, s.opened)
		})
	}
}

// errWriter is a reader of our output who has gone away.
type errWriter struct{ err error }

func (w errWriter) Write([]byte) (int, error) { return 0, w.err }

func TestOutputFails(t *testing.T) {
	s := newSession(t)
	var stderr bytes.Buffer
	open := func(bool) (proxier.Kernel, func() error, error) {
		return s.kernel, func() error { return nil }, nil
	}
	code := run(t.Context(), nil, open, nil, errWriter{errors.New("no space left on device")}, &stderr)
	require.Equal(t, 1, code)
	require.Equal(t, "quickstart: no space left on device\n", stderr.String())
	require.Contains(t, s.dump(), "10.96.0.10:53", "the work is done all the same")
}
