package ipvs

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"time"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
)

// nestedIn returns the value of the one attribute that a reply is expected to
// have behind its struct genlmsghdr.
func nestedIn(m nl.Message, typ uint16) ([]byte, bool) {
	if len(m.Data) < 4 {
		return nil, false
	}
	var value []byte
	found := false
	for rest := m.Data[4:]; len(rest) > 0; {
		var a nl.Attr
		var ok bool
		if a, rest, ok = nl.Next(rest); !ok {
			return nil, false
		}
		if a.Type == typ {
			value, found = a.Data, true
		}
	}
	return value, found
}

// address returns an address of a family from the 16 bytes of a union
// nf_inet_addr, or from fewer.
func address(family uint16, b []byte) (netip.Addr, bool) {
	switch {
	case family == afInet && len(b) >= 4:
		return netip.AddrFrom4([4]byte(b)), true
	case family == afInet6 && len(b) >= 16:
		return netip.AddrFrom16([16]byte(b)), true
	}
	return netip.Addr{}, false
}

// rawService is a virtual server as its attributes say it.
type rawService struct {
	ServiceInfo
	has              uint32 // bits of the attributes seen
	family, protocol uint16
	addr, mask       []byte
	flags, timeout   uint32
	stats            statsReader
}

// decodeService reads a virtual server; it reports false for anything that is
// not whole.
func decodeService(m nl.Message) (ServiceInfo, bool) {
	var r rawService
	return r.decode(m)
}

// decodeSettings reads a virtual server without its counters.
func decodeSettings(m nl.Message) (Service, bool) {
	r := rawService{stats: statsReader{skip: true}}
	s, ok := r.decode(m)
	return s.Service, ok
}

func (r *rawService) decode(m nl.Message) (ServiceInfo, bool) {
	data, ok := nestedIn(m, attrService)
	if !ok {
		return ServiceInfo{}, false
	}
	for len(data) > 0 {
		var a nl.Attr
		if a, data, ok = nl.Next(data); !ok || !r.read(a) {
			return ServiceInfo{}, false
		}
		r.has |= 1 << a.Type
	}
	const settings = 1<<svcFamily | 1<<svcScheduler | 1<<svcFlags | 1<<svcTimeout | 1<<svcNetmask
	const tuple = 1<<svcProtocol | 1<<svcAddr | 1<<svcPort
	if r.has&settings != settings || r.Mark == 0 && r.has&tuple != tuple {
		return ServiceInfo{}, false
	}
	return r.finish()
}

// read takes one attribute.
func (r *rawService) read(a nl.Attr) (ok bool) {
	switch a.Type {
	case svcFamily:
		r.family, ok = a.U16()
	case svcProtocol:
		r.protocol, ok = a.U16()
	case svcAddr:
		r.addr, ok = a.Data, true
	case svcPort:
		r.Port, ok = a.Be16()
	case svcMark:
		r.Mark, ok = a.U32()
	case svcScheduler:
		r.Scheduler, ok = intern(a), true
	case svcFlags:
		if ok = len(a.Data) == 8; ok {
			r.flags = binary.NativeEndian.Uint32(a.Data)
		}
	case svcTimeout:
		r.timeout, ok = a.U32()
	case svcNetmask:
		r.mask, ok = a.Data, len(a.Data) == 4
	case svcStats, svcStats64:
		ok = r.stats.read(a, a.Type == svcStats64)
	case svcEngine:
		r.PersistenceEngine, ok = intern(a), true
	default:
		ok = true
	}
	return ok
}

// finish puts together what only all attributes tell.
func (r *rawService) finish() (s ServiceInfo, ok bool) {
	s = r.ServiceInfo
	if s.Mark != 0 {
		if r.family != afInet && r.family != afInet6 {
			return s, false
		}
		s.Key = MarkKey(familyOf(r.family), s.Mark)
	} else {
		if s.Addr, ok = address(r.family, r.addr); !ok || r.protocol > 255 {
			return s, false
		}
		s.Protocol = vipkit.Protocol(r.protocol)
	}
	s.Flags = Flags(r.flags &^ (flagPersistent | flagHashed))
	if r.flags&flagPersistent != 0 {
		s.Timeout = time.Duration(r.timeout) * time.Second
		s.PersistenceBits = prefixOf(r.family, r.mask)
	}
	s.Service = s.Canonical()
	s.Stats = r.stats.Stats
	return s, true
}

func familyOf(number uint16) vipkit.Family {
	if number == afInet6 {
		return vipkit.IPv6
	}
	return vipkit.IPv4
}

// prefixOf returns the length of a prefix mask, or OddMask for any other.
func prefixOf(family uint16, mask []byte) uint8 {
	if family == afInet6 {
		if n := binary.NativeEndian.Uint32(mask); n >= 1 && n <= 128 {
			return uint8(n)
		}
		return OddMask
	}
	v := binary.BigEndian.Uint32(mask)
	n := bits.LeadingZeros32(^v)
	if n == 0 || v<<n != 0 {
		return OddMask
	}
	return uint8(n)
}

// rawDestination is a destination as its attributes say it.
type rawDestination struct {
	DestinationInfo
	has     uint32
	family  uint16
	addr    []byte
	forward uint32
	tunnel  uint8
	stats   statsReader
}

// decodeDestination reads a destination of a virtual server.
func decodeDestination(m nl.Message, of Key) (d DestinationInfo, ok bool) {
	data, ok := nestedIn(m, attrDest)
	if !ok {
		return d, false
	}
	r := rawDestination{family: familyNumber(of.Addr)} // before Linux 3.18 there is no attribute
	for len(data) > 0 {
		var a nl.Attr
		if a, data, ok = nl.Next(data); !ok || !r.read(a) {
			return d, false
		}
		r.has |= 1 << a.Type
	}
	const needed = 1<<destAddr | 1<<destPort | 1<<destForward | 1<<destWeight | 1<<destUpper | 1<<destLower
	if r.has&needed != needed {
		return d, false
	}
	d = r.DestinationInfo
	d.Stats = r.stats.Stats
	d.Forward, d.Tunnel.Type = Forward(r.forward&forwardMask), TunnelType(r.tunnel)
	if d.Forward != Tunnel {
		d.Tunnel = TunnelConfig{}
	}
	d.Addr, ok = address(r.family, r.addr)
	return d, ok
}

// read takes one attribute.
func (r *rawDestination) read(a nl.Attr) (ok bool) {
	switch a.Type {
	case destAddr:
		r.addr, ok = a.Data, true
	case destPort:
		r.Port, ok = a.Be16()
	case destForward:
		r.forward, ok = a.U32()
	case destWeight:
		r.Weight, ok = a.U32()
	case destUpper:
		r.Upper, ok = a.U32()
	case destLower:
		r.Lower, ok = a.U32()
	case destActive:
		r.Active, ok = a.U32()
	case destInactive:
		r.Inactive, ok = a.U32()
	case destPersistent:
		r.Persistent, ok = a.U32()
	case destStats, destStats64:
		ok = r.stats.read(a, a.Type == destStats64)
	case destFamily:
		r.family, ok = a.U16()
	case destTunnelType:
		r.tunnel, ok = a.U8()
	case destTunnelPort:
		r.Tunnel.Port, ok = a.Be16()
	case destTunnelFlags:
		r.Tunnel.Flags, ok = a.U16()
	default:
		ok = true
	}
	return ok
}

// intern returns a name without allocating for those that nearly all have.
func intern(a nl.Attr) string {
	b := a.Data
	for i, c := range b {
		if c == 0 {
			b = b[:i]
			break
		}
	}
	switch string(b) {
	case "rr":
		return "rr"
	case "wrr":
		return "wrr"
	case "lc":
		return "lc"
	case "wlc":
		return "wlc"
	case "sh":
		return "sh"
	case "mh":
		return "mh"
	}
	return string(b)
}
