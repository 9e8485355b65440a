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
}

// appendChange appends the request for a valid change. It does not allocate
// but to grow the batch.
func appendChange(b *nl.Batch, family uint16, c *Change) {
	b.Begin(family, 0)
	b.Genl(commands[c.Op], genlVersion)
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
