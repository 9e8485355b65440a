package ipvs

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"time"

	"github.com/vipkit/vipkit"
)

// Key identifies a virtual server: an address, port and protocol, or a
// firewall mark and family. It is comparable and serves as a map key.
type Key struct {
	// Protocol is TCP, UDP or SCTP; zero with a Mark.
	Protocol vipkit.Protocol
	// Addr is the virtual address, unmapped and without zone. With a Mark it
	// is the unspecified address of the family.
	Addr netip.Addr
	// Port is 1–65535; 0 (every port) only with persistence, or with a Mark.
	Port uint16
	// Mark selects packets by firewall mark, compared as a whole. Zero means
	// that the key is an address.
	Mark uint32
}

// MarkKey returns the key of the virtual server that takes packets of family
// with firewall mark (1 or more).
func MarkKey(family vipkit.Family, mark uint32) Key {
	if family == vipkit.IPv6 {
		return Key{Addr: netip.IPv6Unspecified(), Mark: mark}
	}
	return Key{Addr: netip.IPv4Unspecified(), Mark: mark}
}

// Family returns the address family of the virtual server.
func (k Key) Family() vipkit.Family { return vipkit.FamilyOf(k.Addr) }

// Service is a virtual server's identity and settings. Two are equal (==)
// when the kernel would treat packets equally. Counters are not part of it.
type Service struct {
	Key
	// Scheduler is the kernel's name for it, at most 15 bytes: one of
	// [Schedulers], or a module's that the kernel's tree does not have. It has
	// no default.
	Scheduler string
	// Flags are the scheduler's flags, if it heeds any, and one-packet
	// scheduling. Persistence is not a flag here: it is on when Timeout is not
	// zero.
	Flags Flags
	// Timeout is how long a client stays with its destination (persistence),
	// in whole seconds, 1 s to 31 days as ipvsadm has it. Zero: no
	// persistence.
	Timeout time.Duration
	// PersistenceBits is the prefix length at which clients count as one for
	// persistence: 1–32 or 1–128. It is the family's full length
	// without persistence, and zero means that full length on input.
	PersistenceBits uint8
	// PersistenceEngine is "" or "sip".
	PersistenceEngine string
}

// Flags are bits of struct ip_vs_service.flags (include/uapi/linux/ip_vs.h).
// The kernel's own HASHED bit and the PERSISTENT bit never show here.
type Flags uint32

// Flags of a virtual server. Of the kernel's schedulers two heed flags: Sched1 is
// sh-fallback and mh-fallback, Sched2 is sh-port and mh-port.
const (
	OnePacket Flags = 0x4
	Sched1    Flags = 0x8
	Sched2    Flags = 0x10
	Sched3    Flags = 0x20

	validFlags = OnePacket | Sched1 | Sched2 | Sched3
)

// DestKey identifies a destination (real server) within one virtual server.
type DestKey struct {
	// Addr is unmapped and without zone. Its family may differ from the
	// virtual server's only with Tunnel forwarding.
	Addr netip.Addr
	// Port is 0–65535. Direct and Tunnel do not translate it: there it must
	// be the virtual server's own.
	Port uint16
}

// Destination is a real server's identity and settings, comparable with ==.
type Destination struct {
	DestKey
	// Weight is 0–65535 in vipkit, though the kernel takes up to 2³¹−1. Zero
	// means no new connections and is never defaulted.
	Weight uint32
	// Forward is how packets reach the destination; zero is Masquerade.
	Forward Forward
	// Upper is the number of connections above which the destination gets no
	// new ones, until they fall below Lower (or 3/4 of Upper if Lower is 0).
	// Zero: no limit. Both are at most 2³¹−1, and Lower at most Upper.
	Upper, Lower uint32
	// Tunnel applies to Forward == Tunnel only (since Linux 5.2; flags 5.3).
	Tunnel TunnelConfig
}

// Forward is a packet-forwarding method, with the kernel's numbers
// (IP_VS_CONN_F_FWD_MASK).
type Forward uint8

// Forwarding methods.
const (
	Masquerade Forward = 0 // NAT
	Local      Forward = 1 // of older kernels for a destination of their own; never written
	Tunnel     Forward = 2
	Direct     Forward = 3 // DR, ipvsadm's "gatewaying"
)

// TunnelConfig is the encapsulation of a Tunnel destination. Its zero value is
// IP-in-IP.
type TunnelConfig struct {
	Type  TunnelType
	Port  uint16 // GUE only: UDP destination port, 1–65535
	Flags uint16 // zero, TunnelChecksum (GUE and GRE) or TunnelRemoteChecksum (GUE)
}

// TunnelType is an encapsulation, with the kernel's numbers.
type TunnelType uint8

// Encapsulations.
const (
	IPIP TunnelType = 0
	GUE  TunnelType = 1
	GRE  TunnelType = 2
)

// ServiceInfo is a virtual server as the kernel reports it.
type ServiceInfo struct {
	Service
	Stats Stats
}

// DestinationInfo is a destination as the kernel reports it.
type DestinationInfo struct {
	Destination
	// Active and Inactive are connections in and out of the established
	// state; Persistent are persistence templates.
	Active, Inactive, Persistent uint32
	Stats                        Stats
}

// Stats are counters since the object was made, or since they were zeroed. The
// kernel adds them up every two seconds (net/netfilter/ipvs/ip_vs_est.c).
type Stats struct {
	Connections, PacketsIn, PacketsOut, BytesIn, BytesOut uint64
	Rates                                                 Rates
}

// Rates are averages a second that the kernel keeps, over the last ten seconds
// or so.
type Rates struct {
	Connections, PacketsIn, PacketsOut, BytesIn, BytesOut uint64
}

// Info is what the kernel says of IPVS as a whole.
type Info struct {
	// Version is IPVS's own (IP_VS_VERSION_CODE), such as 1.2.1.
	Version [3]uint8
	// ConnTableSize is the number of buckets of the connection table.
	ConnTableSize uint32
}

// Op is what a [Change] does.
type Op uint8

// Operations of a Change. They are the kernel's own: nothing is implied.
const (
	AddService        Op = iota + 1 // fails with fs.ErrExist if Key is there
	UpdateService                   // all settings at once; fs.ErrNotExist
	DeleteService                   // with its destinations; fs.ErrNotExist
	AddDestination                  // fs.ErrExist; fs.ErrNotExist without the service
	UpdateDestination               // all settings at once; fs.ErrNotExist
	DeleteDestination               // fs.ErrNotExist
	ZeroService                     // its counters and its destinations'; fs.ErrNotExist
	ZeroAll                         // all counters; nothing else of the Change counts
)

// Change is one write. It is comparable.
type Change struct {
	Op Op
	// Service is the virtual server. Only its Key counts where the operation
	// needs no more.
	Service Service
	// Destination is the real server of the destination operations. Only its
	// DestKey counts for DeleteDestination.
	Destination Destination
}

// Client is the kernel's IPVS, or something that answers as it does. All
// methods are safe for concurrent use. A context that is done before the call
// leaves everything unchanged.
type Client interface {
	// Info returns what the kernel says of IPVS as a whole. It fails with
	// errors.ErrUnsupported where the module ip_vs is missing, and with
	// fs.ErrPermission outside the initial user namespace or without
	// CAP_NET_ADMIN.
	Info(ctx context.Context) (Info, error)

	// Services yields every virtual server of both families, in no order.
	// None is no error. An error ends the sequence: what came before it is
	// then not the whole.
	Services(ctx context.Context) iter.Seq2[ServiceInfo, error]

	// Destinations yields the destinations of one virtual server, in no
	// order. A virtual server that is missing has none and is no error: so
	// the kernel answers. It fails with fs.ErrInvalid for a key without an
	// address in vipkit's form.
	Destinations(ctx context.Context, of Key) iter.Seq2[DestinationInfo, error]

	// Servers yields every virtual server of both families with its
	// destinations, in no order and without counters, in the fewest requests
	// that the kernel allows: the way to read a large table. full tells of
	// which the destinations are wanted, nil of all; the others are yielded
	// without. Each virtual server is as it was when it was read, not all at
	// one time; one deleted in the meantime is left out or has no
	// destinations. An error ends the sequence: what came before it is then
	// not the whole.
	Servers(ctx context.Context, full func(Key) bool) iter.Seq2[Row, error]

	// Apply carries out changes in order. One that fails does not stop those
	// after it. It returns nil if all succeeded, and otherwise one error a
	// change at the same index, nil where it succeeded; each is a
	// *vipkit.OpError of kind fs.ErrExist, fs.ErrNotExist, fs.ErrInvalid,
	// fs.ErrPermission, errors.ErrUnsupported (a scheduler or persistence
	// engine that the kernel lacks), vipkit.ErrReplyLost, or the context's.
	Apply(ctx context.Context, changes []Change) []error

	// Timeouts returns how long idle connections are kept.
	Timeouts(ctx context.Context) (Timeouts, error)

	// SetTimeouts sets those that are not zero. It fails with fs.ErrInvalid,
	// or as Info does.
	SetTimeouts(ctx context.Context, t Timeouts) error

	// Daemons returns the synchronisation daemons that run: a master, a
	// backup, both or, as a rule, none.
	Daemons(ctx context.Context) ([]Daemon, error)

	// StartDaemon starts a synchronisation daemon. It fails with fs.ErrExist if
	// one of that State runs, fs.ErrNotExist if there is no such Interface,
	// fs.ErrInvalid also while any destination has another family than its
	// virtual server (the protocol cannot tell of it, and while a daemon runs
	// none can be added), or as Info does.
	StartDaemon(ctx context.Context, d Daemon) error

	// StopDaemon stops the daemon of that state. It fails with fs.ErrNotExist
	// if none runs, or as Info does.
	StopDaemon(ctx context.Context, state DaemonState) error
}

// Row is a virtual server with its destinations in no order, as [Client.Servers]
// yields it: cheaper to make than a Server. It is the caller's own.
type Row struct {
	Service
	Destinations []Destination
}

// Server returns the row as a Server.
func (r Row) Server() Server {
	s := Server{Service: r.Service, Destinations: make(map[DestKey]Destination, len(r.Destinations))}
	for i := range r.Destinations {
		s.Destinations[r.Destinations[i].DestKey] = r.Destinations[i]
	}
	return s
}

// Server is a virtual server with its destinations, without counters: what
// [Diff] compares.
type Server struct {
	Service
	Destinations map[DestKey]Destination
}

// Snapshot reads every virtual server with its destinations.
func Snapshot(ctx context.Context, c Client) (map[Key]Server, error) {
	servers := make(map[Key]Server)
	for row, err := range c.Servers(ctx, nil) {
		if err != nil {
			return nil, fmt.Errorf("read virtual servers: %w", err)
		}
		servers[row.Key] = row.Server()
	}
	return servers, nil
}
