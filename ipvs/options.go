package ipvs

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/vipkit/vipkit"
)

// options gives each option that has a long and a short name its part and the
// name that option goes by in [line.option].
var options = map[string]struct {
	name  string
	part  part
	value bool
}{
	"--add-service": {"-A", partOp, false}, "-A": {"-A", partOp, false},
	"--edit-service": {"-E", partOp, false}, "-E": {"-E", partOp, false},
	"--delete-service": {"-D", partOp, false}, "-D": {"-D", partOp, false},
	"--add-server": {"-a", partOp, false}, "-a": {"-a", partOp, false},
	"--edit-server": {"-e", partOp, false}, "-e": {"-e", partOp, false},
	"--delete-server": {"-d", partOp, false}, "-d": {"-d", partOp, false},
	"--zero": {"-Z", partOp, false}, "-Z": {"-Z", partOp, false},

	"--tcp-service": {"-t", partKey, true}, "-t": {"-t", partKey, true},
	"--udp-service": {"-u", partKey, true}, "-u": {"-u", partKey, true},
	"--sctp-service":   {"--sctp-service", partKey, true},
	"--fwmark-service": {"-f", partKey, true}, "-f": {"-f", partKey, true},
	"--ipv6": {"-6", 0, false}, "-6": {"-6", 0, false},

	"--scheduler": {"-s", partService, true}, "-s": {"-s", partService, true},
	"--persistent": {"-p", partService, false}, "-p": {"-p", partService, false},
	"--netmask": {"-M", partService, true}, "-M": {"-M", partService, true},
	"--pe":  {"--pe", partService, true},
	"--ops": {"-o", partService, false}, "-o": {"-o", partService, false},
	"--sched-flags": {"-b", partService, true}, "-b": {"-b", partService, true},

	"--real-server": {"-r", partDestKey, true}, "-r": {"-r", partDestKey, true},
	"--masquerading": {"-m", partDestination, false}, "-m": {"-m", partDestination, false},
	"--gatewaying": {"-g", partDestination, false}, "-g": {"-g", partDestination, false},
	"--ipip": {"-i", partDestination, false}, "-i": {"-i", partDestination, false},
	"--weight": {"-w", partDestination, true}, "-w": {"-w", partDestination, true},
	"--u-threshold": {"-x", partDestination, true}, "-x": {"-x", partDestination, true},
	"--l-threshold": {"-y", partDestination, true}, "-y": {"-y", partDestination, true},
	"--tun-type":    {"--tun-type", partDestination, true},
	"--tun-port":    {"--tun-port", partDestination, true},
	"--tun-nocsum":  {"--tun-nocsum", partDestination, false},
	"--tun-csum":    {"--tun-csum", partDestination, false},
	"--tun-remcsum": {"--tun-remcsum", partDestination, false},
}

// exclusive options count as one.
var exclusive = map[string]string{
	"-E": "-A", "-D": "-A", "-a": "-A", "-e": "-A", "-d": "-A", "-Z": "-A",
	"-u": "-t", "--sctp-service": "-t", "-f": "-t", "-g": "-m", "-i": "-m",
}

// option takes one option.
func (l *line) option(name string, p part, value string) error {
	switch p {
	case partOp:
		for op, n := range opNames {
			if n.option == name {
				l.change.Op = Op(op)
			}
		}
		return nil
	case partKey:
		return l.keyOption(name, value)
	case partService:
		return l.serviceOption(name, value)
	case partDestKey:
		var err error
		k := &l.change.Destination.DestKey
		k.Addr, k.Port, l.bareDest, err = parseAddrPort(value)
		return err
	case partDestination:
		return l.destinationOption(name, value)
	}
	l.ipv6 = true
	return nil
}

func (l *line) keyOption(name, value string) (err error) {
	k := &l.change.Service.Key
	switch name {
	case "-t":
		k.Protocol = vipkit.TCP
	case "-u":
		k.Protocol = vipkit.UDP
	case "--sctp-service":
		k.Protocol = vipkit.SCTP
	case "-f":
		k.Mark, err = parseNumber[uint32](value, 32)
		if err == nil && k.Mark == 0 {
			err = errors.New("want 1 or more")
		}
		return err
	}
	k.Addr, k.Port, _, err = parseAddrPort(value)
	return err
}

func (l *line) serviceOption(name, value string) (err error) {
	s := &l.change.Service
	switch name {
	case "-s":
		s.Scheduler = value
	case "-p":
		seconds := uint32(360)
		if len(l.words) > 0 && !strings.HasPrefix(l.words[0], "-") {
			seconds, err = parseNumber[uint32](l.words[0], 32)
			l.words = l.words[1:]
		}
		if err == nil && seconds == 0 {
			err = errors.New("0 seconds: want 1 or more")
		}
		s.Timeout = time.Duration(seconds) * time.Second
	case "-M":
		l.mask = value
	case "--pe":
		s.PersistenceEngine = value
	case "-o":
		s.Flags |= OnePacket
	case "-b":
		l.flags = value
	}
	return err
}

func (l *line) destinationOption(name, value string) (err error) {
	d := &l.change.Destination
	switch name {
	case "-m":
		d.Forward = Masquerade
	case "-g":
		d.Forward = Direct
	case "-i":
		d.Forward = Tunnel
	case "-w":
		d.Weight, err = parseNumber[uint32](value, 31)
	case "-x":
		d.Upper, err = parseNumber[uint32](value, 32)
	case "-y":
		d.Lower, err = parseNumber[uint32](value, 32)
	case "--tun-type":
		switch value {
		case "ipip":
			d.Tunnel.Type = IPIP
		case "gue":
			d.Tunnel.Type = GUE
		case "gre":
			d.Tunnel.Type = GRE
		default:
			err = errors.New("want ipip, gue or gre")
		}
	case "--tun-port":
		d.Tunnel.Port, err = parseNumber[uint16](value, 16)
	case "--tun-csum":
		d.Tunnel.Flags |= TunnelChecksum
	case "--tun-remcsum":
		d.Tunnel.Flags |= TunnelRemoteChecksum
	}
	return err
}

// finish puts together what more than one option tells.
func (l *line) finish() error {
	s := &l.change.Service
	if s.Mark != 0 {
		family := vipkit.IPv4
		if l.ipv6 {
			family = vipkit.IPv6
		}
		s.Key = MarkKey(family, s.Mark)
	} else if l.ipv6 {
		return errors.New("option -6: only with -f")
	}
	if l.bareDest {
		l.change.Destination.Port = s.Port
	}
	if l.parts&partKey != 0 {
		if err := l.finishMask(s); err != nil {
			return fmt.Errorf("option -M %s: %w", l.mask, err)
		}
		*s = s.Canonical()
	}
	for name := range strings.SplitSeq(l.flags, ",") {
		if l.flags == "" {
			break
		}
		i, ok := flagIndex(s.Scheduler, name)
		if !ok {
			return fmt.Errorf("option -b %s: unknown flag of scheduler %s", name, s.Scheduler)
		}
		s.Flags |= Sched1 << i
	}
	if d := &l.change.Destination; d.Forward != Tunnel && d.Tunnel != (TunnelConfig{}) {
		return errors.New("option --tun-type and the like: only with -i")
	}
	return nil
}

func (l *line) finishMask(s *Service) error {
	if l.mask == "" {
		return nil
	}
	if a, err := netip.ParseAddr(l.mask); err == nil && a.Is4() && s.Addr.Is4() {
		m := a.As4()
		s.PersistenceBits = prefixOf(afInet, m[:])
		return nil
	}
	n, err := parseNumber[uint8](l.mask, 8)
	if err != nil {
		return err
	}
	if n == 0 || n > fullBits(s.Addr) || s.Addr.Is4() {
		n = OddMask // in IPv4 a number is the mask 0.0.0.n
	}
	s.PersistenceBits = n
	return nil
}

func flagIndex(scheduler, name string) (int, bool) {
	for i, plain := range flagNames {
		if name == plain || name == flagName(scheduler, i) {
			return i, true
		}
	}
	return 0, false
}

// parseAddrPort reads an address with a port or without: then bare is true.
func parseAddrPort(s string) (a netip.Addr, port uint16, bare bool, err error) {
	if strings.Contains(s, "%") {
		return a, 0, false, errors.New("has a zone")
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr(), ap.Port(), false, nil
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = s[1 : len(s)-1]
	}
	if a, err = netip.ParseAddr(s); err != nil {
		return a, 0, false, errors.New("want an address, or an address and a port, as numbers")
	}
	return a, 0, true, nil
}

func parseNumber[T uint8 | uint16 | uint32](s string, bits int) (T, error) {
	n, err := strconv.ParseUint(s, 10, bits)
	if err != nil {
		return 0, fmt.Errorf("%q: want a number below %d", s, uint64(1)<<bits)
	}
	return T(n), nil
}
