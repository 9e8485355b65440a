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
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/ipset"
)

const (
	addEntries    = "entries added"
	readEntries   = "entries read back"
	deleteEntries = "entries deleted"
)

// TestKernelIPSet compares ways to add, list and delete the entries of a
// hash:ip,port set, which is as large from the start as it has to be.
func TestKernelIPSet(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPSet, "ipset")
	n := scale(100_000)
	w := newIPSetWork(n)
	some, share := fewer(n, 20)
	few := newIPSetWork(some)
	const dear = "What vipkit does for an entry (to look at a whole Change and encode it, or to decode one) grows more under emulation " +
		"than what the kernel does: compare the running kernel's table. How much of it is the load of the machine is not known."
	compare(t, comparison{
		facility: "ipset",
		jobs: []job{
			{name: addEntries, objects: n, bar: 1.2, note: dear},
			{name: readEntries, objects: n, bar: 1.3, note: dear},
			{name: deleteEntries, objects: n, bar: 1.2, note: dear},
		},
		contenders: []contender{
			{open: w.ours},
			{open: w.floor},
			{open: few.netlink, slow: true, share: share},
			{open: few.tool, slow: true, share: share},
		},
	})
}

// ipsetWork is the same work in the words of all contenders.
type ipsetWork struct {
	n       int
	set     ipset.Set
	changes map[string][]ipset.Change // by job
}

func newIPSetWork(n int) *ipsetWork {
	w := &ipsetWork{
		n:       n,
		set:     ipset.Set{Name: "VIPKIT-BENCH", Type: ipset.HashIPPort, Family: vipkit.IPv4, HashSize: uint32(n), MaxElem: uint32(n)},
		changes: make(map[string][]ipset.Change),
	}
	set := ipset.Set{Name: w.set.Name, Type: w.set.Type, Family: w.set.Family}
	for i := range n {
		e := ipset.Entry{EntryKey: ipset.Key(netip.AddrFrom4([4]byte{10, 96 + byte(i>>16), byte(i >> 8), byte(i)}), vipkit.TCP, 80)}
		w.changes[addEntries] = append(w.changes[addEntries], ipset.Change{Op: ipset.AddEntry, Set: set, Entry: e})
		w.changes[deleteEntries] = append(w.changes[deleteEntries], ipset.Change{Op: ipset.DeleteEntry, Set: set, Entry: e})
	}
	return w
}

// open returns a Conn in a fresh namespace that has the empty set.
func (w *ipsetWork) open(t *testing.T) (*ipset.Conn, *testenv.NS) {
	ns := testenv.AddNetNS(t)
	c, err := ipset.Open(&ipset.Config{Namespace: ns.Path()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	require.Nil(t, c.Apply(t.Context(), []ipset.Change{{Op: ipset.CreateSet, Set: w.set}}))
	return c, ns
}

// check returns a step that compares what is there with what was added.
func (w *ipsetWork) check(c *ipset.Conn) step {
	return once("", "", func() error {
		have, err := ipset.Snapshot(context.Background(), c, w.set.Name)
		if err != nil {
			return err
		}
		if len(have) != w.n {
			return fmt.Errorf("%d entries, want %d", len(have), w.n)
		}
		for i, e := range have {
			if want := w.changes[addEntries][i].Entry; e != want {
				return fmt.Errorf("have %v, want %v", e, want)
			}
		}
		return nil
	})
}

func (w *ipsetWork) ours(t *testing.T) []step {
	c, _ := w.open(t)
	apply := func(job string) step {
		return step{job: job, by: ours, parts: parts(w.changes[job], w.n, func(part []ipset.Change) error {
			return errors.Join(c.Apply(context.Background(), part)...)
		})}
	}
	read := func() error {
		n := 0
		for _, err := range c.Entries(context.Background(), w.set.Name) {
			if err != nil {
				return err
			}
			n++
		}
		if n != w.n {
			return fmt.Errorf("read %d entries", n)
		}
		return nil
	}
	snapshot := func() error {
		have, err := ipset.Snapshot(context.Background(), c, w.set.Name)
		if len(have) != w.n {
			return fmt.Errorf("read %d entries: %w", len(have), err)
		}
		return err
	}
	return []step{
		apply(addEntries), w.check(c),
		{readEntries, ours, []func() error{read}, 4},
		{readEntries, "vipkit, sorted (Snapshot)", []func() error{snapshot}, 4},
		apply(deleteEntries),
	}
}

// Numbers of include/uapi/linux/netfilter/ipset/ip_set.h for requests made by hand.
const (
	rawSubsys, rawAdd, rawDel, rawList = 6 << 8, 9, 10, 7
	rawVersion                         = 6
	rawNetOrder                        = 1 << 14
)

// floor sends the same requests, encoded before, in sends of the same size, and
// reads a dump that it does not decode.
func (w *ipsetWork) floor(t *testing.T) []step {
	check, ns := w.open(t)
	fd, err := nl.Socket(ns.Path(), unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER)
	require.NoError(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 1<<20))
	require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20))
	send := func(job string) step {
		s := step{job: job, by: floor}
		for _, encode := range parts(w.changes[job], w.n, func(part []ipset.Change) error {
			sends := w.encodeRaw(part)
			s.parts = append(s.parts, func() error { return sendRaw(fd, sends) })
			return nil
		}) {
			require.NoError(t, encode())
		}
		return s
	}
	buf := make([]byte, 32<<10)
	read := func() error {
		var m nl.Batch
		w.beginRaw(&m, rawList)
		m.End()
		_, err := dumpAll(fd, withHeader(rawSubsys|rawList, dumpFlags, m.Message(0)), buf)
		return err
	}
	return []step{send(addEntries), w.check(check), {readEntries, floor, []func() error{read}, 4}, send(deleteEntries)}
}

func (w *ipsetWork) beginRaw(m *nl.Batch, cmd uint16) {
	m.Begin(rawSubsys|cmd, 0)
	m.Nfgen(unix.AF_INET)
	m.U8(1, rawVersion)
	m.String(2, w.set.Name)
}

// encodeRaw encodes changes into messages of up to 60 KiB and sends of up to
// 192 KiB, the last message of each with NLM_F_ACK.
func (w *ipsetWork) encodeRaw(changes []ipset.Change) (sends [][]byte) {
	const flags = unix.NLM_F_REQUEST | unix.NLM_F_EXCL
	cmd := uint16(rawAdd)
	if changes[0].Op == ipset.DeleteEntry {
		cmd = rawDel
	}
	var b []byte
	last := 0
	for len(changes) > 0 {
		var m nl.Batch
		w.beginRaw(&m, cmd)
		m.U32(9, 0) // IPSET_ATTR_LINENO
		adt := m.Nest(8)
		n := 0
		for ; n < len(changes) && m.MessageLen() < 60<<10; n++ {
			e := changes[n].Entry
			data := m.Nest(7)
			m.U32(9, uint32(n+1))
			ip := m.Nest(1)
			m.Addr(1|rawNetOrder, e.Net.Addr())
			m.EndNest(ip)
			m.Be16(4|rawNetOrder, e.Port)
			m.U8(7, uint8(e.Protocol))
			m.EndNest(data)
		}
		m.EndNest(adt)
		m.End()
		changes = changes[n:]
		message := withHeader(rawSubsys|cmd, flags, m.Message(0))
		if len(b)+len(message) > 192<<10 {
			sends, b = append(sends, ackLast(b, last, flags)), nil
		}
		last = len(b)
		b = append(b, message...)
	}
	return append(sends, ackLast(b, last, flags))
}

// ackLast asks for an acknowledgement of the last message, which starts at last.
func ackLast(b []byte, last int, flags uint16) []byte {
	binary.NativeEndian.PutUint16(b[last+6:], flags|unix.NLM_F_ACK)
	return b
}

// netlink does one thing at a time, as its API has it.
func (w *ipsetWork) netlink(t *testing.T) []step {
	const by = "vishvananda/netlink 1.3.1, one at a time"
	check, ns := w.open(t)
	var h *netlink.Handle
	require.NoError(t, ns.Do(func() (err error) {
		h, err = netlink.NewHandle(unix.NETLINK_NETFILTER)
		return err
	}))
	t.Cleanup(h.Close)
	do := func(job string, one func(string, *netlink.IPSetEntry) error) step {
		entries := make([]netlink.IPSetEntry, w.n)
		for i, c := range w.changes[job] {
			port, protocol := c.Entry.Port, uint8(c.Entry.Protocol)
			entries[i] = netlink.IPSetEntry{IP: net.IP(c.Entry.Net.Addr().AsSlice()), Port: &port, Protocol: &protocol}
		}
		return once(job, by, func() error {
			for i := range entries {
				if err := one(w.set.Name, &entries[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	list := func() error {
		all, err := h.IpsetList(w.set.Name)
		if err == nil && len(all.Entries) != w.n {
			err = fmt.Errorf("read %d entries", len(all.Entries))
		}
		return err
	}
	return []step{do(addEntries, h.IpsetAdd), w.check(check), once(readEntries, by, list), do(deleteEntries, h.IpsetDel)}
}

// tool is one process a job.
func (w *ipsetWork) tool(t *testing.T) []step {
	check, ns := w.open(t)
	restore := func(job string) step {
		var b strings.Builder
		for _, c := range w.changes[job] {
			fmt.Fprintln(&b, c)
		}
		file := filepath.Join(t.TempDir(), "lines")
		require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o600))
		return once(job, "ipset restore", func() error {
			ns.Run(t, "ipset", "restore", "-file", file)
			return nil
		})
	}
	save := func() error {
		if n := strings.Count(ns.Run(t, "ipset", "save"), "\n"); n != w.n+1 {
			return fmt.Errorf("read %d lines", n)
		}
		return nil
	}
	return []step{restore(addEntries), w.check(check), once(readEntries, "ipset save", save), restore(deleteEntries)}
}
