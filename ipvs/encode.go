package ipvs

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/vipkit/vipkit/internal/nl"
)

// commands gives each Op its command.
var commands = [...]uint8{
	AddService: cmdNewService, UpdateService: cmdSetService, DeleteService: cmdDelService,
	AddDestination: cmdNewDest, UpdateDestination: cmdSetDest, DeleteDestination: cmdDelDest,
	ZeroService: cmdZero, ZeroAll: cmdZero,
}

// maxRequest is more than any request has, in bytes.
const maxRequest = 320

// An encoder appends requests for changes. It keeps the last of each Op: most
// changes of a batch differ from it only in values that have a fixed place.
type encoder struct {
	family uint16
	last   [ZeroService + 1]template
}

// template is a request and the change that it is for.
type template struct {
	change  Change
	request []byte // nil: none yet
}

// append appends the request for a valid change. It allocates only when the batch
// grows.
func (e *encoder) append(b *nl.Batch, c *Change) {
	if c.Op == ZeroAll {
		appendChange(b, e.family, c)
		return
	}
	t := &e.last[c.Op]
	if t.fits(c) {
		t.patch(b.Append(t.request), c)
		return
	}
	appendChange(b, e.family, c)
	if t.request == nil {
		t.request = make([]byte, 0, maxRequest)
	}
	t.change, t.request = *c, append(t.request[:0], b.Last()...)
}

// Offsets in a request for a virtual server by address: struct nlmsghdr and
// genlmsghdr, then the attributes in the order of appendKey and appendDestination.
const (
	atAddr        = 16 + 4 + 4 + 8 + 8 + 4 // headers, nest, family, protocol, attribute header
	addrToPort    = 4                      // from the end of an address to the port
	portToAddr    = 4 + 4 + 8 + 4          // from a virtual server's port to its destination's address: nest, family, header
	portToForward = 4 + 4                  // from a destination's port on
	portToWeight  = portToForward + 8
	portToUpper   = portToWeight + 8
	portToLower   = portToUpper + 8
)

// fits reports whether the request for c has the form of the template's and differs
// only in what patch writes.
func (t *template) fits(c *Change) bool {
	have, want := &t.change.Service, &c.Service
	if t.request == nil || have.Mark != 0 || want.Mark != 0 || have.Protocol != want.Protocol || have.Addr.Is4() != want.Addr.Is4() {
		return false
	}
	switch c.Op {
	case AddService, UpdateService:
		return have.Scheduler == want.Scheduler && have.Flags == want.Flags && have.Timeout == want.Timeout &&
			have.PersistenceBits == want.PersistenceBits && have.PersistenceEngine == want.PersistenceEngine
	case AddDestination, UpdateDestination:
		if t.change.Destination.Forward == Tunnel || c.Destination.Forward == Tunnel {
			return false
		}
		fallthrough
	case DeleteDestination:
		return t.change.Destination.Addr.Is4() == c.Destination.Addr.Is4()
	default:
	}
	return true
}

// patch writes what tells changes of the same form apart.
func (*template) patch(m []byte, c *Change) {
	port := atAddr + putAddr(m[atAddr:], c.Service.Addr) + addrToPort
	binary.BigEndian.PutUint16(m[port:], c.Service.Port)
	if !c.Op.ofDestination() {
		return
	}
	d := &c.Destination
	at := port + portToAddr
	port = at + putAddr(m[at:], d.Addr) + addrToPort
	binary.BigEndian.PutUint16(m[port:], d.Port)
	if c.Op == DeleteDestination {
		return
	}
	m = m[port : port+portToLower+4]
	binary.NativeEndian.PutUint32(m[portToForward:], uint32(d.Forward))
	binary.NativeEndian.PutUint32(m[portToWeight:], d.Weight)
	binary.NativeEndian.PutUint32(m[portToUpper:], d.Upper)
	binary.NativeEndian.PutUint32(m[portToLower:], d.Lower)
}

// putAddr writes an address and returns its length.
func putAddr(p []byte, a netip.Addr) int {
	if a.Is4() {
		*(*[4]byte)(p) = a.As4()
		return 4
	}
	*(*[16]byte)(p) = a.As16()
	return 16
}

// appendChange appends the request for a valid change. It does not allocate
// but to grow the batch.
func appendChange(b *nl.Batch, family uint16, c *Change) {
	b.Begin(family, 0)
	b.Genl(commands[c.Op], genlVersion)
	if c.Op == ZeroAll {
		b.End()
		return
	}
	at := b.Nest(attrService)
	appendKey(b, &c.Service.Key)
	if c.Op == AddService || c.Op == UpdateService {
		appendSettings(b, &c.Service)
	}
	b.EndNest(at)
	if c.Op.ofDestination() {
		at = b.Nest(attrDest)
		appendDestination(b, &c.Destination, c.Op != DeleteDestination)
		b.EndNest(at)
	}
	b.End()
}

func appendKey(b *nl.Batch, k *Key) {
	b.U16(svcFamily, familyNumber(k.Addr))
	if k.Mark != 0 {
		b.U32(svcMark, k.Mark)
		return
	}
	b.U16(svcProtocol, uint16(k.Protocol))
	b.Addr(svcAddr, k.Addr)
	b.Be16(svcPort, k.Port)
}

// appendSettings appends all settings: the kernel replaces them as a whole.
func appendSettings(b *nl.Batch, s *Service) {
	b.String(svcScheduler, s.Scheduler)
	flags := uint32(s.Flags)
	if s.Timeout != 0 {
		flags |= flagPersistent
	}
	var f [8]byte
	binary.NativeEndian.PutUint32(f[:], flags)
	binary.NativeEndian.PutUint32(f[4:], ^uint32(0))
	b.Bytes(svcFlags, f[:])
	b.U32(svcTimeout, uint32(s.Timeout/time.Second))
	prefix := uint32(s.Canonical().PersistenceBits)
	if s.Addr.Is4() {
		b.Be32(svcNetmask, ^uint32(0)<<(32-prefix))
	} else {
		b.U32(svcNetmask, prefix)
	}
	if s.PersistenceEngine != "" {
		b.String(svcEngine, s.PersistenceEngine)
	}
}

func appendDestination(b *nl.Batch, d *Destination, settings bool) {
	b.U16(destFamily, familyNumber(d.Addr))
	b.Addr(destAddr, d.Addr)
	b.Be16(destPort, d.Port)
	if !settings {
		return
	}
	b.U32(destForward, uint32(d.Forward))
	b.U32(destWeight, d.Weight)
	b.U32(destUpper, d.Upper)
	b.U32(destLower, d.Lower)
	if d.Forward != Tunnel {
		return // without them the kernel assumes IP-in-IP
	}
	b.U8(destTunnelType, uint8(d.Tunnel.Type))
	b.Be16(destTunnelPort, d.Tunnel.Port)
	b.U16(destTunnelFlags, d.Tunnel.Flags)
}

// appendTimeouts appends the request that sets those that are not zero.
func appendTimeouts(b *nl.Batch, family uint16, t Timeouts) {
	b.Begin(family, 0)
	b.Genl(cmdSetConfig, genlVersion)
	b.U32(attrTimeoutTCP, uint32(t.TCP/time.Second))
	b.U32(attrTimeoutTCPFin, uint32(t.TCPFin/time.Second))
	b.U32(attrTimeoutUDP, uint32(t.UDP/time.Second))
	b.End()
}

// appendDaemon appends the request that starts a daemon, or with cmdDelDaemon stops
// that of its state.
func appendDaemon(b *nl.Batch, family uint16, cmd uint8, d *Daemon) {
	b.Begin(family, 0)
	b.Genl(cmd, genlVersion)
	at := b.Nest(attrDaemon)
	b.U32(daemonState, uint32(d.State))
	if cmd == cmdNewDaemon {
		b.String(daemonInterface, d.Interface)
		b.U32(daemonSyncID, uint32(d.SyncID))
		b.U16(daemonMaxLen, d.MaxLen)
		b.U16(daemonPort, d.Port)
		b.U8(daemonTTL, d.TTL)
		switch {
		case d.Group.Is4():
			b.Addr(daemonGroup, d.Group)
		case d.Group.Is6():
			b.Addr(daemonGroup6, d.Group)
		}
	}
	b.EndNest(at)
	b.End()
}

// appendGetDestinations appends the request for a dump of destinations.
func appendGetDestinations(b *nl.Batch, family uint16, k *Key, dump uint16) {
	b.Begin(family, dump)
	b.Genl(cmdGetDest, genlVersion)
	at := b.Nest(attrService)
	appendKey(b, k)
	b.EndNest(at)
	b.End()
}

func familyNumber(a netip.Addr) uint16 {
	if a.Is4() {
		return afInet
	}
	return afInet6
}
