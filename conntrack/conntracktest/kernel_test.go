//go:build linux

package conntracktest_test

import (
	"context"
	"errors"
	"io/fs"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
	"github.com/vipkit/vipkit/conntrack/conntracktest"
	"github.com/vipkit/vipkit/internal/nl"
	"github.com/vipkit/vipkit/internal/testenv"
)

// openKernel opens the table of a new namespace, which the test enters.
func openKernel(t testing.TB, cfg *conntrack.Config) (conntracktest.Opened, *testenv.NS) {
	t.Helper()
	ns := testenv.NewNetNS(t)
	c, err := conntrack.Open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return conntracktest.Opened{Client: c, Add: creator(t), Uncounted: cfg != nil && cfg.Uncounted}, ns
}

// creator returns a function that makes the kernel of this thread's namespace
// track flows that no packet has made (IPCTNL_MSG_CT_NEW).
func creator(t testing.TB) func(flows ...conntrack.FlowInfo) error {
	t.Helper()
	c, err := nl.Open(nl.Config{Protocol: unix.NETLINK_NETFILTER})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return func(flows ...conntrack.FlowInfo) error {
		var b nl.Batch
		for i := range flows {
			appendNew(&b, &flows[i])
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

var (
	tcpStates  = []string{"NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE"}
	sctpStates = []string{"NONE", "CLOSED", "COOKIE_WAIT", "COOKIE_ECHOED", "ESTABLISHED", "SHUTDOWN_SENT"}
)

func appendNew(b *nl.Batch, f *conntrack.FlowInfo) {
	const createExcl = 0x600
	b.Begin(unix.NFNL_SUBSYS_CTNETLINK<<8, createExcl)
	v6 := !f.Original.Src.Addr().Is4()
	if v6 {
		b.Nfgen(unix.AF_INET6)
	} else {
		b.Nfgen(unix.AF_INET)
	}
	zones := [2]uint16{f.Zone, f.ReplyZone}
	for i, t := range [2]conntrack.Tuple{f.Original, f.Reply} {
		tuple := b.Nest(uint16(i + 1))
		ip := b.Nest(1)
		family := uint16(0)
		if v6 {
			family = 2
		}
		b.Addr(1+family, t.Src.Addr())
		b.Addr(2+family, t.Dst.Addr())
		b.EndNest(ip)
		proto := b.Nest(2)
		b.U8(1, uint8(f.Protocol))
		if icmp := map[vipkit.Protocol]uint16{conntrack.ICMP4: 4, conntrack.ICMP6: 7}[f.Protocol]; icmp != 0 {
			b.Be16(icmp, t.ICMP.ID)
			b.U8(icmp+1, t.ICMP.Type)
			b.U8(icmp+2, t.ICMP.Code)
		} else {
			b.Be16(2, t.Src.Port())
			b.Be16(3, t.Dst.Port())
		}
		b.EndNest(proto)
		if f.Zone != f.ReplyZone && zones[i] != 0 {
			b.Be16(3, zones[i])
		}
		b.EndNest(tuple)
	}
	b.Be32(3, uint32(f.Status|conntrack.StatusConfirmed))
	b.Be32(7, max(60, uint32(f.Timeout/time.Second)))
	b.Be32(8, f.Mark)
	if f.Zone == f.ReplyZone && f.Zone != 0 {
		b.Be16(18, f.Zone)
	}
	appendState(b, f)
	b.End()
}

func appendState(b *nl.Batch, f *conntrack.FlowInfo) {
	info := b.Nest(4)
	if f.Protocol == vipkit.TCP {
		tcp := b.Nest(1)
		b.U8(1, uint8(slices.Index(tcpStates, f.State)))
		b.EndNest(tcp)
	}
	if f.Protocol == vipkit.SCTP {
		sctp := b.Nest(3)
		b.U8(1, uint8(slices.Index(sctpStates, f.State)))
		b.Be32(2, 1)
		b.Be32(3, 2)
		b.EndNest(sctp)
	}
	b.EndNest(info)
}

func TestKernelContract(t *testing.T) {
	testenv.RequireKernel(t, testenv.Conntrack)
	for name, cfg := range map[string]*conntrack.Config{"counted": nil, "uncounted": {Uncounted: true}} {
		t.Run(name, func(t *testing.T) {
			conntracktest.TestClient(t, func(t *testing.T) conntracktest.Opened {
				o, _ := openKernel(t, cfg)
				return o
			})
		})
	}
}

// TestKernelTool: the tool prints what we read, as we do, and deletes what our
// text says.
func TestKernelTool(t *testing.T) {
	testenv.RequireKernel(t, testenv.Conntrack, "conntrack")
	o, ns := openKernel(t, nil)
	for _, family := range []vipkit.Family{vipkit.IPv4, vipkit.IPv6} {
		for _, p := range []vipkit.Protocol{vipkit.TCP, vipkit.UDP, vipkit.SCTP, conntrack.ICMP4, conntrack.ICMP6} {
			flow := conntracktest.SampleFlow(family, p, 0, 0, 0)
			if p == conntrack.ICMP4 || p == conntrack.ICMP6 {
				if flow = conntracktest.SamplePing(family, 0, 7); flow.Protocol != p {
					continue
				}
			}
			flow.Zone, flow.ReplyZone = 5, 5
			info := conntrack.FlowInfo{Flow: flow, Mark: 7, Status: conntrack.StatusConfirmed | conntrack.StatusSeenReply, Timeout: 7000 * time.Second}
			if p == vipkit.TCP || p == vipkit.SCTP {
				info.State = "ESTABLISHED"
				info.Status |= conntrack.StatusAssured
			}
			require.NoError(t, o.Add(info))
			ours := readAll(t, o.Client)
			require.Len(t, ours, 1)
			name := "ipv4"
			if family == vipkit.IPv6 {
				name = "ipv6"
			}
			for _, output := range []string{"id", "id,extended"} {
				line := toolOutput(t, ns, "-L", "-f", name, "-o", output)
				var read conntrack.FlowInfo
				require.NoError(t, read.UnmarshalText([]byte(line)), line)
				require.Equal(t, ours[0].Flow, read.Flow)
				if output == "id" {
					theirs := strings.Fields(line)
					theirs = slices.DeleteFunc(theirs, func(w string) bool { return strings.HasPrefix(w, "use=") })
					mine := strings.Fields(ours[0].String())
					theirs[2], mine[2] = "", "" // a second may have passed
					require.Equal(t, theirs, mine)
				}
			}
			if info.Protocol.Valid() {
				m := conntrack.Match{Protocol: p, OriginalDst: flow.Original.Dst, ReplySrc: flow.Reply.Src}
				filter := conntrack.Filter{Protocol: p, OriginalDst: flow.Original.Dst, Mark: 7, MarkMask: 0xff, Zone: conntrack.InZone(5)}
				require.NotEmpty(t, toolOutput(t, ns, append([]string{"-L"}, strings.Fields(filter.String())...)...))
				ns.Run(t, "conntrack", append([]string{"-D"}, strings.Fields(m.String())...)...)
			} else {
				n, err := o.Client.Delete(t.Context(), []conntrack.Flow{ours[0].Flow})
				require.NoError(t, err)
				require.Equal(t, 1, n)
			}
			require.Empty(t, toolOutput(t, ns, "-L", "-f", name))
		}
	}
}

func readAll(t testing.TB, c conntrack.Client) (flows []conntrack.FlowInfo) {
	t.Helper()
	for f, err := range c.Flows(t.Context(), conntrack.Filter{}) {
		require.NoError(t, err)
		flows = append(flows, f)
	}
	return flows
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
