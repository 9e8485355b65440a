package proxier

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipvs"
)

// ParseServices reads services as [Service.String] prints them, one after
// another. Lines that are empty or begin with '#' are passed over. Every fault
// is in the error, with its line; services are not validated.
func ParseServices(text string) ([]Service, error) {
	var p serviceParser
	n := 0
	for line := range strings.Lines(text) {
		n++
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if err := p.line(words); err != nil {
			p.errs = append(p.errs, fmt.Errorf("line %d: %q: %w", n, strings.TrimSpace(line), err))
		}
	}
	return p.services, errors.Join(p.errs...)
}

type serviceParser struct {
	services []Service
	errs     []error
}

func (p *serviceParser) line(words []string) error {
	if words[0] == "service" {
		if len(words) != 3 {
			return errors.New("want: service NAME PROTOCOL")
		}
		proto, err := vipkit.ParseProtocol(words[2])
		p.services = append(p.services, Service{Name: words[1], Protocol: proto})
		return err
	}
	if len(p.services) == 0 {
		return errors.New("before the first service")
	}
	s := &p.services[len(p.services)-1]
	if len(words) < 2 {
		return errors.New("want a value")
	}
	return s.parse(words[0], words[1:])
}

func (s *Service) parse(what string, args []string) (err error) {
	switch what {
	case "frontend":
		return s.parseFrontend(args)
	case "endpoint":
		e, err := parseEndpoint(args)
		s.Endpoints = append(s.Endpoints, e)
		return err
	case "ranges":
		for _, a := range args {
			n, err := netip.ParsePrefix(a)
			if err != nil {
				return err
			}
			s.SourceRanges = append(s.SourceRanges, n)
		}
		return nil
	case "affinity":
		return s.Affinity.parse(args)
	case "forward":
		return s.parseForward(args)
	}
	if len(args) != 1 {
		return fmt.Errorf("want one value after %s", what)
	}
	switch what {
	case "internal":
		return s.Internal.UnmarshalText([]byte(args[0]))
	case "external":
		return s.External.UnmarshalText([]byte(args[0]))
	case "scheduler":
		s.Scheduler = args[0]
	case "flags":
		v, err := strconv.ParseUint(args[0], 0, 32)
		s.Flags = ipvs.Flags(v)
		return err
	case "health-check":
		return number(&s.HealthCheckPort)(args[0])
	case "without-endpoints":
		return s.WithoutEndpoints.UnmarshalText([]byte(args[0]))
	default:
		return errors.New("unknown word")
	}
	return nil
}

func (s *Service) parseFrontend(args []string) error {
	if len(args) != 2 {
		return errors.New("want: frontend KIND ADDRESS:PORT")
	}
	var f Frontend
	if err := f.Kind.UnmarshalText([]byte(args[0])); err != nil {
		return err
	}
	a, err := netip.ParseAddrPort(args[1])
	f.Addr, f.Port = a.Addr(), a.Port()
	s.Frontends = append(s.Frontends, f)
	return err
}

// parseForward reads "Direct" or "Tunnel gue port 6080 flags 1".
func (s *Service) parseForward(args []string) error {
	if err := s.Forward.UnmarshalText([]byte(args[0])); err != nil || len(args) == 1 {
		return err
	}
	types := []ipvs.TunnelType{ipvs.IPIP, ipvs.GUE, ipvs.GRE}
	i := slices.IndexFunc(types, func(t ipvs.TunnelType) bool { return t.String() == args[1] })
	if i < 0 {
		return fmt.Errorf("unknown encapsulation %q: want one of %v", args[1], types)
	}
	s.Tunnel.Type = types[i]
	return options(args[2:], map[string]func(string) error{
		"port": number(&s.Tunnel.Port), "flags": number(&s.Tunnel.Flags),
	})
}

func (a *Affinity) parse(args []string) (err error) {
	if a.Timeout, err = time.ParseDuration(args[0]); err != nil {
		return err
	}
	return options(args[1:], map[string]func(string) error{
		"bits4": number(&a.Bits4), "bits6": number(&a.Bits6),
	})
}

func parseEndpoint(args []string) (e Endpoint, err error) {
	at, err := netip.ParseAddrPort(args[0])
	if err != nil {
		return e, err
	}
	e = Endpoint{Addr: at.Addr(), Port: at.Port(), Weight: 1}
	conditions := false
	var rest []string
	for _, w := range args[1:] {
		switch w {
		case "local":
			e.Local = true
		case "elsewhere":
			e.Elsewhere = true
		case "ready":
			e.Ready, conditions = true, true
		case "serving":
			e.Serving, conditions = true, true
		case "terminating":
			e.Terminating, conditions = true, true
		case "unready":
			conditions = true
		default:
			rest = append(rest, w)
		}
	}
	if !conditions {
		e.Ready, e.Serving = true, true
	}
	return e, options(rest, map[string]func(string) error{
		"weight": number(&e.Weight), "upper": number(&e.Upper), "lower": number(&e.Lower),
	})
}

// options reads words with a value each.
func options(words []string, known map[string]func(string) error) error {
	for i := 0; i < len(words); i += 2 {
		set, ok := known[words[i]]
		if !ok {
			return fmt.Errorf("unknown word %q", words[i])
		}
		if i+1 == len(words) {
			return fmt.Errorf("%s wants a value", words[i])
		}
		if err := set(words[i+1]); err != nil {
			return fmt.Errorf("%s: %w", words[i], err)
		}
	}
	return nil
}

func number[T uint8 | uint16 | uint32](into *T) func(string) error {
	return func(s string) error {
		v, err := strconv.ParseUint(s, 10, 32)
		if err == nil && uint64(T(v)) != v {
			err = fmt.Errorf("%s is out of range", s)
		}
		*into = T(v)
		return err
	}
}

func addrPort(a netip.Addr, port uint16) string { return netip.AddrPortFrom(a, port).String() }
