//go:build linux

package conntrack_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
	"github.com/vipkit/vipkit/conntrack/conntracktest"
	"github.com/vipkit/vipkit/internal/nl"
	"github.com/vipkit/vipkit/internal/testenv"
)

// openKernel returns a Conn in a fresh namespace, which the test enters.
func openKernel(t testing.TB) (*conntrack.Conn, *testenv.NS) {
	t.Helper()
	ns := testenv.NewNetNS(t)
	c, err := conntrack.Open(nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c, ns
}

// creator returns a function that makes the kernel of this thread's namespace
// track flows that no packet has made (IPCTNL_MSG_CT_NEW).
func creator(t testing.TB) func(flows ...conntrack.Flow) error {
	t.Helper()
	c, err := nl.Open(nl.Config{Protocol: unix.NETLINK_NETFILTER})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return func(flows ...conntrack.Flow) error {
		var b nl.Batch
		for _, f := range flows {
			appendNew(&b, f)
		}
		var errs []error
		err := c.Exec(context.Background(), &b, func(f nl.Failure) {
			if f.Errno == unix.EEXIST {
				errs = append(errs, fs.ErrExist)
			} else {
				errs = append(errs, f.Errno)
			}
		})
		return errors.Join(append(errs, err)...)
	}
}

func appendNew(b *nl.Batch, f conntrack.Flow) {
	const createExcl = 0x600
	b.Begin(unix.NFNL_SUBSYS_CTNETLINK<<8, createExcl)
	if f.Original.Src.Addr().Is4() {
		b.Nfgen(unix.AF_INET)
	} else {
		b.Nfgen(unix.AF_INET6)
	}
	for i, t := range []conntrack.Tuple{f.Original, f.Reply} {
		tuple := b.Nest(uint16(i + 1))
		ip := b.Nest(1)
		family := uint16(0)
		if !t.Src.Addr().Is4() {
			family = 2
		}
		b.Addr(1+family, t.Src.Addr())
		b.Addr(2+family, t.Dst.Addr())
		b.EndNest(ip)
		proto := b.Nest(2)
		b.U8(1, uint8(f.Protocol))
		b.Be16(2, t.Src.Port())
		b.Be16(3, t.Dst.Port())
		b.EndNest(proto)
		b.EndNest(tuple)
	}
	b.Be32(7, 600) // CTA_TIMEOUT
	b.Be32(8, f.Mark)
	if f.Zone != 0 {
		b.Be16(18, f.Zone)
	}
	if f.Protocol == vipkit.TCP || f.Protocol == vipkit.SCTP {
		info := b.Nest(4)
		if f.Protocol == vipkit.TCP {
			tcp := b.Nest(1)
			b.U8(1, 3) // established
			b.EndNest(tcp)
		} else {
			sctp := b.Nest(3)
			b.U8(1, 4) // established
			b.Be32(2, 1)
			b.Be32(3, 2)
			b.EndNest(sctp)
		}
		b.EndNest(info)
	}
	b.End()
}

func TestKernelContract(t *testing.T) {
	testenv.RequireKernel(t, testenv.Conntrack)
	conntracktest.TestClient(t, func(t *testing.T) conntracktest.Opened {
		c, _ := openKernel(t)
		return conntracktest.Opened{Client: c, Add: creator(t)}
	})
}

// TestKernelTool: the tool prints what we read, and deletes what our text says.
func TestKernelTool(t *testing.T) {
	testenv.RequireKernel(t, testenv.Conntrack, "conntrack")
	c, ns := openKernel(t)
	add := creator(t)
	for _, f := range []vipkit.Family{vipkit.IPv4, vipkit.IPv6} {
		for _, p := range []vipkit.Protocol{vipkit.TCP, vipkit.UDP, vipkit.SCTP} {
			flow := conntracktest.SampleFlow(f, p, 0, 0, 0)
			flow.Mark, flow.Zone = 7, 5
			require.NoError(t, add(flow))
			var ours []conntrack.Flow
			for f, err := range c.Flows(t.Context()) {
				require.NoError(t, err)
				ours = append(ours, f)
			}
			family := strings.ToLower(f.String())
			for _, output := range []string{"id", "id,extended"} {
				line := toolOutput(t, ns, "-L", "-f", family, "-o", output)
				var read conntrack.Flow
				require.NoError(t, read.UnmarshalText([]byte(line)), line)
				require.Equal(t, []conntrack.Flow{read}, ours)
			}
			m := conntrack.Match{Protocol: p, OriginalDst: flow.Original.Dst, ReplySrc: flow.Reply.Src}
			ns.Run(t, "conntrack", append([]string{"-D"}, strings.Fields(m.String())...)...)
			require.Empty(t, toolOutput(t, ns, "-L", "-f", family))
		}
	}
}

// toolOutput returns the tool's standard output: how many flows it showed goes
// to the other one.
func toolOutput(t *testing.T, ns *testenv.NS, args ...string) (out string) {
	t.Helper()
	require.NoError(t, ns.Do(func() error {
		b, err := exec.Command("conntrack", args...).Output()
		out = strings.TrimSpace(string(b))
		return err
	}))
	return out
}

// TestKernelICMP: flows without ports are read, and skipped by deletions.
func TestKernelICMP(t *testing.T) {
	testenv.RequireKernel(t, testenv.Conntrack, "conntrack")
	c, ns := openKernel(t)
	ns.Run(t, "conntrack", "-I", "-p", "icmp", "-s", "10.0.0.1", "-d", "10.0.0.2", "--icmp-type", "8", "--icmp-code", "0", "--icmp-id", "77", "-t", "60")
	var flows []conntrack.Flow
	for f, err := range c.Flows(t.Context()) {
		require.NoError(t, err)
		flows = append(flows, f)
	}
	require.Len(t, flows, 1)
	require.EqualValues(t, 1, flows[0].Protocol)
	require.Equal(t, netip.MustParseAddrPort("10.0.0.2:0"), flows[0].Original.Dst)
	var read conntrack.Flow
	require.NoError(t, read.UnmarshalText([]byte(toolOutput(t, ns, "-L", "-o", "id"))))
	require.Equal(t, flows[0], read)
	_, err := c.Delete(t.Context(), flows)
	require.ErrorIs(t, err, fs.ErrInvalid)
}

func BenchmarkKernelDelete(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			testenv.RequireKernel(b, testenv.Conntrack)
			c, _ := openKernel(b)
			add := creator(b)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				for i := range n {
					require.NoError(b, add(conntracktest.SampleFlow(vipkit.IPv4, vipkit.UDP, byte(i), 0, i)))
				}
				var flows []conntrack.Flow
				for f, err := range c.Flows(b.Context()) {
					require.NoError(b, err)
					flows = append(flows, f)
				}
				b.StartTimer()
				deleted, err := c.Delete(b.Context(), flows)
				require.NoError(b, err)
				require.Equal(b, n, deleted)
			}
		})
	}
}

// BenchmarkKernelDeleteMatching deletes one flow in a large table.
func BenchmarkKernelDeleteMatching(b *testing.B) {
	for _, n := range []int{1000, 10000, 50000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			testenv.RequireKernel(b, testenv.Conntrack)
			c, _ := openKernel(b)
			add := creator(b)
			for i := range n {
				require.NoError(b, add(conntracktest.SampleFlow(vipkit.IPv4, vipkit.UDP, byte(i%200), 0, i)))
			}
			one := conntracktest.SampleFlow(vipkit.IPv4, vipkit.UDP, 250, 0, 0)
			match := []conntrack.Match{{Protocol: vipkit.UDP, OriginalDst: one.Original.Dst}}
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, add(one))
				deleted, err := c.DeleteMatching(b.Context(), match)
				require.NoError(b, err)
				require.Equal(b, 1, deleted)
			}
		})
	}
}
