//go:build linux

package ipvstest_test

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"golang.org/x/tools/txtar"

	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/ipvs/ipvstest"
)

// release returns the kernel's version, and its first two numbers.
func release(t *testing.T) (whole, short string) {
	t.Helper()
	var u unix.Utsname
	require.NoError(t, unix.Uname(&u))
	whole = unix.ByteSliceToString(u.Release[:])
	numbers := strings.SplitN(whole, ".", 3)
	require.Len(t, numbers, 3)
	return whole, numbers[0] + "." + numbers[1]
}

// TestKernelTranscript records what this kernel answers, for testdata, and compares
// it with what the fake answers.
func TestKernelTranscript(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS)
	whole, short := release(t)
	dir := filepath.Join(testenv.OutDir(t), "linux-"+short)
	require.NoError(t, os.MkdirAll(dir, 0o700))
	steps := 0
	all := transcripts()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		c, _ := openIn(t)
		got, err := record(t.Context(), c, all[name])
		require.NoError(t, err)
		got.Comment = fmt.Appendf(nil, "Linux %s, recorded by TestKernelTranscript.\n", whole)
		file := filepath.Join(dir, name+".txtar")
		require.NoError(t, os.WriteFile(file, txtar.Format(got), 0o600))
		replay(t, file, new(ipvstest.Fake))
		steps += len(linesOf(got))
	}
	testenv.Count(t, "transcript steps", steps)
}

// TestKernelRegress replays the shortest proofs of differences found once.
func TestKernelRegress(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS)
	files, err := filepath.Glob("testdata/regress/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		c, _ := openIn(t)
		replay(t, file, c)
	}
}

// TestKernelCounters sends packets through a virtual server whose destination is
// local, and zeroes what was counted.
func TestKernelCounters(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS, testenv.Dummy)
	c, ns := openIn(t)
	ns.AddDummy(t, "d0")
	ns.SetUp(t, "d0")
	ns.AddAddr(t, "d0", "10.0.0.1/32", "10.1.0.1/32")
	require.Nil(t, c.Apply(t.Context(), parseAll(t, "-A -u 10.0.0.1:53 -s rr\n-a -u 10.0.0.1:53 -r 10.1.0.1:5353 -m -w 1\n")))
	const packets = 3
	require.NoError(t, ns.Do(func() error {
		server, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("10.1.0.1:5353")))
		if err != nil {
			return err
		}
		defer server.Close()
		client, err := net.Dial("udp", "10.0.0.1:53")
		if err != nil {
			return err
		}
		defer client.Close()
		for range packets {
			if _, err := client.Write([]byte("hello")); err != nil {
				return err
			}
			if _, err := server.Read(make([]byte, 16)); err != nil {
				return err
			}
		}
		return nil
	}))
	read := func() (s ipvs.ServiceInfo, d ipvs.DestinationInfo) {
		var err error
		for s, err = range c.Services(t.Context()) {
			require.NoError(t, err)
		}
		for d, err = range c.Destinations(t.Context(), s.Key) {
			require.NoError(t, err)
		}
		return s, d
	}
	var s ipvs.ServiceInfo
	var d ipvs.DestinationInfo
	// The kernel sums up its processors' counters every two seconds
	// (net/netfilter/ipvs/ip_vs_est.c).
	require.Eventually(t, func() bool {
		s, d = read()
		return s.Stats.PacketsIn >= packets && d.Stats.PacketsIn >= packets
	}, 30*time.Second, 100*time.Millisecond)
	require.Equal(t, ipvs.Masquerade, d.Forward) // not Local, as in older kernels
	require.EqualValues(t, 1, d.Active+d.Inactive)
	for _, stats := range []ipvs.Stats{s.Stats, d.Stats} {
		require.EqualValues(t, 1, stats.Connections)
		require.EqualValues(t, packets, stats.PacketsIn)
		require.EqualValues(t, packets*(20+8+5), stats.BytesIn)
		require.Zero(t, stats.PacketsOut)
	}
	table := ns.Run(t, "ipvsadm", "-Ln", "--stats", "--exact")
	require.Regexp(t, `10\.0\.0\.1:53 +1 +3 +0 +99 +0`, table)

	require.Nil(t, c.Apply(t.Context(), parseAll(t, "-Z -u 10.0.0.1:53\n")))
	s, d = read()
	require.Zero(t, s.Stats.PacketsIn+s.Stats.Connections+d.Stats.PacketsIn+d.Stats.BytesIn)
	require.EqualValues(t, 1, d.Active+d.Inactive) // connections are no counters
}

// TestKernelSettings compares timeouts and daemons with ipvsadm's.
func TestKernelSettings(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS, testenv.Dummy, "ipvsadm")
	c, ns := openIn(t)
	want := ipvs.Timeouts{TCP: 1800e9, TCPFin: 60e9, UDP: 10e9}
	require.NoError(t, c.SetTimeouts(t.Context(), want))
	require.Contains(t, ns.Run(t, "ipvsadm", "-L", "--timeout"), "Timeout (tcp tcpfin udp): 1800 60 10")
	ns.Run(t, "ipvsadm", "--set", "7", "0", "9")
	have, err := c.Timeouts(t.Context())
	require.NoError(t, err)
	require.Equal(t, want.Merge(ipvs.Timeouts{TCP: 7e9, UDP: 9e9}), have)

	ns.AddDummy(t, "d0")
	ns.SetUp(t, "d0")
	ns.AddAddr(t, "d0", "10.0.0.1/24")
	daemon := ipvs.Daemon{
		State: ipvs.Master, Interface: "d0", SyncID: 7, MaxLen: 1400, Group: netip.MustParseAddr("224.0.0.99"), Port: 8849, TTL: 3,
	}
	ns.Run(t, "ipvsadm", strings.Fields(daemon.String())...)
	all, err := c.Daemons(t.Context())
	require.NoError(t, err)
	require.Equal(t, []ipvs.Daemon{daemon}, all)
	ns.Run(t, "ipvsadm", "--stop-daemon", "master")
	all, err = c.Daemons(t.Context())
	require.NoError(t, err)
	require.Empty(t, all)
}

// TestKernelDaemons has ipvsadm show a daemon of ours, and starts and stops one so fast
// that its thread may never run, whose end the kernel does not acknowledge.
func TestKernelDaemons(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS, testenv.Dummy, "ipvsadm")
	c, ns := openIn(t)
	ns.AddDummy(t, "d0")
	ns.SetUp(t, "d0")
	ns.AddAddr(t, "d0", "10.0.0.1/24")
	daemon := ipvs.Daemon{State: ipvs.Backup, Interface: "d0", SyncID: 7, MaxLen: 1400, Group: netip.MustParseAddr("224.0.0.99"), Port: 8849, TTL: 3}
	require.NoError(t, c.StartDaemon(t.Context(), daemon))
	require.Equal(t, "backup sync daemon (mcast=d0, syncid=7, maxlen=1400, group=224.0.0.99, port=8849, ttl=3)\n",
		ns.Run(t, "ipvsadm", "-L", "--daemon"))
	require.NoError(t, c.StopDaemon(t.Context(), ipvs.Backup))
	for range 3 {
		for _, state := range []ipvs.DaemonState{ipvs.Master, ipvs.Backup} {
			require.NoError(t, c.StartDaemon(t.Context(), ipvs.Daemon{State: state, Interface: "d0"}))
			require.NoError(t, c.StopDaemon(t.Context(), state))
		}
	}
	require.Empty(t, ns.Run(t, "ipvsadm", "-L", "--daemon"))
}
