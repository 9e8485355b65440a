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
	"unsafe"

	moby "github.com/moby/ipvs"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/ipvs"
)

const (
	writeServers  = "services with 5 destinations written"
	setWeights    = "weights set"
	readServers   = "everything read back"
	deleteServers = "services deleted"

	perService = 5
)

// TestKernelIPVS compares ways to write, change, read and delete virtual servers.
func TestKernelIPVS(t *testing.T) {
	testenv.RequireKernel(t, testenv.IPVS, "ipvsadm")
	n := scale(10_000)
	w := newIPVSWork(n)
	some, share := fewer(n, 10)
	few := newIPVSWork(some)
	compare(t, comparison{
		facility: "ipvs",
		jobs: []job{
			{name: writeServers, objects: n, bar: 1.2}, {name: setWeights, objects: n * perService},
			{name: readServers, objects: n * (1 + perService), bar: 1.3}, {name: deleteServers, objects: n},
		},
		contenders: []contender{
			{open: w.ours},
			{open: w.floor},
			{open: few.moby, slow: true, share: share},
			{open: few.ipvsadm, slow: true, share: share},
		},
	})
}

// ipvsWork is the same work in the words of all contenders.
type ipvsWork struct {
	n       int
	keys    []ipvs.Key
	changes map[string][]ipvs.Change // by job
	lines   map[string]string        // for ipvsadm -R, by job
}

func newIPVSWork(n int) *ipvsWork {
	w := &ipvsWork{n: n, changes: make(map[string][]ipvs.Change), lines: make(map[string]string)}
	for i := range n {
		service := ipvs.Service{
			Key:       ipvs.Key{Protocol: vipkit.TCP, Addr: netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}), Port: 80},
			Scheduler: "rr",
		}
		w.keys = append(w.keys, service.Key)
		w.add(writeServers, ipvs.Change{Op: ipvs.AddService, Service: service})
		for j := range perService {
			d := ipvs.Destination{DestKey: ipvs.DestKey{Addr: netip.AddrFrom4([4]byte{10, 200 + byte(j), byte(i >> 8), byte(i)}), Port: 8080}, Weight: 1}
			w.add(writeServers, ipvs.Change{Op: ipvs.AddDestination, Service: service, Destination: d})
			d.Weight = 0
			w.add(setWeights, ipvs.Change{Op: ipvs.UpdateDestination, Service: service, Destination: d})
		}
		w.add(deleteServers, ipvs.Change{Op: ipvs.DeleteService, Service: service})
	}
	for job, changes := range w.changes {
		var b strings.Builder
		for _, c := range changes {
			fmt.Fprintln(&b, c)
		}
		w.lines[job] = b.String()
	}
	return w
}

func (w *ipvsWork) add(job string, c ipvs.Change) { w.changes[job] = append(w.changes[job], c) }

// check returns a step that compares what is there with what was written, before
// it is deleted.
func (w *ipvsWork) check(c *ipvs.Conn) step {
	return once("", "", func() error {
		have, err := ipvs.Snapshot(context.Background(), c)
		if err != nil {
			return err
		}
		if len(have) != w.n {
			return fmt.Errorf("%d services, want %d", len(have), w.n)
		}
		for _, change := range w.changes[setWeights] {
			d := have[change.Service.Key].Destinations
			if d[change.Destination.DestKey] != change.Destination || len(d) != perService {
				return fmt.Errorf("have %v, want %v", d, change)
			}
		}
		return nil
	})
}

// parts splits changes into parts that end where a virtual server does.
func parts[T any](changes []T, n int, do func([]T) error) (all []func() error) {
	const count = 20
	each := (n + count - 1) / count * (len(changes) / n)
	for part := range slices.Chunk(changes, each) {
		all = append(all, func() error { return do(part) })
	}
	return all
}

func openIPVS(t *testing.T, ns *testenv.NS) *ipvs.Conn {
	c, err := ipvs.Open(&ipvs.Config{Namespace: ns.Path()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	_, err = c.Info(t.Context()) // loads the module
	require.NoError(t, err)
	return c
}

func (w *ipvsWork) ours(t *testing.T) []step {
	c := openIPVS(t, testenv.AddNetNS(t))
	apply := func(job string) step {
		return step{job: job, by: ours, parts: parts(w.changes[job], w.n, func(part []ipvs.Change) error {
			return errors.Join(c.Apply(context.Background(), part)...)
		})}
	}
	read := func() error {
		n := 0
		for s, err := range c.Servers(context.Background(), nil) {
			if err != nil {
				return err
			}
			n += 1 + len(s.Destinations)
		}
		if n != w.n*(1+perService) {
			return fmt.Errorf("read %d objects", n)
		}
		return nil
	}
	snapshot := func() error {
		have, err := ipvs.Snapshot(context.Background(), c)
		if len(have) != w.n {
			return fmt.Errorf("read %d services: %w", len(have), err)
		}
		return err
	}
	each := func() error {
		n := 0
		for s, err := range c.Services(context.Background()) {
			if err != nil {
				return err
			}
			n++
			for _, err := range c.Destinations(context.Background(), s.Key) {
				if err != nil {
					return err
				}
				n++
			}
		}
		if n != w.n*(1+perService) {
			return fmt.Errorf("read %d objects", n)
		}
		return nil
	}
	return []step{
		apply(writeServers), apply(setWeights),
		w.check(c),
		{readServers, ours, []func() error{read}, 4},
		{readServers, "vipkit, into a map (Snapshot)", []func() error{snapshot}, 4},
		once(readServers, "vipkit, with counters (Services, then Destinations of each)", each),
		apply(deleteServers),
	}
}

// floor sends the same requests, encoded before, in sends of the same size, and
// reads the way that the decision in docs/decisions found to be the fastest: a dump
// of services and a getsockopt for the destinations of each. It decodes nothing.
func (w *ipvsWork) floor(t *testing.T) []step {
	ns := testenv.AddNetNS(t)
	check := openIPVS(t, ns)
	conn, err := nl.Open(nl.Config{Protocol: unix.NETLINK_GENERIC, Namespace: ns.Path()})
	require.NoError(t, err)
	defer conn.Close()
	family, err := conn.GenlFamily(t.Context(), "IPVS")
	require.NoError(t, err)
	fd, err := nl.Socket(ns.Path(), unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_GENERIC)
	require.NoError(t, err)
	dumps, err := nl.Socket(ns.Path(), unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_GENERIC)
	require.NoError(t, err)
	options, err := nl.Socket(ns.Path(), unix.AF_INET, unix.SOCK_DGRAM, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _, _, _ = unix.Close(fd), unix.Close(dumps), unix.Close(options) })
	require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 1<<20))
	require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20))
	send := func(job string) step {
		var encoded [][][]byte // encoded in advance, by part
		for _, encode := range parts(w.changes[job], w.n, func(part []ipvs.Change) error {
			encoded = append(encoded, encodeRaw(family, part))
			return nil
		}) {
			require.NoError(t, encode())
		}
		s := step{job: job, by: floor}
		for _, sends := range encoded {
			s.parts = append(s.parts, func() error { return sendRaw(fd, sends) })
		}
		return s
	}
	return []step{
		send(writeServers), send(setWeights), w.check(check),
		{readServers, floor, []func() error{func() error { return w.readRaw(fd, options, family) }}, 4},
		once(readServers, "one netlink dump for each service, not decoded", func() error { return w.dumpRaw(dumps, family) }),
		send(deleteServers),
	}
}

// encodeRaw encodes changes into sends of up to 192 KiB, the last message of each
// with NLM_F_ACK.
func encodeRaw(family uint16, changes []ipvs.Change) (sends [][]byte) {
	commands := map[ipvs.Op]uint8{ipvs.AddService: 1, ipvs.DeleteService: 3, ipvs.AddDestination: 5, ipvs.UpdateDestination: 6}
	var b []byte
	for _, c := range changes {
		var m nl.Batch
		m.Begin(family, unix.NLM_F_REQUEST)
		m.Genl(commands[c.Op], 1)
		at := m.Nest(1) // IPVS_CMD_ATTR_SERVICE
		m.U16(1, unix.AF_INET)
		m.U16(2, uint16(c.Service.Protocol))
		m.Addr(3, c.Service.Addr)
		m.Be16(4, c.Service.Port)
		if c.Op == ipvs.AddService {
			m.String(6, c.Service.Scheduler)
			m.Bytes(7, []byte{0, 0, 0, 0, 255, 255, 255, 255})
			m.U32(8, 0)
			m.Be32(9, ^uint32(0))
		}
		m.EndNest(at)
		if c.Op == ipvs.AddDestination || c.Op == ipvs.UpdateDestination {
			at := m.Nest(2) // IPVS_CMD_ATTR_DEST
			m.U16(11, unix.AF_INET)
			m.Addr(1, c.Destination.Addr)
			m.Be16(2, c.Destination.Port)
			m.U32(3, 0)
			m.U32(4, c.Destination.Weight)
			m.U32(5, 0)
			m.U32(6, 0)
			m.EndNest(at)
		}
		m.End()
		message := withHeader(family, unix.NLM_F_REQUEST, m.Message(0))
		if len(b)+len(message) > 192<<10 {
			sends, b = append(sends, b), nil
		}
		binary.NativeEndian.PutUint16(message[6:], unix.NLM_F_REQUEST)
		b = append(b, message...)
	}
	sends = append(sends, b)
	for _, b := range sends {
		last := 0
		for i := 0; i < len(b); i += int(binary.NativeEndian.Uint32(b[i:])) {
			last = i
		}
		binary.NativeEndian.PutUint16(b[last+6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	}
	return sends
}

// withHeader puts a struct nlmsghdr before a payload of whole words.
func withHeader(typ, flags uint16, payload []byte) []byte {
	h := make([]byte, 16, 16+len(payload))
	binary.NativeEndian.PutUint32(h, uint32(16+len(payload)))
	binary.NativeEndian.PutUint16(h[4:], typ)
	binary.NativeEndian.PutUint16(h[6:], flags)
	return append(h, payload...)
}

func sendRaw(fd int, sends [][]byte) error {
	var answer [4096]byte
	for _, b := range sends {
		if _, err := unix.Write(fd, b); err != nil {
			return err
		}
		n, err := unix.Read(fd, answer[:])
		if err != nil {
			return err
		}
		if n < 20 || binary.NativeEndian.Uint32(answer[16:]) != 0 {
			return fmt.Errorf("refused: % x", answer[:n])
		}
	}
	return nil
}

// dumpAll sends a dump's request and reads all of it; it counts the messages.
func dumpAll(fd int, request, buf []byte) (count int, err error) {
	if _, err := unix.Write(fd, request); err != nil {
		return 0, err
	}
	for {
		n, err := unix.Read(fd, buf)
		if err != nil {
			return 0, err
		}
		for b := buf[:n]; len(b) >= 16; {
			switch binary.NativeEndian.Uint16(b[4:]) {
			case unix.NLMSG_DONE:
				return count, nil
			case unix.NLMSG_ERROR:
				return 0, errors.New("dump refused")
			}
			count++
			b = b[(int(binary.NativeEndian.Uint32(b))+3)&^3:]
		}
	}
}

const dumpFlags = unix.NLM_F_REQUEST | unix.NLM_F_DUMP

func (w *ipvsWork) dumpServicesRaw(fd int, family uint16, size int) error {
	n, err := dumpAll(fd, withHeader(family, dumpFlags, []byte{4, 1, 0, 0}), make([]byte, size))
	if err == nil && n != w.n {
		err = fmt.Errorf("%d services, want %d", n, w.n)
	}
	return err
}

func (w *ipvsWork) readRaw(fd, options int, family uint16) error {
	if err := w.dumpServicesRaw(fd, family, 32<<10); err != nil {
		return err
	}
	const head, entry = 24, 96 // struct ip_vs_get_dests, ip_vs_dest_entry
	var p [head + (perService+1)*entry]byte
	for _, k := range w.keys {
		clear(p[:])
		binary.NativeEndian.PutUint16(p[:], uint16(k.Protocol))
		a := k.Addr.As4()
		copy(p[4:], a[:])
		binary.BigEndian.PutUint16(p[8:], k.Port)
		binary.NativeEndian.PutUint32(p[16:], perService+1)
		n := uint32(len(p))
		const getDests = 1156 // IP_VS_SO_GET_DESTS
		if _, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(options), unix.IPPROTO_IP, getDests,
			uintptr(unsafe.Pointer(&p)), uintptr(unsafe.Pointer(&n)), 0); errno != 0 {
			return errno
		}
	}
	return nil
}

func (w *ipvsWork) dumpRaw(fd int, family uint16) error {
	if err := w.dumpServicesRaw(fd, family, 4<<10); err != nil {
		return err
	}
	buf := make([]byte, 4<<10) // larger ones make the kernel much slower
	for _, k := range w.keys {
		var m nl.Batch
		m.Begin(family, 0)
		m.Genl(8, 1) // IPVS_CMD_GET_DEST
		at := m.Nest(1)
		m.U16(1, unix.AF_INET)
		m.U16(2, uint16(k.Protocol))
		m.Addr(3, k.Addr)
		m.Be16(4, k.Port)
		m.EndNest(at)
		m.End()
		n, err := dumpAll(fd, withHeader(family, dumpFlags, m.Message(0)), buf)
		if err == nil && n != perService {
			err = fmt.Errorf("%d destinations", n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// moby does one thing at a time, as its API has it.
func (w *ipvsWork) moby(t *testing.T) []step {
	const by = "moby/ipvs 1.1.0, one at a time"
	ns := testenv.AddNetNS(t)
	check := openIPVS(t, ns)
	var h *moby.Handle
	require.NoError(t, ns.Do(func() (err error) {
		h, err = moby.New("")
		return err
	}))
	t.Cleanup(h.Close)
	services := make([]*moby.Service, w.n)
	byKey := make(map[ipvs.Key]*moby.Service)
	for i, k := range w.keys {
		services[i] = &moby.Service{
			AddressFamily: unix.AF_INET, Protocol: uint16(k.Protocol), Address: net.IP(k.Addr.AsSlice()), Port: k.Port,
			SchedName: "rr", Netmask: ^uint32(0),
		}
		byKey[k] = services[i]
	}
	do := func(job string) step {
		type operation struct {
			op          ipvs.Op
			service     *moby.Service
			destination *moby.Destination
		}
		var all []operation
		for _, c := range w.changes[job] {
			o := operation{c.Op, byKey[c.Service.Key], nil}
			if c.Destination.Addr.IsValid() {
				o.destination = &moby.Destination{
					AddressFamily: unix.AF_INET, Address: net.IP(c.Destination.Addr.AsSlice()), Port: c.Destination.Port, Weight: int(c.Destination.Weight),
				}
			}
			all = append(all, o)
		}
		return once(job, by, func() error {
			for _, o := range all {
				var err error
				switch o.op {
				case ipvs.AddService:
					err = h.NewService(o.service)
				case ipvs.DeleteService:
					err = h.DelService(o.service)
				case ipvs.AddDestination:
					err = h.NewDestination(o.service, o.destination)
				default:
					err = h.UpdateDestination(o.service, o.destination)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	read := func() error {
		all, err := h.GetServices()
		if err != nil {
			return err
		}
		n := len(all)
		for _, s := range all {
			d, err := h.GetDestinations(s)
			if err != nil {
				return err
			}
			n += len(d)
		}
		if n != w.n*(1+perService) {
			return fmt.Errorf("read %d objects", n)
		}
		return nil
	}
	return []step{do(writeServers), do(setWeights), w.check(check), once(readServers, by, read), do(deleteServers)}
}

// ipvsadm is one process a job.
func (w *ipvsWork) ipvsadm(t *testing.T) []step {
	ns := testenv.AddNetNS(t)
	check := openIPVS(t, ns)
	restore := func(job string) step {
		file := filepath.Join(t.TempDir(), "lines")
		require.NoError(t, os.WriteFile(file, []byte(w.lines[job]), 0o600))
		return once(job, "ipvsadm --restore", func() error {
			ns.Run(t, "sh", "-c", "ipvsadm --restore <"+file)
			return nil
		})
	}
	save := func() error {
		if n := strings.Count(ns.Run(t, "ipvsadm", "--save", "-n"), "\n"); n != w.n*(1+perService) {
			return fmt.Errorf("read %d objects", n)
		}
		return nil
	}
	return []step{
		restore(writeServers), restore(setWeights), w.check(check),
		once(readServers, "ipvsadm --save -n", save), restore(deleteServers),
	}
}
