//go:build linux

package benchkernel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/internal/nl"
	"github.com/vipkit/vipkit/internal/testenv"
)

const (
	writeAddrs  = "virtual addresses written"
	readAddrs   = "virtual addresses read back"
	deleteAddrs = "virtual addresses deleted"

	dummyLink = "vipkit0"
)

// TestKernelDummy compares ways to write, read and delete virtual addresses, by
// family and number. IPv6 addresses that are not routes are quadratic to a degree
// that nobody waits for.
func TestKernelDummy(t *testing.T) {
	testenv.RequireKernel(t, testenv.Dummy, "ip")
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		for _, size := range []int{1, 10, 100, 1000, 10_000} {
			name := map[int]string{unix.AF_INET: "ipv4", unix.AF_INET6: "ipv6"}[family]
			t.Run(fmt.Sprintf("%s/n=%d", name, size), func(t *testing.T) {
				w := newDummyWork(family, scale(size))
				c := comparison{
					facility: fmt.Sprintf("dummy-%s-%05d", name, size),
					jobs:     []job{{name: writeAddrs, objects: w.n}, {name: readAddrs, objects: w.n}, {name: deleteAddrs, objects: w.n}},
					contenders: []contender{
						{open: func(t *testing.T) []step { return w.ours(t, ours, dummy.ByRoute) }},
						{open: w.floor},
					},
				}
				slow := func(w *dummyWork, means dummy.Means, share int) {
					c.contenders = append(c.contenders,
						contender{open: w.library(means), slow: true, share: share}, contender{open: w.batch(means), slow: true, share: share})
				}
				if size <= 1000 || family == unix.AF_INET {
					c.contenders = append(c.contenders,
						contender{open: func(t *testing.T) []step { return w.ours(t, "vipkit, by address", dummy.ByAddress) }, slow: size > 100})
				}
				switch size {
				case 1000:
					slow(w, dummy.ByAddress, 1)
				case 10_000:
					c.jobs[0].bar, c.jobs[1].bar = 1.2, 1.3
					c.jobs[0].note = "Each address is checked and encoded, and the link looked up once a thousand; the floor's messages were ready."
					c.jobs[1].note = "Of each route vipkit decodes the attributes, and sees whether a virtual address can have it, which emulation makes dear; the floor counts messages."
					some, share := fewer(w.n, 10)
					slow(newDummyWork(family, some), dummy.ByRoute, share)
				}
				compare(t, c)
			})
		}
	}
}

// dummyWork is the same work in the words of all contenders.
type dummyWork struct {
	n, family int
	addrs     []netip.Addr
}

func newDummyWork(family, n int) *dummyWork {
	w := &dummyWork{n: n, family: family}
	for i := range n {
		if family == unix.AF_INET {
			w.addrs = append(w.addrs, netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}))
		} else {
			w.addrs = append(w.addrs, netip.AddrFrom16([16]byte{0: 0xfd, 13: 1, 14: byte(i >> 8), 15: byte(i)}))
		}
	}
	return w
}

func (w *dummyWork) changes(op dummy.Op, means dummy.Means) (all []dummy.Change) {
	for _, a := range w.addrs {
		all = append(all, dummy.Change{Op: op, Address: dummy.Address{Addr: a, Means: means}})
	}
	return all
}

// open returns the link of a new namespace.
func (w *dummyWork) open(t *testing.T) (*dummy.Conn, *testenv.NS) {
	ns := testenv.AddNetNS(t)
	c, err := dummy.Open(&dummy.Config{Namespace: ns.Path()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	require.NoError(t, c.CreateLink(t.Context(), dummy.Link{Name: dummyLink, Up: true}))
	return c, ns
}

// check returns a step that sees whether everything is there.
func (w *dummyWork) check(c *dummy.Conn, means dummy.Means) step {
	return once("", "", func() error {
		want := make(map[netip.Addr]bool)
		for _, a := range w.addrs {
			want[a] = true
		}
		for a, err := range c.Addresses(context.Background(), dummyLink) {
			if err != nil {
				return err
			}
			if !want[a.Addr] || a.Means != means {
				return fmt.Errorf("there is %v", a)
			}
			delete(want, a.Addr)
		}
		if len(want) > 0 {
			return fmt.Errorf("%d are missing", len(want))
		}
		return nil
	})
}

// perPart is how many addresses are a part of the work.
const perPart = 1000

// chunks splits work into parts.
func chunks[T any](all []T, do func([]T) error) (list []func() error) {
	for part := range slices.Chunk(all, perPart) {
		list = append(list, func() error { return do(part) })
	}
	return list
}

func (w *dummyWork) ours(t *testing.T, by string, means dummy.Means) []step {
	c, _ := w.open(t)
	apply := func(job string, op dummy.Op) step {
		return step{job: job, by: by, parts: chunks(w.changes(op, means), func(part []dummy.Change) error {
			return errors.Join(c.Apply(context.Background(), dummyLink, part)...)
		})}
	}
	read := func() error {
		n := 0
		for _, err := range c.Addresses(context.Background(), dummyLink) {
			if err != nil {
				return err
			}
			n++
		}
		if n != w.n {
			return fmt.Errorf("read %d", n)
		}
		return nil
	}
	return []step{
		apply(writeAddrs, dummy.AddAddress), w.check(c, means),
		{readAddrs, by, []func() error{read}, 4}, apply(deleteAddrs, dummy.DeleteAddress),
	}
}

// floor sends routes, encoded before, in sends of the same size. It reads with the
// requests that it takes to know everything that a link holds, of each family its
// addresses and its routes, and decodes nothing.
func (w *dummyWork) floor(t *testing.T) []step {
	check, ns := w.open(t)
	link, err := ns.Handle().LinkByName(dummyLink)
	require.NoError(t, err)
	index := uint32(link.Attrs().Index)
	fd, err := nl.Socket(ns.Path(), unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
	require.NoError(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 1<<20))
	require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20))
	require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1))
	send := func(job string, typ, flags uint16) step {
		s := step{job: job, by: floor}
		var all [][]byte
		for _, a := range w.addrs {
			all = append(all, withHeader(typ, unix.NLM_F_REQUEST|flags, w.route(index, a)))
		}
		for part := range slices.Chunk(all, perPart) {
			last := part[len(part)-1]
			binary.NativeEndian.PutUint16(last[6:], binary.NativeEndian.Uint16(last[6:])|unix.NLM_F_ACK)
			sends := [][]byte{slices.Concat(part...)} // 1,000 are less than 192 KiB
			s.parts = append(s.parts, func() error { return sendRaw(fd, sends) })
		}
		return s
	}
	requests, buf := w.lists(index), make([]byte, 32<<10)
	read := func() error {
		all := 0
		for _, request := range requests {
			n, err := dumpAll(fd, request, buf)
			if err != nil {
				return err
			}
			all += n
		}
		return w.counted(all, nil)
	}
	return []step{
		send(writeAddrs, unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL), w.check(check, dummy.ByRoute),
		{readAddrs, floor, []func() error{read}, 4}, send(deleteAddrs, unix.RTM_DELROUTE, 0),
	}
}

// lists encodes the four dumps of a link. What looks the link up is none: it is left
// out.
func (w *dummyWork) lists(index uint32) (requests [][]byte) {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		addrs := binary.NativeEndian.AppendUint32([]byte{byte(family), 0, 0, 0}, index)
		routes := (&dummyWork{family: family}).route(index, netip.Addr{})
		requests = append(requests, withHeader(unix.RTM_GETADDR, dumpFlags, addrs), withHeader(unix.RTM_GETROUTE, dumpFlags, routes))
	}
	return requests
}

// route encodes struct rtmsg and attributes: a route, or, for no address, what asks
// for all of the link.
func (w *dummyWork) route(index uint32, a netip.Addr) []byte {
	var scope uint8
	bits := 0
	if a.IsValid() {
		bits = a.BitLen()
		if a.Is4() {
			scope = unix.RT_SCOPE_HOST
		}
	}
	p := []byte{byte(w.family), byte(bits), 0, 0, unix.RT_TABLE_LOCAL, unix.RTPROT_STATIC, scope, unix.RTN_LOCAL, 0, 0, 0, 0}
	if a.IsValid() {
		p = binary.NativeEndian.AppendUint16(p, uint16(4+bits/8))
		p = binary.NativeEndian.AppendUint16(p, unix.RTA_DST)
		p = append(p, a.AsSlice()...)
	}
	p = binary.NativeEndian.AppendUint16(p, 8)
	p = binary.NativeEndian.AppendUint16(p, unix.RTA_OIF)
	return binary.NativeEndian.AppendUint32(p, index)
}

// library does one at a time, as the API of vishvananda/netlink has it.
func (w *dummyWork) library(means dummy.Means) func(t *testing.T) []step {
	by := "vishvananda/netlink 1.3.1, one at a time, by address"
	if means == dummy.ByRoute {
		by = "vishvananda/netlink 1.3.1, one at a time, by route"
	}
	return func(t *testing.T) []step {
		check, ns := w.open(t)
		h := ns.Handle()
		link, err := h.LinkByName(dummyLink)
		require.NoError(t, err)
		each := func(job string, address func(netlink.Link, *netlink.Addr) error, route func(*netlink.Route) error) step {
			return once(job, by, func() error {
				for _, a := range w.addrs {
					dst := &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
					var err error
					if means == dummy.ByAddress {
						err = address(link, &netlink.Addr{IPNet: dst, Flags: unix.IFA_F_NODAD})
					} else {
						r := &netlink.Route{Dst: dst, LinkIndex: link.Attrs().Index, Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL, Protocol: unix.RTPROT_STATIC}
						if a.Is4() {
							r.Scope = unix.RT_SCOPE_HOST
						}
						err = route(r)
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
		}
		read := func() (n int, err error) {
			if means == dummy.ByAddress {
				list, err := h.AddrList(link, w.family)
				return len(list), err
			}
			filter := &netlink.Route{LinkIndex: link.Attrs().Index, Table: unix.RT_TABLE_LOCAL, Protocol: unix.RTPROT_STATIC}
			list, err := h.RouteListFiltered(w.family, filter, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
			return len(list), err
		}
		return []step{
			each(writeAddrs, h.AddrAdd, h.RouteAdd), w.check(check, means),
			once(readAddrs, by, func() error { return w.counted(read()) }),
			each(deleteAddrs, h.AddrDel, h.RouteDel),
		}
	}
}

func (w *dummyWork) counted(n int, err error) error {
	if err == nil && n != w.n {
		err = fmt.Errorf("read %d", n)
	}
	return err
}

// batch is one process of ip(8) a job.
func (w *dummyWork) batch(means dummy.Means) func(t *testing.T) []step {
	by := "ip -batch, by address"
	show := []string{"-o", "addr", "show", "dev", dummyLink}
	if means == dummy.ByRoute {
		by = "ip -batch, by route"
		show = []string{"route", "show", "table", "local", "dev", dummyLink, "proto", "static"}
	}
	if w.family == unix.AF_INET6 {
		show = append([]string{"-6"}, show...)
	}
	return func(t *testing.T) []step {
		check, ns := w.open(t)
		do := func(job string, op dummy.Op) step {
			var b strings.Builder
			for _, c := range w.changes(op, means) {
				fmt.Fprintln(&b, strings.TrimPrefix(c.String(dummyLink), "ip "))
			}
			file := filepath.Join(t.TempDir(), "lines")
			require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o600))
			return once(job, by, func() error {
				ns.Run(t, "ip", "-batch", file)
				return nil
			})
		}
		read := func() error { return w.counted(strings.Count(ns.Run(t, "ip", show...), "\n"), nil) }
		return []step{do(writeAddrs, dummy.AddAddress), w.check(check, means), once(readAddrs, by, read), do(deleteAddrs, dummy.DeleteAddress)}
	}
}
