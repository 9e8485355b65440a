package ipvs

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"time"

	"github.com/vipkit/vipkit"
)

const (
	maxWeight = 65535

	maxThreshold = 1<<31 - 1           // ipvsadm's
	maxTimeout   = 31 * 24 * time.Hour // ipvsadm's
	maxName      = 15                  // IP_VS_SCHEDNAME_MAXLEN, IP_VS_PENAME_MAXLEN, without the terminator
)

// OddMask is the PersistenceBits of a virtual server, not made by vipkit, whose
// netmask is no prefix: it can be read, compared and deleted, not written.
const OddMask = 255

// Canonical returns s as the kernel reports it: with PersistenceBits of the
// family's full length where zero stood for that.
func (s Service) Canonical() Service {
	if s.PersistenceBits == 0 {
		s.PersistenceBits = fullBits(s.Addr)
	}
	return s
}

func fullBits(a netip.Addr) uint8 {
	if a.Is4() {
		return 32
	}
	return 128
}

// faults collects what is wrong. It allocates only when something is.
type faults []error

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Errorf(format, args...)) }

func (f faults) join() error {
	if len(f) == 0 {
		return nil
	}
	return &invalidError{errors.Join(f...)}
}

// invalidError is fs.ErrInvalid with what is wrong.
type invalidError struct{ faults error }

func (e *invalidError) Error() string   { return e.faults.Error() }
func (e *invalidError) Unwrap() []error { return []error{fs.ErrInvalid, e.faults} }

// Validate reports everything that is wrong with the service, also what the
// kernel would take though it makes no sense. The error, if any, is
// fs.ErrInvalid.
func (s Service) Validate() error {
	var f faults
	s.check(&f)
	return f.join()
}

func (s *Service) check(f *faults) {
	s.Key.check(f)
	if s.Port == 0 && s.Mark == 0 && s.Timeout == 0 {
		f.add("port 0 (every port): needs persistence")
	}
	checkName(f, "scheduler", s.Scheduler, false)
	s.checkFlags(f)
	s.checkPersistence(f)
}

func (s *Service) checkPersistence(f *faults) {
	switch {
	case s.Timeout == 0:
	case s.Timeout < time.Second || s.Timeout > maxTimeout:
		f.add("timeout %v: want 1s to %v", s.Timeout, maxTimeout)
	case s.Timeout%time.Second != 0:
		f.add("timeout %v: want whole seconds", s.Timeout)
	}
	full := fullBits(s.Addr)
	switch {
	case s.PersistenceBits > full:
		f.add("persistence bits %d: want 1 to %d", s.PersistenceBits, full)
	case s.Timeout == 0 && s.PersistenceBits != 0 && s.PersistenceBits != full:
		f.add("persistence bits %d: no timeout, so no persistence", s.PersistenceBits)
	}
	if s.PersistenceEngine == "" {
		return
	}
	checkName(f, "persistence engine", s.PersistenceEngine, true)
	if s.Timeout == 0 {
		f.add("persistence engine %s: no timeout, so no persistence", s.PersistenceEngine)
	}
	if s.PersistenceEngine == "sip" && s.Mark == 0 && s.Protocol != vipkit.UDP {
		f.add("persistence engine sip: %s, want udp", s.Protocol)
	}
}

// checkName checks what becomes a part of a module's name.
func checkName(f *faults, field, name string, optional bool) {
	if name == "" && optional {
		return
	}
	if name == "" || len(name) > maxName {
		f.add("%s %q: want 1 to %d bytes", field, name, maxName)
		return
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			f.add("%s %q: want lower-case letters, digits, _ and -", field, name)
			return
		}
	}
}

// check adds what is wrong with the key by itself.
func (k *Key) check(f *faults) {
	if k.Mark != 0 {
		if k.Protocol != 0 || k.Port != 0 {
			f.add("mark %d: has a protocol or port too", k.Mark)
		}
		if k.Addr != netip.IPv4Unspecified() && k.Addr != netip.IPv6Unspecified() {
			f.add("mark %d: address %v, want the unspecified one of a family", k.Mark, k.Addr)
		}
		return
	}
	if !k.Protocol.Valid() {
		f.add("protocol %d: want tcp, udp or sctp", uint8(k.Protocol))
	}
	if checkAddr(f, "virtual address", k.Addr) && (k.Addr.IsUnspecified() || k.Addr.IsMulticast()) {
		f.add("virtual address %v: no unicast address", k.Addr)
	}
}

// Validate reports everything that is wrong with the key by itself. It allows
// port 0, which needs a persistent [Service].
func (k Key) Validate() error {
	var f faults
	k.check(&f)
	return f.join()
}

// checkLookup refuses a key that no virtual server can have, vipkit's or others':
// those may have what Validate refuses, such as the unspecified address.
func (k Key) checkLookup() error {
	var f faults
	checkAddr(&f, "virtual address", k.Addr)
	return f.join()
}

// checkAddr reports whether a is an address in the form that vipkit uses.
func checkAddr(f *faults, field string, a netip.Addr) bool {
	switch {
	case !a.IsValid():
		f.add("%s: none", field)
	case a.Is4In6():
		f.add("%s %v: IPv4 mapped into IPv6, want %v", field, a, a.Unmap())
	case a.Zone() != "":
		f.add("%s %v: has a zone", field, a)
	default:
		return true
	}
	return false
}

func (k *DestKey) check(f *faults) bool { return checkAddr(f, "destination address", k.Addr) }

// Validate reports everything that is wrong with the destination in the virtual
// server of, also what the kernel would take though it makes no sense.
func (d Destination) Validate(of Key) error {
	var f faults
	d.checkIn(&f, &of)
	return f.join()
}

func (d *Destination) checkIn(f *faults, of *Key) {
	if d.DestKey.check(f) {
		switch a := d.Addr; {
		case a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() && a.Is6() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			f.add("destination address %v: no unicast address", a)
		case a.IsLoopback() && of.Mark == 0 && !of.Addr.IsLoopback():
			f.add("destination address %v: loopback behind %v", a, of.Addr)
		}
		if a := of.Addr; a.IsValid() && a.Is4() != d.Addr.Is4() && d.Forward != Tunnel {
			f.add("destination address %v: not %s, which only tunnels allow", d.Addr, of.Family())
		}
	}
	if d.Weight > maxWeight {
		f.add("weight %d: want 0 to %d", d.Weight, maxWeight)
	}
	if d.Upper > maxThreshold {
		f.add("upper threshold %d: want 0 to %d", d.Upper, maxThreshold)
	}
	if d.Lower > d.Upper {
		f.add("lower threshold %d: above the upper one, %d", d.Lower, d.Upper)
	}
	switch d.Forward {
	case Masquerade:
	case Tunnel, Direct:
		if d.Port != of.Port {
			f.add("destination port %d: %s does not translate, want %d", d.Port, d.Forward, of.Port)
		}
	default:
		f.add("forwarding method %d: want masquerade, tunnel or direct", uint8(d.Forward))
	}
	if d.Forward == Tunnel {
		d.Tunnel.check(f)
	} else if d.Tunnel != (TunnelConfig{}) {
		f.add("tunnel: forwarding method is %s", d.Forward)
	}
}

// Checksum flags of a [TunnelConfig]. ipvsadm has one at a time, and none for
// IPIP.
const (
	TunnelChecksum       uint16 = 0x1 // outer checksum: GUE and GRE
	TunnelRemoteChecksum uint16 = 0x2 // remote checksum offload: GUE
)

func (t *TunnelConfig) check(f *faults) {
	if t.Type > GRE {
		f.add("tunnel type %d: want ipip, gue or gre", uint8(t.Type))
		return
	}
	if t.Type == GUE && t.Port == 0 {
		f.add("tunnel port 0: gue wants one")
	}
	if t.Type != GUE && t.Port != 0 {
		f.add("tunnel port %d: only gue has one", t.Port)
	}
	switch {
	case t.Flags == 0,
		t.Flags == TunnelChecksum && t.Type != IPIP,
		t.Flags == TunnelRemoteChecksum && t.Type == GUE:
	default:
		f.add("tunnel flags %#x: not possible with %s", t.Flags, t.Type)
	}
}

// Validate reports everything that is wrong with the parts that the operation
// uses.
func (c Change) Validate() error { return c.check() }

func (c *Change) check() error {
	var f faults
	switch c.Op {
	case AddService, UpdateService:
		c.Service.check(&f)
	case DeleteService, ZeroService:
		c.Service.Key.check(&f)
	case ZeroAll:
	case AddDestination, UpdateDestination:
		c.Service.Key.check(&f)
		c.Destination.checkIn(&f, &c.Service.Key)
	case DeleteDestination:
		c.Service.Key.check(&f)
		c.Destination.DestKey.check(&f)
	default:
		f.add("operation %d: unknown", uint8(c.Op))
	}
	return f.join()
}

// ofDestination reports whether the operation is on a destination.
func (o Op) ofDestination() bool { return o >= AddDestination && o <= DeleteDestination }
