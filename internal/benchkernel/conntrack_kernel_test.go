//go:build linux

package benchkernel

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
	"github.com/vipkit/vipkit/internal/nl"
	"github.com/vipkit/vipkit/internal/testenv"
)

const (
	readFlows     = "flows read"
	deleteService = "flows of one UDP service deleted, of 100,000"
	deleteKnown   = "known flows deleted"

	perFrontend = 1000
)

// TestKernelConntrack compares ways to read and delete tracked flows.
func TestKernelConntrack(t *testing.T) {
	testenv.RequireKernel(t, testenv.Conntrack, "conntrack")
	roomForFlows(t)
	w := conntrackWork{services: 100, each: perFrontend}
	if !full() {
		w = conntrackWork{services: 12, each: 5}
	}
	compare(t, comparison{
		facility: "conntrack",
		jobs: []job{
			{name: readFlows, objects: w.services * w.each, bar: 1.3}, {name: deleteService, objects: w.each},
			{name: deleteKnown, objects: 10 * w.each, bar: 1.2, note: "Each Flow of 160 bytes is checked and becomes a message of its own, since the kernel " +
				"deletes one a message; the floor's messages were ready."},
		},
		contenders: []contender{
			{open: func(t *testing.T) []step { return w.ours(t, ours, false) }},
			{open: func(t *testing.T) []step { return w.ours(t, "vipkit, uncounted", true) }},
			{open: w.floor},
			{open: w.netlink, slow: true},
			{open: w.tool, slow: true},
		},
	})
}

// conntrackWork is a number of UDP services with flows of each.
type conntrackWork struct{ services, each int }

func (conntrackWork) flow(service, i int) conntrack.Flow {
	client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}), 20000)
	frontend := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 96, 0, byte(service)}), 53)
	endpoint := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 44, byte(i & 1), byte(service)}), 53)
	return conntrack.Flow{
		Protocol: vipkit.UDP, Original: conntrack.Tuple{Src: client, Dst: frontend}, Reply: conntrack.Tuple{Src: endpoint, Dst: client},
	}
}

func appendFlowTuple(b *nl.Batch, attr uint16, t conntrack.Tuple) {
	tuple, ip := b.Nest(attr), b.Nest(1)
	b.Addr(1, t.Src.Addr())
	b.Addr(2, t.Dst.Addr())
	b.EndNest(ip)
	proto := b.Nest(2)
	b.U8(1, uint8(vipkit.UDP))
	b.Be16(2, t.Src.Port())
	b.Be16(3, t.Dst.Port())
	b.EndNest(proto)
	b.EndNest(tuple)
}

// open makes a namespace with the flows.
func (w conntrackWork) open(t *testing.T, cfg conntrack.Config) (*conntrack.Conn, *testenv.NS) {
	ns := testenv.AddNetNS(t)
	raw, err := nl.Open(nl.Config{Protocol: unix.NETLINK_NETFILTER, Namespace: ns.Path()})
	require.NoError(t, err)
	defer raw.Close()
	for service := range w.services {
		var b nl.Batch
		for i := range w.each {
			f := w.flow(service, i)
			b.Begin(unix.NFNL_SUBSYS_CTNETLINK<<8, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
			b.Nfgen(unix.AF_INET)
			appendFlowTuple(&b, 1, f.Original)
			appendFlowTuple(&b, 2, f.Reply)
			b.Be32(7, 3600)
			b.End()
		}
		require.NoError(t, raw.Exec(t.Context(), &b, func(f nl.Failure) { t.Error(f.Errno) }))
	}
	cfg.Namespace = ns.Path()
	c, err := conntrack.Open(&cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c, ns
}

// check returns a step that counts what is left.
func (conntrackWork) check(c *conntrack.Conn, want int) step {
	return once("", "", func() error {
		n, _, err := c.Count(context.Background())
		if err == nil && n != want {
			err = fmt.Errorf("%d flows, want %d", n, want)
		}
		return err
	})
}

// checkAtEnd does so when all steps were done.
func (w conntrackWork) checkAtEnd(t *testing.T, c *conntrack.Conn, want int) {
	t.Cleanup(func() {
		if !t.Failed() {
			require.NoError(t, w.check(c, want).parts[0]())
		}
	})
}

// roomForFlows lets a machine that is there for the tests have as many flows as it
// takes.
func roomForFlows(t *testing.T) {
	if testenv.InVM() {
		require.NoError(t, os.WriteFile("/proc/sys/net/netfilter/nf_conntrack_max", []byte("1000000"), 0o600))
	}
}

// known are the flows of ten services as a dump returned them.
func (w conntrackWork) known(c *conntrack.Conn) (flows []conntrack.Flow, err error) {
	for f, err := range c.Flows(context.Background(), conntrack.Filter{}) {
		if err != nil {
			return nil, err
		}
		if service := f.Original.Dst.Addr().As4()[3]; service > 0 && service <= 10 {
			flows = append(flows, f.Flow)
		}
	}
	return flows, nil
}

func (w conntrackWork) ours(t *testing.T, by string, uncounted bool) []step {
	c, _ := w.open(t, conntrack.Config{Uncounted: uncounted})
	known, err := w.known(c)
	require.NoError(t, err)
	read := func() error {
		n := 0
		for _, err := range c.Flows(context.Background(), conntrack.Filter{}) {
			if err != nil {
				return err
			}
			n++
		}
		if n != w.services*w.each {
			return fmt.Errorf("read %d flows", n)
		}
		return nil
	}
	frontend := w.flow(0, 0).Original.Dst
	steps := []step{
		once(deleteService, by, func() error {
			_, err := c.DeleteMatching(context.Background(), []conntrack.Match{{Protocol: vipkit.UDP, OriginalDst: frontend}})
			return err
		}),
	}
	if uncounted {
		w.checkAtEnd(t, c, (w.services-1)*w.each)
		return steps
	}
	w.checkAtEnd(t, c, (w.services-11)*w.each)
	steps = append(steps, w.check(c, (w.services-1)*w.each))
	steps = append(steps, once(deleteKnown, by, func() error {
		n, err := c.Delete(context.Background(), known)
		if err == nil && n != len(known) {
			err = fmt.Errorf("deleted %d", n)
		}
		return err
	}))
	return append([]step{{readFlows, by, []func() error{read}, 4}}, steps...)
}

// floor sends requests that were encoded before, and decodes nothing. Where the
// kernel does not delete by filter, there is no floor for that.
func (w conntrackWork) floor(t *testing.T) []step {
	c, ns := w.open(t, conntrack.Config{})
	known, err := w.known(c)
	require.NoError(t, err)
	fd, err := nl.Socket(ns.Path(), unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER)
	require.NoError(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 1<<20))
	require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20))
	const get, del = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1, unix.NFNL_SUBSYS_CTNETLINK<<8 | 2
	request, buf := withHeader(get, dumpFlags, make([]byte, 4)), make([]byte, 32<<10)
	read := func() error {
		n, err := dumpAll(fd, request, buf)
		if err == nil && n != w.services*w.each {
			err = fmt.Errorf("read %d flows", n)
		}
		return err
	}
	var sends [][]byte
	for part := range slices.Chunk(known, 1500) {
		var send []byte
		for i, f := range part {
			var b nl.Batch
			b.Begin(del, 0)
			b.Nfgen(unix.AF_INET)
			appendFlowTuple(&b, 2, f.Reply)
			b.Be32(12, f.ID)
			b.End()
			flags := uint16(unix.NLM_F_REQUEST)
			if i == len(part)-1 {
				flags |= unix.NLM_F_ACK
			}
			send = append(send, withHeader(del, flags, b.Message(0))...)
		}
		sends = append(sends, send)
	}
	var filter nl.Batch
	filter.Begin(del, 0)
	filter.Nfgen(unix.AF_INET)
	tuple, ip := filter.Nest(1), filter.Nest(1)
	frontend := w.flow(0, 0).Original.Dst
	filter.Addr(2, frontend.Addr())
	filter.EndNest(ip)
	proto := filter.Nest(2)
	filter.U8(1, uint8(vipkit.UDP))
	filter.Be16(3, frontend.Port())
	filter.EndNest(proto)
	filter.EndNest(tuple)
	nest := filter.Nest(25)
	filter.U32(1, 1<<1|1<<3|1<<5)
	filter.U32(2, 0)
	filter.EndNest(nest)
	filter.End()
	byFilter := withHeader(del, unix.NLM_F_REQUEST|unix.NLM_F_ACK, filter.Message(0))
	steps := []step{{readFlows, floor, []func() error{read}, 4}}
	var name unix.Utsname
	require.NoError(t, unix.Uname(&name))
	left := w.services * w.each
	if release := unix.ByteSliceToString(name.Release[:]); release[:4] != "6.1." {
		left -= w.each
		steps = append(steps, once(deleteService, floor, func() error { return sendRaw(fd, [][]byte{byFilter}) }), w.check(c, left))
	}
	w.checkAtEnd(t, c, left-len(known))
	return append(steps, once(deleteKnown, floor, func() error { return sendRaw(fd, sends) }))
}

func (w conntrackWork) netlink(t *testing.T) []step {
	const by = "vishvananda/netlink 1.3.1"
	c, ns := w.open(t, conntrack.Config{})
	var h *netlink.Handle
	require.NoError(t, ns.Do(func() (err error) {
		h, err = netlink.NewHandle(unix.NETLINK_NETFILTER)
		return err
	}))
	t.Cleanup(h.Close)
	remove := func(services ...int) error {
		var filters []netlink.CustomConntrackFilter
		for _, service := range services {
			var filter netlink.ConntrackFilter
			frontend := w.flow(service, 0).Original.Dst
			if err := filter.AddProtocol(uint8(vipkit.UDP)); err != nil {
				return err
			}
			if err := filter.AddIP(netlink.ConntrackOrigDstIP, net.IP(frontend.Addr().AsSlice())); err != nil {
				return err
			}
			if err := filter.AddPort(netlink.ConntrackOrigDstPort, frontend.Port()); err != nil {
				return err
			}
			filters = append(filters, &filter)
		}
		n, err := h.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, filters...)
		if err == nil && n != uint(len(services)*w.each) {
			err = fmt.Errorf("deleted %d", n)
		}
		return err
	}
	read := func() error {
		flows, err := h.ConntrackTableList(netlink.ConntrackTable, unix.AF_INET)
		if err == nil && len(flows) != w.services*w.each {
			err = fmt.Errorf("read %d flows", len(flows))
		}
		return err
	}
	w.checkAtEnd(t, c, (w.services-11)*w.each)
	return []step{
		once(readFlows, by, read),
		once(deleteService, by, func() error { return remove(0) }), w.check(c, (w.services-1)*w.each),
		once(deleteKnown, by+" (has no such call: ten filters)", func() error { return remove(1, 2, 3, 4, 5, 6, 7, 8, 9, 10) }),
	}
}

// tool is one process for each service.
func (w conntrackWork) tool(t *testing.T) []step {
	c, ns := w.open(t, conntrack.Config{})
	remove := func(service int) {
		m := conntrack.Match{Protocol: vipkit.UDP, OriginalDst: w.flow(service, 0).Original.Dst}
		ns.Run(t, "sh", "-c", "conntrack -D "+m.String()+" >/dev/null")
	}
	w.checkAtEnd(t, c, (w.services-11)*w.each)
	return []step{
		once(readFlows, "conntrack -L", func() error { ns.Run(t, "sh", "-c", "conntrack -L >/dev/null"); return nil }),
		once(deleteService, "conntrack -D", func() error { remove(0); return nil }), w.check(c, (w.services-1)*w.each),
		once(deleteKnown, "conntrack -D, ten services", func() error {
			for service := 1; service <= 10; service++ {
				remove(service)
			}
			return nil
		}),
	}
}
