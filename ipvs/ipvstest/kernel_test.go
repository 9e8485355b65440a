//go:build linux

package ipvstest_test

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"golang.org/x/tools/txtar"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/ipvs/ipvstest"
)

// openIn opens the kernel's IPVS of a new namespace.
func openIn(t testing.TB) (*ipvs.Conn, *testenv.NS) {
	t.Helper()
	ns := testenv.AddNetNS(t)
	var c *ipvs.Conn
	require.NoError(t, ns.Do(func() (err error) {
		c, err = ipvs.Open(nil)
		return err
	}))
	t.Cleanup(func() { _ = c.Close() })
	return c, ns
}

func TestKernelClient(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS)
	ipvstest.TestClient(t, func(t *testing.T) ipvs.Client {
		c, _ := openIn(t)
		return c
	})
}

// TestKernelDifferential compares the fake with the kernel.
func TestKernelDifferential(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS)
	seed, steps := testenv.Seed(t), testenv.Steps(t, 12_000)
	c, _ := openIn(t)
	done, minimum, err := differential(t.Context(), c, seed, steps)
	if err != nil {
		c, _ := openIn(t)
		var lines []string
		for _, change := range minimum {
			lines = append(lines, change.String())
		}
		if a, recordErr := record(t.Context(), c, lines); recordErr == nil {
			t.Logf("for testdata/regress:\n%s", txtar.Format(a))
		}
		t.Fatalf("VIPKIT_SEED=%d: after\n%v\n%v", seed, minimum, err)
	}
	t.Logf("VIPKIT_SEED=%d", seed)
	testenv.Count(t, "differential steps", done)
}

// everything is what the tools of others know too: no thresholds, which ipvsadm
// -S leaves out, and in the order that both they and vipkit have.
const everything = `-A -t 10.0.0.1:80 -s rr
-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 1
-a -t 10.0.0.1:80 -r 10.1.0.2:80 -i -w 65535 --tun-type ipip
-a -t 10.0.0.1:80 -r 10.1.0.3:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum
-a -t 10.0.0.1:80 -r 10.1.0.4:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-remcsum
-a -t 10.0.0.1:80 -r 10.1.0.5:80 -i -w 1 --tun-type gre --tun-csum
-a -t 10.0.0.1:80 -r 10.1.0.9:80 -g -w 0
-A -t 10.0.0.1:443 -s wlc
-A -t 10.0.0.2:80 -s sh -b sh-fallback
-A -t 10.0.0.4:0 -s rr -p 60
-a -t 10.0.0.4:0 -r 10.9.9.9:0 -m -w 1
-A -u 10.0.0.3:5060 -s mh -p 60 -M 255.255.0.0 --pe sip -o -b mh-fallback,mh-port
-A --sctp-service 10.0.0.1:5060 -s mh -b mh-port
-a --sctp-service 10.0.0.1:5060 -r 10.9.9.9:99 -m -w 3
-A -t [fd00::1]:80 -s rr
-a -t [fd00::1]:80 -r [fd00:1111:2222:3333:4444:5555:6666:777]:6553 -m -w 1
-a -t [fd00::1]:80 -r [fd00:1111:2222:3333:4444:5555:6666:7777]:65535 -m -w 1
-A -u [fd00::1]:53 -s sh -p 300 -M 64 -b sh-fallback,sh-port
-a -u [fd00::1]:53 -r [fd00:1:2:3:4:5:6:7]:53 -m -w 3
-A -f 17 -s wrr -p 10800 -M 255.255.255.0
-a -f 17 -r 10.9.9.9:0 -g -w 1
-a -f 17 -r 10.9.9.10:8080 -m -w 1
-A -f 18 -s rr -o
-A -f 18 -6 -s wlc -p 10 --pe sip
-a -f 18 -6 -r [fd00::9:0]:0 -m -w 1
`

// TestKernelIpvsadm shows that ipvsadm prints what we wrote as we do, that it
// takes what we print, and that we read what it wrote.
func TestKernelIpvsadm(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS, "ipvsadm")
	c, ns := openIn(t)
	require.Nil(t, c.Apply(t.Context(), parseAll(t, everything)))
	require.Equal(t, everything, ns.Run(t, "ipvsadm", "-Sn"))
	ours, err := save(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, everything, ours)
	var table strings.Builder
	require.NoError(t, ipvs.WriteTable(t.Context(), &table, c))
	require.Equal(t, ns.Run(t, "ipvsadm", "-Ln"), table.String())

	require.NoError(t, clearAll(t.Context(), c))
	file := filepath.Join(t.TempDir(), "save")
	require.NoError(t, os.WriteFile(file, []byte(ours), 0o600))
	ns.Run(t, "sh", "-c", "ipvsadm -R <"+file)
	theirs, err := save(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, everything, theirs)

	var fake ipvstest.Fake
	require.NoError(t, fake.Load(everything))
	require.Equal(t, everything, fake.Dump())

	// A mask that is no prefix can be read, compared and deleted, and so can what
	// makes no sense.
	require.NoError(t, clearAll(t.Context(), c))
	ns.Run(t, "ipvsadm", "-A", "-t", "0.0.0.0:80", "-s", "rr")
	ns.Run(t, "ipvsadm", "-a", "-t", "0.0.0.0:80", "-r", "10.1.0.1:80", "-m", "-w", "70000")
	odd, err := save(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, ns.Run(t, "ipvsadm", "-Sn"), odd)
	ns.Run(t, "ipvsadm", "-C")
	ns.Run(t, "ipvsadm", "-A", "-t", "10.0.0.9:80", "-s", "rr", "-p", "60", "-M", "255.0.255.0")
	for s, err := range c.Services(t.Context()) {
		require.NoError(t, err)
		require.EqualValues(t, ipvs.OddMask, s.PersistenceBits)
		require.Error(t, s.Validate())
	}
	require.NoError(t, clearAll(t.Context(), c))
	require.Empty(t, ns.Run(t, "ipvsadm", "-Sn"))
}

// TestKernelLoNeverUp pins that a namespace whose lo was never up, and which
// therefore has no table of local routes, takes no destination.
func TestKernelLoNeverUp(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS)
	var c *ipvs.Conn
	require.NoError(t, testenv.AddNetNS(t).Do(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		c, err = ipvs.Open(nil)
		return err
	}))
	defer c.Close()
	changes := parseAll(t, "-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1\n")
	errs := c.Apply(t.Context(), changes)
	require.Len(t, errs, 2)
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], fs.ErrInvalid)
	require.ErrorContains(t, errs[1], "lo was never up")
}

// TestKernelRequests pins how many requests a batch takes, and reading it back.
func TestKernelRequests(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS)
	c, _ := openIn(t)
	_, err := c.Info(t.Context()) // learn the family's number
	require.NoError(t, err)
	messages, sends := c.Requests()
	changes := table(1000)
	require.Nil(t, c.Apply(t.Context(), changes))
	messagesAfter, sendsAfter := c.Requests()
	require.EqualValues(t, len(changes), messagesAfter-messages)
	require.LessOrEqual(t, sendsAfter-sends, int64(6))
	have, err := ipvs.Snapshot(t.Context(), c)
	require.NoError(t, err)
	require.Len(t, have, 1000)
	messages, _ = c.Requests()
	// A dump of services, how many destinations each has, and those of each.
	require.EqualValues(t, 1002, messages-messagesAfter)
	for _, err := range c.Servers(t.Context(), func(ipvs.Key) bool { return false }) {
		require.NoError(t, err)
	}
	messagesAfter, _ = c.Requests()
	require.EqualValues(t, 1, messagesAfter-messages)
}

// TestKernelDeadline shows that a batch and a read end with their context, that the
// changes tell which of them were not sent, and that the Conn goes on.
func TestKernelDeadline(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS)
	c, _ := openIn(t)
	_, err := c.Info(t.Context()) // learn the family's number
	require.NoError(t, err)
	changes := table(600) // more than a send can hold
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	errs := c.Apply(ctx, changes)
	require.Len(t, errs, len(changes))
	var undone []ipvs.Change
	for i, err := range errs {
		if err == nil {
			require.Empty(t, undone)
			continue
		}
		require.ErrorIs(t, err, context.DeadlineExceeded)
		undone = append(undone, changes[i])
	}
	require.NotEmpty(t, undone)
	have, err := ipvs.Snapshot(t.Context(), c)
	require.NoError(t, err)
	objects := len(have)
	for _, server := range have {
		objects += len(server.Destinations)
	}
	require.Equal(t, len(changes)-len(undone), objects)
	require.Nil(t, c.Apply(t.Context(), undone))

	ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = ipvs.Snapshot(ctx, c)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	have, err = ipvs.Snapshot(t.Context(), c)
	require.NoError(t, err)
	require.Len(t, have, 600)
}

// table makes n services with five destinations each.
func table(n int) (changes []ipvs.Change) {
	for i := range n {
		key := ipvs.Key{Protocol: vipkit.TCP, Addr: netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}), Port: 80}
		changes = append(changes, ipvs.Change{Op: ipvs.AddService, Service: ipvs.Service{Key: key, Scheduler: "rr"}})
		for j := range 5 {
			addr := netip.AddrFrom4([4]byte{10, 200 + byte(j), byte(i >> 8), byte(i)})
			changes = append(changes, ipvs.Change{
				Op: ipvs.AddDestination, Service: ipvs.Service{Key: key},
				Destination: ipvs.Destination{DestKey: ipvs.DestKey{Addr: addr, Port: 8080}, Weight: 1},
			})
		}
	}
	return changes
}

// BenchmarkKernel writes and reads tables of services with five destinations.
// Each write is to a new namespace, since deleted destinations linger and slow
// later additions down.
func BenchmarkKernel(b *testing.B) {
	testenv.RequireKernel(b, testenv.IPVS)
	for _, n := range []int{1000, 10_000} {
		changes := table(n)
		c, _ := openIn(b)
		b.Run(fmt.Sprintf("services=%d/write", n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				c, _ = openIn(b)
				b.StartTimer()
				require.Nil(b, c.Apply(b.Context(), changes))
			}
		})
		c, _ = openIn(b)
		require.Nil(b, c.Apply(b.Context(), changes))
		b.Run(fmt.Sprintf("services=%d/read", n), func(b *testing.B) {
			for b.Loop() {
				have, err := ipvs.Snapshot(b.Context(), c)
				require.NoError(b, err)
				require.Len(b, have, n)
			}
		})
	}
}
