package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/proxier"
)

// ipvsWithout is a kernel's IPVS that cannot be read.
type ipvsWithout struct {
	ipvs.Client
	err error
}

func (c ipvsWithout) Info(context.Context) (ipvs.Info, error) { return ipvs.Info{}, c.err }

const (
	root       = "quickstart: to get the privilege: run it as root (sudo); in a container or user namespace it needs the host's CAP_NET_ADMIN\n"
	unchanged  = "quickstart: nothing was changed\n"
	getIPVS    = "quickstart: to get IPVS: modprobe ip_vs (a kernel without it: on Debian, install linux-image-amd64)\n"
	getIPSet   = "quickstart: to get IP sets: modprobe ip_set (a kernel without it: on Debian, install linux-image-amd64)\n"
	getDummy   = "quickstart: to get dummy links: modprobe dummy (a kernel without it: on Debian, install linux-image-amd64)\n"
	getTools   = "quickstart: to get iptables and ip6tables: install the package iptables, and have them in PATH\n"
	getModules = "quickstart: to get what iptables needs: modprobe -a xt_set xt_mark xt_addrtype xt_conntrack (on Debian, of linux-image-amd64)\n"
)

// TestUnreadable says what is missing, once, and how to get it.
func TestUnreadable(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{
			&vipkit.OpError{Op: "ipvs info", Kind: errors.ErrUnsupported, Detail: "needs the module ip_vs"},
			"quickstart: ipvs info: unsupported operation (needs the module ip_vs)\n" + getIPVS,
		},
		{
			&vipkit.OpError{Op: "ipvs info", Kind: fs.ErrPermission},
			"quickstart: ipvs info: permission denied\n" + root,
		},
	} {
		for _, args := range [][]string{{"-kernel"}, {"-kernel", "-remove"}} {
			s := newSession(t)
			s.kernel.IPVS = ipvsWithout{s.kernel.IPVS, tt.err}
			before := s.dump()
			require.Equal(t, result{1, "", tt.want + unchanged}, s.run(t.Context(), "", args...))
			require.Equal(t, before, s.dump())
		}
	}
}

// TestNotOpened names everything at once, and each remedy once.
func TestNotOpened(t *testing.T) {
	denied := errors.Join(
		&vipkit.OpError{Op: "ipvs open", Kind: fs.ErrPermission},
		&vipkit.OpError{Op: "iptables info", Kind: errors.ErrUnsupported, Detail: "no program iptables"},
		&vipkit.OpError{Op: "ipset open", Kind: fs.ErrPermission})
	open := func(bool) (proxier.Kernel, func() error, error) { return proxier.Kernel{}, nil, denied }
	var stdout, stderr strings.Builder
	require.Equal(t, 1, run(t.Context(), []string{"-kernel"}, open, nil, &stdout, &stderr))
	require.Empty(t, stdout.String())
	require.Equal(t, `quickstart: ipvs open: permission denied
quickstart: iptables info: unsupported operation (no program iptables)
quickstart: ipset open: permission denied
`+root+getTools+unchanged, stderr.String())
}

// TestRefusedWrite is about what shows only when something is written: the host
// is as it was, kernel parameters included.
func TestRefusedWrite(t *testing.T) {
	for _, tt := range []struct {
		write string
		err   error
		want  string
	}{
		{
			"ip link add",
			&vipkit.OpError{Op: "dummy create link", Object: "ip link add vipkit0 type dummy", Kind: errors.ErrUnsupported, Detail: "module dummy"},
			"quickstart: apply: create link: dummy create link ip link add vipkit0 type dummy: unsupported operation (module dummy)\n" + getDummy,
		},
		{
			"iptables",
			&vipkit.OpError{Op: "iptables restore", Kind: errors.ErrUnsupported, Detail: "match set"},
			"quickstart: apply: write rules: iptables restore: unsupported operation (match set)\n" + getModules,
		},
	} {
		s := newSession(t)
		rec := kerneltest.Record(s.kernel)
		rec.Fault = func(_ int, write string) kerneltest.Fault {
			if strings.Contains(write, tt.write) {
				return kerneltest.Fault{Before: tt.err}
			}
			return kerneltest.Fault{}
		}
		s.kernel = rec.Kernel()
		before := s.dump()
		require.Equal(t, result{1, "", tt.want + unchanged}, s.run(t.Context(), "", "-kernel"))
		require.Equal(t, before, s.dump())
	}
}

// TestSysctlRefused is about a container whose /proc/sys cannot be written to.
func TestSysctlRefused(t *testing.T) {
	s := newSession(t)
	s.host.Sysctl.Before = func(op, name string) error {
		if op == "set" && strings.HasPrefix(name, "net.ipv4.vs.expire") {
			return &vipkit.OpError{Op: "sysctl set", Object: name, Kind: fs.ErrPermission}
		}
		return nil
	}
	before := s.dump()
	got := s.run(t.Context(), "", "-kernel")
	require.Equal(t, result{1, "", `quickstart: set net.ipv4.vs.expire_nodest_conn=1: sysctl set net.ipv4.vs.expire_nodest_conn: permission denied
quickstart: set net.ipv4.vs.expire_quiescent_template=1: sysctl set net.ipv4.vs.expire_quiescent_template: permission denied
` + root + unchanged}, got)
	require.Equal(t, before, s.dump())
}

// TestInterrupt ends a run before each of its writes in turn: the first on a
// host, and one that moves every service to another address. The run says what
// is left, and the next one finishes.
func TestInterrupt(t *testing.T) {
	data, err := os.ReadFile("testdata/good.yaml")
	require.NoError(t, err)
	good := string(data)
	moved := strings.ReplaceAll(good, "10.96.", "10.97.")
	apply := func(s *session, dump string) {
		got := s.run(t.Context(), dump, "-f", "-")
		require.Zero(t, got.code, got.stderr)
	}
	s := newSession(t)
	apply(s, moved)
	finished := s.dump()

	interrupted := false
	interrupt := func(s *session, n int) result {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		rec := kerneltest.Record(s.host.Kernel())
		rec.Fault = func(i int, _ string) kerneltest.Fault {
			if i == n {
				interrupted = true
				cancel()
			}
			return kerneltest.Fault{}
		}
		s.kernel = rec.Kernel()
		defer func() { s.kernel = s.host.Kernel() }()
		return s.run(ctx, moved, "-f", "-", "-kernel")
	}
	// ended checks what a run has left behind, and that the next one finishes.
	ended := func(s *session, n int, got result, before string) {
		switch {
		case got.code == 0:
		case strings.HasSuffix(got.stderr, unchanged):
			require.Equal(t, before, s.dump(), "write %d", n)
		default:
			lines := slices.Collect(strings.Lines(got.stdout))
			require.Regexp(t, `^stopped, \d+ operations are left: run it again to finish, or with -remove to undo\n$`, lines[len(lines)-1])
			require.Contains(t, got.stderr, "context canceled")
		}
		if got.code != 0 {
			apply(s, moved)
		}
		require.Equal(t, finished, s.dump(), "write %d", n)
	}
	for n := range 1000 {
		interrupted = false
		fresh := newSession(t)
		before := fresh.dump()
		ended(fresh, n, interrupt(fresh, n), before)
		used := newSession(t)
		apply(used, good)
		before = used.dump()
		ended(used, n, interrupt(used, n), before)
		if !interrupted {
			return
		}
	}
	t.Fatal("the writes do not end")
}
