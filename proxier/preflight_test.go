package proxier_test

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/iptables"
	"github.com/vipkit/vipkit/iptables/iptablestest"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/probe"
	"github.com/vipkit/vipkit/proxier"
)

const preflightServices = `
service web tcp
  frontend ClusterIP 10.96.0.1:80
  frontend ClusterIP [fd00:10:96::1]:80
  frontend NodePort 0.0.0.0:30080
  endpoint 10.244.0.11:8080 local
  endpoint [fd00:244::11]:8080 local
`

// preflight asks a host in memory about services of both families.
func preflight(t *testing.T, kernel proxier.Kernel, config *proxier.Config, services string) (*proxier.Proxier, proxier.Preflight) {
	t.Helper()
	all, err := proxier.ParseServices(services)
	require.NoError(t, err)
	p, err := proxier.New(kernel, config)
	require.NoError(t, err)
	return p, p.Preflight(t.Context(), all)
}

// TestPreflightReport is what a person reads, of a fresh host and of one where much
// is wrong.
func TestPreflightReport(t *testing.T) {
	fresh := kerneltest.New()
	bad := kerneltest.New()
	bad.IPVS.Schedulers = []string{"rr"}
	bad.IPSet.Lacks = func(typ ipset.Type) bool { return typ == ipset.HashIPPortNet }
	bad.IPTables.Tool = iptables.Info{Version: [3]int{1, 6, 1}, Backend: "legacy"}
	require.NoError(t, bad.IPTables.Load(vipkit.IPv4, `*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
`))
	require.NoError(t, bad.Sysctl.Load(`net.ipv4.vs.conntrack = 1
net.ipv4.conf.all.arp_ignore = 2
net.ipv4.conf.all.rp_filter = 1
net.ipv6.conf.all.disable_ipv6 = 1
`))
	bad.Dummy.SetHostAddress(dummy.HostAddress{HostKey: dummy.HostKey{Prefix: netip.MustParsePrefix("192.0.2.1/24"), Index: 2}, Link: "eth0"})
	config := proxier.Config{
		Scheduler: "mh", RandomFully: true,
		NodeAddresses: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.9")},
		Tuning: proxier.Tuning{
			Timeouts: ipvs.Timeouts{UDP: 30 * time.Second}, StrictARP: true,
			Sysctls: map[string]string{"net.netfilter.nf_conntrack_max": "131072", "net.netfilter.nf_conntrack_udp_timeout": ""},
		},
	}
	for name, one := range map[string]struct {
		host   *kerneltest.Host
		config *proxier.Config
	}{"fresh": {fresh, nil}, "bad": {bad, &config}} {
		before := one.host.Dump("vipkit0") + one.host.Sysctl.Dump()
		_, pre := preflight(t, one.host.Kernel(), one.config, preflightServices)
		require.Equal(t, before, one.host.Dump("vipkit0")+one.host.Sysctl.Dump(), "nothing is written")
		file := filepath.Join("testdata", "preflight", name+".golden")
		if *update {
			require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
			require.NoError(t, os.WriteFile(file, []byte(pre.String()), 0o644))
		}
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(want), pre.String())
	}
}

// TestPreflightMissing takes one thing away at a time.
func TestPreflightMissing(t *testing.T) {
	lacking := func(f probe.Facility) func(*kerneltest.Host) {
		return func(h *kerneltest.Host) { h.Probe.Lacks = func(g probe.Facility) bool { return f == g } }
	}
	for name, tt := range map[string]struct {
		take func(*kerneltest.Host)
		want string
	}{
		"nothing":      {func(*kerneltest.Host) {}, ""},
		"scheduler":    {func(h *kerneltest.Host) { h.IPVS.Schedulers = []string{"wrr"} }, "module ip_vs_rr, option CONFIG_IP_VS_RR"},
		"set type":     {lacking(probe.Facility{Kind: probe.SetType, Name: "hash:ip,port,ip", Family: vipkit.IPv6}), "module ip_set_hash_ipportip, option CONFIG_IP_SET_HASH_IPPORTIP"},
		"match":        {lacking(probe.Facility{Kind: probe.Match, Name: "addrtype", Family: vipkit.IPv4}), "module xt_addrtype, option CONFIG_NETFILTER_XT_MATCH_ADDRTYPE"},
		"match set":    {lacking(probe.Facility{Kind: probe.Match, Name: "set", Family: vipkit.IPv6}), "module xt_set, option CONFIG_NETFILTER_XT_SET"},
		"target":       {lacking(probe.Facility{Kind: probe.Target, Name: "MASQUERADE", Family: vipkit.IPv4}), "module xt_MASQUERADE, option CONFIG_NETFILTER_XT_TARGET_MASQUERADE"},
		"target SET":   {lacking(probe.Facility{Kind: probe.Target, Name: "SET", Family: vipkit.IPv4}), "module xt_set"},
		"reject":       {lacking(probe.Facility{Kind: probe.Target, Name: "REJECT", Family: vipkit.IPv6}), "module ip6t_REJECT, option CONFIG_IP6_NF_TARGET_REJECT"},
		"dummy":        {lacking(probe.Facility{Kind: probe.LinkKind, Name: "dummy"}), "module dummy, option CONFIG_DUMMY"},
		"ipv6 of ipvs": {lacking(probe.Facility{Kind: probe.IPVS, Family: vipkit.IPv6}), "CONFIG_IP_VS_IPV6"},
		"ipv6": {func(h *kerneltest.Host) {
			h.Sysctl.Before = absent("net.ipv6.conf.all.disable_ipv6")
		}, "CONFIG_IPV6"},
		"ipv6 disabled": {func(h *kerneltest.Host) {
			require.NoError(t, h.Sysctl.Load("net.ipv6.conf.default.disable_ipv6 = 1"))
		}, "it is disabled: net.ipv6.conf.default.disable_ipv6 = 1"},
		"conntrack of ipvs": {func(h *kerneltest.Host) { h.Sysctl.Before = absent("net.ipv4.vs.conntrack") }, "CONFIG_IP_VS_NFCT"},
		"tool": {func(h *kerneltest.Host) {
			h.IPTables.Before = func(c iptablestest.Call) error {
				if c.Family == vipkit.IPv6 {
					return &vipkit.OpError{Op: "iptables info", Kind: errors.ErrUnsupported, Detail: "no program ip6tables"}
				}
				return nil
			}
		}, "no program ip6tables"},
	} {
		t.Run(name, func(t *testing.T) {
			host := kerneltest.New()
			tt.take(host)
			_, pre := preflight(t, host.Kernel(), nil, preflightServices)
			if tt.want == "" {
				require.NoError(t, pre.Err())
				return
			}
			require.Len(t, pre.Missing, 1)
			require.ErrorIs(t, pre.Err(), errors.ErrUnsupported)
			require.ErrorContains(t, pre.Err(), tt.want)
			require.ErrorContains(t, pre.Verify(), tt.want)
		})
	}
}

// absent makes a fake's parameter one that is not there.
func absent(name string) func(op, n string) error {
	return func(op, n string) error {
		if n == name {
			return &vipkit.OpError{Op: "sysctl " + op, Object: n, Kind: fs.ErrNotExist}
		}
		return nil
	}
}

// TestPreflightP7Schedulers asks after the schedulers that services get, and no
// others.
func TestPreflightP7Schedulers(t *testing.T) {
	host := kerneltest.New()
	host.IPVS.Schedulers = []string{"rr"}
	_, pre := preflight(t, host.Kernel(), nil, `
service a tcp
  frontend ClusterIP 10.96.0.1:80
  scheduler wlc
  endpoint 10.244.0.11:8080
service refused tcp
  frontend ClusterIP 10.96.0.2:80
  scheduler lblc
  affinity 1ns
service b tcp
  frontend LoadBalancerIP 203.0.113.1:80
  external Local
  affinity 3h
  endpoint 10.244.0.11:8080 local
`)
	require.Len(t, pre.Missing, 2)
	require.ErrorContains(t, pre.Missing[0], "scheduler sh: ")
	require.ErrorContains(t, pre.Missing[1], "scheduler wlc: ")
}

// TestPreflightDenied names a missing privilege once for what is probed, and a
// kernel that cannot be asked is none that lacks something.
func TestPreflightDenied(t *testing.T) {
	host := kerneltest.New()
	host.Probe.Fail = func(probe.Facility) error { return fs.ErrPermission }
	_, pre := preflight(t, host.Kernel(), nil, preflightServices)
	require.Len(t, pre.Missing, 1)
	require.ErrorIs(t, pre.Err(), fs.ErrPermission)

	host.Probe.Fail = func(f probe.Facility) error {
		if f.Kind == probe.LinkKind {
			return errors.New("no answer")
		}
		return nil
	}
	_, pre = preflight(t, host.Kernel(), nil, preflightServices)
	require.NoError(t, pre.Err())
	require.Equal(t, []string{"whether the kernel has it cannot be told: probe link kind dummy: no answer"}, pre.Warnings)

	p, err := proxier.New(host.Kernel(), nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	pre = p.Preflight(ctx, nil)
	require.Len(t, pre.Missing, 1)
	require.ErrorIs(t, pre.Err(), context.Canceled)
}

// TestPreflightSet verifies, applies, verifies and restores.
func TestPreflightSet(t *testing.T) {
	host := kerneltest.New()
	require.NoError(t, host.IPVS.SetTimeouts(t.Context(), ipvs.Timeouts{TCP: time.Hour}))
	before := host.Sysctl.Dump()
	config := &proxier.Config{Tuning: proxier.Tuning{
		Timeouts:  ipvs.Timeouts{TCP: time.Minute, UDP: 30 * time.Second},
		StrictARP: true,
		Sysctls:   map[string]string{"net.netfilter.nf_conntrack_max": "131072", "net.ipv4.vs.conn_reuse_mode": "0"},
	}}
	p, pre := preflight(t, host.Kernel(), config, preflightServices)
	require.NoError(t, pre.Err())
	require.ErrorContains(t, pre.Verify(), "net.ipv4.vs.conntrack = 0, want 1: source NAT does not see IPVS's connections")
	require.ErrorContains(t, pre.Verify(), "net.ipv4.ip_forward = 0, want 1")
	require.NotContains(t, pre.Verify().Error(), "arp", "advised only")
	require.False(t, pre.Timeouts.Fine())
	wrong, timeouts := pre.Wrong(), pre.Timeouts
	require.NoError(t, p.SetSysctls(t.Context(), wrong))
	require.NoError(t, p.SetTimeouts(t.Context(), timeouts))

	_, pre = preflight(t, host.Kernel(), config, preflightServices)
	require.NoError(t, pre.Verify())
	require.Empty(t, pre.Wrong())
	require.True(t, pre.Timeouts.Fine())
	require.Equal(t, ipvs.Timeouts{TCP: time.Minute, TCPFin: 2 * time.Minute, UDP: 30 * time.Second}, pre.Timeouts.Have)

	require.NoError(t, p.SetSysctls(t.Context(), proxier.Previous(wrong)))
	require.NoError(t, p.SetTimeouts(t.Context(), timeouts.Previous()))
	require.Equal(t, before, host.Sysctl.Dump())
	now, err := host.IPVS.Timeouts(t.Context())
	require.NoError(t, err)
	require.Equal(t, ipvs.Timeouts{TCP: time.Hour, TCPFin: 2 * time.Minute, UDP: 5 * time.Minute}, now)
	require.NoError(t, p.SetTimeouts(t.Context(), proxier.Timeouts{}), "nothing wanted")
}

// TestPreflightD5D9X3 chooses by what the kernel does, as far as it can be told.
func TestPreflightD5D9X3(t *testing.T) {
	find := func(pre proxier.Preflight, name string) proxier.Sysctl {
		i := slices.IndexFunc(pre.Sysctls, func(s proxier.Sysctl) bool { return strings.HasSuffix(s.Name, "."+name) })
		if i < 0 {
			return proxier.Sysctl{}
		}
		return pre.Sysctls[i]
	}
	host := kerneltest.New()
	_, pre := preflight(t, host.Kernel(), nil, preflightServices)
	require.Equal(t, "1", find(pre, "expire_quiescent_template").Want)
	require.Equal(t, proxier.Advised, find(pre, "expire_quiescent_template").Need)
	require.Equal(t, proxier.Optional, find(pre, "arp_ignore").Need)
	require.NotContains(t, pre.Wrong(), find(pre, "arp_ignore"), "it is for the caller to ask for")

	for _, tt := range []struct{ parameters, have, want string }{
		{"kernel.osrelease = 4.18.0-vendor\nnet.ipv4.vs.run_estimation = 1", "1", "1"},
		{"kernel.osrelease = 5.9.0-rc1", "1", "1"},
		{"kernel.osrelease = 5.10.0-28-amd64", "0", "1"},
		{"kernel.osrelease = 5.8.18", "1", "0"},
		{"kernel.osrelease = 4.19.0", "0", "0"},
		{"kernel.osrelease = unknown", "1", ""},
	} {
		host := kerneltest.New()
		if !strings.Contains(tt.parameters, "run_estimation") {
			host.Sysctl.Before = absent("net.ipv4.vs.run_estimation")
		}
		require.NoError(t, host.Sysctl.Load(tt.parameters+"\nnet.ipv4.vs.conn_reuse_mode = "+tt.have))
		_, pre := preflight(t, host.Kernel(), nil, preflightServices)
		s := find(pre, "conn_reuse_mode")
		require.Equal(t, tt.want, s.Want, tt.parameters)
		require.Equal(t, tt.have == tt.want || tt.want == "", s.Fine(), tt.parameters)
		require.Equal(t, tt.want == "", len(pre.Warnings) == 1, pre.Warnings)
	}

	// A kernel before 4.1 has no such parameter.
	host = kerneltest.New()
	host.Sysctl.Before = absent("net.ipv4.vs.conn_reuse_mode")
	_, pre = preflight(t, host.Kernel(), nil, preflightServices)
	require.Zero(t, find(pre, "conn_reuse_mode"))
}

func TestSysctlFine(t *testing.T) {
	for _, tt := range []struct {
		s    proxier.Sysctl
		fine bool
	}{
		{proxier.Sysctl{}, true},
		{proxier.Sysctl{Want: "1", Have: "1"}, true},
		{proxier.Sysctl{Want: "1", Have: "0"}, false},
		{proxier.Sysctl{Want: "1", Have: "2"}, false},
		{proxier.Sysctl{Want: "1", UpTo: "2", Have: "2"}, true},
		{proxier.Sysctl{Want: "1", UpTo: "2", Have: "3"}, false},
		{proxier.Sysctl{Want: "1", UpTo: "2", Have: "0"}, false},
		{proxier.Sysctl{Want: "1", UpTo: "2", Have: "x"}, false},
		{proxier.Sysctl{Want: "1", Err: fs.ErrPermission}, false},
		{proxier.Sysctl{Want: "", Have: "7", Err: fs.ErrPermission}, true},
	} {
		require.Equal(t, tt.fine, tt.s.Fine(), "%+v", tt.s)
	}
	require.Equal(t, []proxier.Sysctl{{Name: "b", Want: "0", Have: "1"}, {Name: "a", Want: "7", Have: "9"}}, proxier.Previous([]proxier.Sysctl{
		{Name: "a", Want: "9", Have: "7"}, {Name: "c", Want: "1", Err: fs.ErrPermission}, {Name: "b", Want: "1", Have: "0", UpTo: "2"}, {Name: "d", Have: "1"},
	}))
}

func TestTuningValidated(t *testing.T) {
	_, err := proxier.New(kerneltest.New().Kernel(), &proxier.Config{Tuning: proxier.Tuning{
		Timeouts: ipvs.Timeouts{TCP: -1},
		Sysctls:  map[string]string{"../x": "1", "net.ipv4.ip_forward": "1\n2"},
	}})
	require.ErrorContains(t, err, "config: tuning.timeouts: ")
	require.ErrorContains(t, err, `config: tuning.sysctls: parameter name "../x"`)
	require.ErrorContains(t, err, "config: tuning.sysctls: net.ipv4.ip_forward: ")
}

// TestPreflightConntrackFull warns before the table is full.
func TestPreflightConntrackFull(t *testing.T) {
	kernel := kerneltest.New().Kernel()
	kernel.Conntrack = countingConntrack{kernel.Conntrack}
	_, pre := preflight(t, kernel, nil, preflightServices)
	require.Len(t, pre.Warnings, 1)
	require.Contains(t, pre.Warnings[0], "950 of at most 1000 flows")
}
