//go:build linux

package realserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/ipvs"
)

// How long a test waits for an answer before it calls it silence: where it expects
// one, and where not.
const (
	patience   = 6 * time.Second
	impatience = 700 * time.Millisecond
)

// port is where the virtual servers and the real ones listen.
const port = 80

// vips are the virtual addresses, of each family one, in the subnet of all.
var vips = [2]netip.Addr{netip.MustParseAddr("10.0.0.100"), netip.MustParseAddr("fd00::100")}

// members are the hosts of the network segment and their addresses.
var members = map[string][2]netip.Addr{
	"client":   {netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("fd00::9")},
	"director": {netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")},
	"rs1":      {netip.MustParseAddr("10.0.0.11"), netip.MustParseAddr("fd00::11")},
	"rs2":      {netip.MustParseAddr("10.0.0.12"), netip.MustParseAddr("fd00::12")},
}

// world is one network segment with a client, a director and two real servers, each
// a network namespace with the link eth0 on one bridge. Answers do not come back by
// the director.
type world struct {
	hosts map[string]*testenv.NS
	ipvs  *ipvs.Conn
	// patience is how long ask waits.
	patience time.Duration
}

// requireWorld says what a world needs, and loads the modules of tunnels, whose
// fallback links appear in every namespace.
func requireWorld(t *testing.T, more ...string) {
	t.Helper()
	testenv.RequireKernel(t, append([]string{testenv.IPVS, testenv.Dummy, testenv.Veth, testenv.Bridge, "bash", "ip", "modprobe"}, more...)...)
	ns := testenv.AddNetNS(t)
	ns.Run(t, "modprobe", "-a", "ipip", "sit", "ip6_tunnel", "ip_gre", "ip6_gre", "fou")
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{hosts: make(map[string]*testenv.NS), patience: patience}
	lan := testenv.AddNetNS(t)
	var ports []string
	for name, addrs := range members {
		ns := testenv.AddNetNS(t)
		w.hosts[name] = ns
		testenv.Connect(t, lan, name, ns, "eth0")
		ns.AddAddr(t, "eth0", addrs[0].String()+"/24", addrs[1].String()+"/64")
		ports = append(ports, name)
	}
	lan.AddBridge(t, "br0", ports...)
	director := w.hosts["director"]
	director.AddDummy(t, "vip")
	director.AddAddr(t, "vip", vips[0].String()+"/32")
	director.AddAddr(t, "eth0", vips[1].String()+"/128") // IPv6 answers for addresses of the link
	var err error
	w.ipvs, err = ipvs.Open(&ipvs.Config{Namespace: director.Path()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.ipvs.Close()) })
	w.reset(t)
	return w
}

// reset leaves the director without virtual servers.
func (w *world) reset(t *testing.T) {
	t.Helper()
	have, err := ipvs.Snapshot(t.Context(), w.ipvs)
	require.NoError(t, err)
	requireApplied(t, w.ipvs, ipvs.Diff(have, nil))
}

func requireApplied(t *testing.T, c *ipvs.Conn, changes []ipvs.Change) {
	t.Helper()
	require.NoError(t, errors.Join(c.Apply(t.Context(), changes)...))
}

// virtualServer makes one that forwards to destinations like d.
func (w *world) virtualServer(t *testing.T, key ipvs.Key, d ipvs.Destination, addrs ...netip.Addr) {
	t.Helper()
	service := ipvs.Service{Key: key, Scheduler: "rr"}
	changes := []ipvs.Change{{Op: ipvs.AddService, Service: service}}
	for _, addr := range addrs {
		d.DestKey, d.Weight = ipvs.DestKey{Addr: addr, Port: key.Port}, 1
		changes = append(changes, ipvs.Change{Op: ipvs.AddDestination, Service: service, Destination: d})
	}
	requireApplied(t, w.ipvs, changes)
}

// keys returns the virtual servers of an address, by protocol.
func keys(vip netip.Addr) map[string]ipvs.Key {
	return map[string]ipvs.Key{
		"tcp": {Protocol: vipkit.TCP, Addr: vip, Port: port},
		"udp": {Protocol: vipkit.UDP, Addr: vip, Port: port},
	}
}

// serve listens on a host at addresses, TCP and UDP, and
// answers with the host's name, who it saw, and how many bytes came.
func (w *world) serve(t *testing.T, name string, addrs ...netip.Addr) {
	t.Helper()
	answer := func(from net.Addr, n int) string {
		at := netip.MustParseAddrPort(from.String())
		return fmt.Sprintf("%s saw %s: %d bytes", name, netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), n)
	}
	for _, addr := range addrs {
		at := netip.AddrPortFrom(addr, port).String()
		var listener net.Listener
		var packets net.PacketConn
		require.NoError(t, w.hosts[name].Do(func() (err error) {
			var c net.ListenConfig
			if listener, err = c.Listen(context.Background(), "tcp", at); err != nil {
				return err
			}
			packets, err = c.ListenPacket(context.Background(), "udp", at)
			return err
		}))
		t.Cleanup(func() { _ = listener.Close(); _ = packets.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
					n, _ := io.Copy(io.Discard, conn)
					_, _ = io.WriteString(conn, answer(conn.RemoteAddr(), int(n)))
				}()
			}
		}()
		go func() {
			buf := make([]byte, 1<<16)
			for {
				n, from, err := packets.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = packets.WriteTo([]byte(answer(from, n)), from)
			}
		}()
	}
}

// ask sends so many bytes from a host, and returns who answered and whether it saw
// the sender's own address and all of it: "rs1", "rs1 saw … instead", "silence",
// "rejected". The kernel takes answers from the address only that was asked.
func (w *world) ask(from, protocol string, to netip.AddrPort, size int) string {
	var answer, self string
	err := w.hosts[from].Do(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), w.patience)
		defer cancel()
		conn, err := new(net.Dialer).DialContext(ctx, protocol, to.String())
		if err != nil {
			return err
		}
		defer conn.Close()
		self = conn.LocalAddr().String()
		_ = conn.SetDeadline(time.Now().Add(w.patience))
		if _, err := conn.Write(make([]byte, size)); err != nil {
			return err
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			if err := tcp.CloseWrite(); err != nil {
				return err
			}
		}
		buf := make([]byte, 256)
		n, err := conn.Read(buf)
		answer = string(buf[:n])
		return err
	})
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "rejected"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, unix.EHOSTUNREACH):
		return "silence"
	case err != nil:
		return err.Error()
	}
	if name, ok := strings.CutSuffix(answer, fmt.Sprintf(" saw %s: %d bytes", self, size)); ok {
		return name
	}
	return answer + " instead of " + self
}

// requireAnswer asks for one byte to go to a virtual server, and waits long if an
// answer is wanted: the emulated machine's clock may run ahead of what it does.
func (w *world) requireAnswer(t *testing.T, want, from, protocol string, vip netip.Addr, what ...any) {
	t.Helper()
	w.patience = patience
	if want == "silence" {
		w.patience = impatience
	}
	got := w.ask(from, protocol, netip.AddrPortFrom(vip, port), 1)
	w.patience = patience
	require.Equal(t, want, got, "%s to %v from %s: %v", protocol, vip, from, what)
}

// both is the answer of two real servers to requests in turn.
var both = map[string]bool{"rs1": true, "rs2": true}

// askAll asks once for each of two destinations, and returns who answered.
func (w *world) askAll(from, protocol string, to netip.AddrPort, size int) map[string]bool {
	answers := make(map[string]bool)
	for range 2 {
		answers[w.ask(from, protocol, to, size)] = true
	}
	return answers
}

// whoHas returns the link address that a host gets for an address on its segment,
// asked for anew; nothing if nobody answers.
func (w *world) whoHas(t *testing.T, host string, addr netip.Addr) string {
	t.Helper()
	ns := w.hosts[host]
	family := netlink.FAMILY_V4
	ipv := "ipv4"
	if addr.Is6() {
		family, ipv = netlink.FAMILY_V6, "ipv6"
	}
	ns.Sysctl(t, "net."+ipv+".neigh.eth0.retrans_time_ms", "100")
	link, err := ns.Handle().LinkByName("eth0")
	require.NoError(t, err)
	list := func() (n netlink.Neigh) {
		neighbours, err := ns.Handle().NeighList(link.Attrs().Index, family)
		require.NoError(t, err)
		for _, have := range neighbours {
			if got, ok := netip.AddrFromSlice(have.IP); ok && got.Unmap() == addr {
				return have
			}
		}
		return netlink.Neigh{State: unix.NUD_NONE}
	}
	if old := list(); old.State != unix.NUD_NONE {
		require.NoError(t, ns.Handle().NeighDel(&old))
	}
	require.NoError(t, ns.Do(func() error {
		conn, err := new(net.Dialer).DialContext(context.Background(), "udp", netip.AddrPortFrom(addr, 9).String())
		if err != nil {
			return err
		}
		_, err = conn.Write([]byte("who has"))
		return errors.Join(err, conn.Close())
	}))
	var found netlink.Neigh
	require.Eventually(t, func() bool {
		found = list()
		return found.State&(unix.NUD_REACHABLE|unix.NUD_FAILED|unix.NUD_STALE|unix.NUD_DELAY) != 0
	}, 5*time.Second, 10*time.Millisecond)
	if found.State == unix.NUD_FAILED {
		return ""
	}
	return found.HardwareAddr.String()
}

// mac returns the link address of a host's eth0.
func (w *world) mac(t *testing.T, host string) string {
	t.Helper()
	link, err := w.hosts[host].Handle().LinkByName("eth0")
	require.NoError(t, err)
	return link.Attrs().HardwareAddr.String()
}

// snapshot returns all of a namespace that Prepare might touch, as tools show it.
func snapshot(t *testing.T, ns *testenv.NS) string {
	t.Helper()
	text := ns.Run(t, "bash", "-c", `for c in "-o -d link" "-o addr" "-4 route show table all" "-6 route show table all" "-4 fou show" "-6 fou show" rule "-6 rule"; do
		echo "== ip $c"; ip $c || exit 1; done`)
	var b strings.Builder
	b.WriteString(text)
	require.NoError(t, ns.Do(func() error {
		for _, pattern := range []string{"ipv4/conf/*/*", "ipv6/conf/*/*", "ipv4/*", "core/*"} {
			files, err := filepath.Glob("/proc/sys/net/" + pattern)
			if err != nil {
				return err
			}
			for _, file := range files {
				if strings.Contains(file, "stable_secret") {
					continue // not to be read before it is set
				}
				value, err := os.ReadFile(file)
				if err != nil && !errors.Is(err, syscall.EISDIR) && !errors.Is(err, syscall.EACCES) {
					return err
				}
				fmt.Fprintf(&b, "%s = %s", file, value)
			}
		}
		return nil
	}))
	return b.String()
}
