package ipvs

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/vipkit/vipkit"
)

// String returns the key as ipvsadm's options: "-t 10.96.0.1:443",
// "-u [fd00::1]:53", "--sctp-service 10.0.0.1:5060", "-f 17", "-f 17 -6".
func (k Key) String() string { return string(k.append(nil)) }

func (k *Key) append(b []byte) []byte {
	if k.Mark != 0 {
		b = strconv.AppendUint(append(b, "-f "...), uint64(k.Mark), 10)
		if k.Family() == vipkit.IPv6 {
			b = append(b, " -6"...)
		}
		return b
	}
	switch k.Protocol {
	case vipkit.TCP:
		b = append(b, "-t "...)
	case vipkit.UDP:
		b = append(b, "-u "...)
	case vipkit.SCTP:
		b = append(b, "--sctp-service "...)
	default:
		b = append(b, "--protocol-"+k.Protocol.String()+" "...)
	}
	return appendAddrPort(b, k.Addr, k.Port)
}

func appendAddrPort(b []byte, a netip.Addr, port uint16) []byte {
	if !a.IsValid() {
		return strconv.AppendUint(append(b, "invalid:"...), uint64(port), 10)
	}
	return netip.AddrPortFrom(a, port).AppendTo(b)
}

// String returns the service as ipvsadm's options: "-t 10.96.0.1:443 -s rr -p
// 10800".
func (s Service) String() string { return string(s.append(nil)) }

// AppendText implements [encoding.TextAppender]; see [Service.String].
func (s Service) AppendText(b []byte) ([]byte, error) { return s.append(b), nil }

func (s *Service) append(b []byte) []byte {
	b = s.Key.append(b)
	b = append(append(b, " -s "...), s.Scheduler...)
	if s.Timeout != 0 {
		b = strconv.AppendInt(append(b, " -p "...), int64(s.Timeout/time.Second), 10)
	}
	if bits := s.PersistenceBits; bits != 0 && bits != fullBits(s.Addr) {
		b = appendMask(append(b, " -M "...), s.Addr, bits)
	}
	if s.PersistenceEngine != "" {
		b = append(append(b, " --pe "...), s.PersistenceEngine...)
	}
	if s.Flags&OnePacket != 0 {
		b = append(b, " -o"...)
	}
	if names := s.appendFlags(nil); len(names) > 0 {
		b = append(append(b, " -b "...), names...)
	}
	return b
}

// appendMask appends bits as ipvsadm does: dotted in IPv4, a length in IPv6.
func appendMask(b []byte, family netip.Addr, bits uint8) []byte {
	if !family.Is4() || bits > 32 {
		return strconv.AppendUint(b, uint64(bits), 10)
	}
	m := ^uint32(0) << (32 - bits)
	return netip.AddrFrom4([4]byte{byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)}).AppendTo(b)
}

// flagNames are the names of Sched1, Sched2 and Sched3 where the scheduler has
// none of its own.
var flagNames = [...]string{"flag-1", "flag-2", "flag-3"}

// flagName returns the name of scheduler flag i for a scheduler.
func flagName(scheduler string, i int) string {
	if scheduler == "sh" || scheduler == "mh" {
		switch i {
		case 0:
			return scheduler + "-fallback"
		case 1:
			return scheduler + "-port"
		}
	}
	return flagNames[i]
}

// appendFlags appends the names of the scheduler's flags with commas between.
func (s *Service) appendFlags(b []byte) []byte {
	start := len(b)
	for i := range flagNames {
		if s.Flags&(Sched1<<i) == 0 {
			continue
		}
		if len(b) > start {
			b = append(b, ',')
		}
		b = append(b, flagName(s.Scheduler, i)...)
	}
	return b
}

// String returns address and port: "10.244.0.5:6443", "[fd00::5]:53".
func (k DestKey) String() string { return string(appendAddrPort(nil, k.Addr, k.Port)) }

// String returns the destination as ipvsadm's options: "-r 10.244.0.5:6443 -m -w
// 1". Thresholds follow where there are any, which ipvsadm -S leaves out.
func (d Destination) String() string { return string(d.append(nil)) }

// AppendText implements [encoding.TextAppender]; see [Destination.String].
func (d Destination) AppendText(b []byte) ([]byte, error) { return d.append(b), nil }

func (d *Destination) append(b []byte) []byte {
	b = appendAddrPort(append(b, "-r "...), d.Addr, d.Port)
	switch d.Forward {
	case Masquerade:
		b = append(b, " -m"...)
	case Tunnel:
		b = append(b, " -i"...)
	case Direct:
		b = append(b, " -g"...)
	default:
		b = strconv.AppendUint(append(b, " --forward-"...), uint64(d.Forward), 10)
	}
	b = strconv.AppendUint(append(b, " -w "...), uint64(d.Weight), 10)
	if d.Upper != 0 {
		b = strconv.AppendUint(append(b, " -x "...), uint64(d.Upper), 10)
	}
	if d.Lower != 0 {
		b = strconv.AppendUint(append(b, " -y "...), uint64(d.Lower), 10)
	}
	if d.Forward == Tunnel {
		b = d.Tunnel.append(b)
	}
	return b
}

func (t *TunnelConfig) append(b []byte) []byte {
	b = append(append(b, " --tun-type "...), t.Type.String()...)
	if t.Port != 0 {
		b = strconv.AppendUint(append(b, " --tun-port "...), uint64(t.Port), 10)
	}
	if t.Flags&TunnelChecksum != 0 {
		b = append(b, " --tun-csum"...)
	}
	if t.Flags&TunnelRemoteChecksum != 0 {
		b = append(b, " --tun-remcsum"...)
	}
	if t.Flags == 0 && t.Type != IPIP {
		b = append(b, " --tun-nocsum"...)
	}
	return b
}

// String returns the word that ipvsadm prints: "Masq", "Local", "Tunnel",
// "Route".
func (f Forward) String() string {
	switch f {
	case Masquerade:
		return "Masq"
	case Local:
		return "Local"
	case Tunnel:
		return "Tunnel"
	case Direct:
		return "Route"
	}
	return strconv.Itoa(int(f))
}

// String returns "ipip", "gue" or "gre".
func (t TunnelType) String() string {
	switch t {
	case IPIP:
		return "ipip"
	case GUE:
		return "gue"
	case GRE:
		return "gre"
	}
	return strconv.Itoa(int(t))
}

// opNames say what each Op does, and its option.
var opNames = [...]struct{ name, option string }{
	AddService: {"add service", "-A"}, UpdateService: {"update service", "-E"}, DeleteService: {"delete service", "-D"},
	AddDestination: {"add destination", "-a"}, UpdateDestination: {"update destination", "-e"},
	DeleteDestination: {"delete destination", "-d"},
	ZeroService:       {"zero service", "-Z"}, ZeroAll: {"zero all", "-Z"},
}

// String returns "add service" and the like.
func (o Op) String() string {
	if o == 0 || int(o) >= len(opNames) {
		return "operation " + strconv.Itoa(int(o))
	}
	return opNames[o].name
}

// String returns the change as a line for ipvsadm --restore: "-a -t
// 10.96.0.1:443 -r 10.244.0.5:6443 -m -w 1".
func (c Change) String() string { return string(c.append(nil)) }

// AppendText implements [encoding.TextAppender]; see [Change.String].
func (c Change) AppendText(b []byte) ([]byte, error) { return c.append(b), nil }

func (c *Change) append(b []byte) []byte {
	if c.Op == 0 || int(c.Op) >= len(opNames) {
		b = append(b, c.Op.String()...)
	} else {
		b = append(b, opNames[c.Op].option...)
	}
	if c.Op == ZeroAll {
		return b
	}
	return c.appendObject(append(b, ' '))
}

// object returns the change without its operation.
func (c *Change) object() string { return string(c.appendObject(nil)) }

func (c *Change) appendObject(b []byte) []byte {
	switch c.Op {
	case AddService, UpdateService:
		return c.Service.append(b)
	case AddDestination, UpdateDestination:
		return c.Destination.append(append(c.Service.Key.append(b), ' '))
	case DeleteDestination:
		b = append(c.Service.Key.append(b), " -r "...)
		return appendAddrPort(b, c.Destination.Addr, c.Destination.Port)
	case ZeroAll:
		return b
	default:
		return c.Service.Key.append(b)
	}
}
