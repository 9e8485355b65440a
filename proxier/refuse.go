package proxier

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vipkit/vipkit/ipvs"
)

// Errors of services that are valid and cannot be had.
var (
	// ErrConflict means that an object that is not ours is where the service
	// wants its own: a virtual server, an address on our link.
	ErrConflict = errors.New("belongs to somebody else")
	// ErrClaimed means that another service has the address, port and
	// protocol already.
	ErrClaimed = errors.New("claimed by another service")
	// ErrOwnAddress means that a virtual address is one of the node's own.
	ErrOwnAddress = errors.New("is an address of this node")
	// ErrNotOwnAddress means that a host port is to answer at an address that
	// is none of the node's.
	ErrNotOwnAddress = errors.New("is no address of this node")
)

// refusals holds what speaks against each service, by name.
type refusals map[string][]error

func (r refusals) add(name string, err error) {
	if err != nil {
		r[name] = append(r[name], err)
	}
}

// conflict reports whether something of somebody else's is in the way of a
// service: it may be gone the next time.
func (r refusals) conflict() bool {
	for _, errs := range r {
		if errors.Is(errors.Join(errs...), ErrConflict) {
			return true
		}
	}
	return false
}

// byName returns the services by name, and refuses names that come twice: which
// of the two is meant, nobody can tell.
func byName(services []Service, refused refusals) map[string]Service {
	named := make(map[string]Service, len(services))
	for i, svc := range services {
		if _, twice := named[svc.Name]; twice {
			refused.add(svc.Name, fmt.Errorf("name: services[%d] and services[%d] have the same", slices.IndexFunc(services[:i], func(s Service) bool { return s.Name == svc.Name }), i))
			continue
		}
		named[svc.Name] = svc
	}
	return named
}

// ownAddresses refuses virtual addresses that are the node's own: every port of
// the node but the service's would stop answering.
func (c *config) ownAddresses(svc Service) error {
	var errs []error
	for i, fe := range svc.Frontends {
		own := slices.Contains(c.HostAddresses, fe.Addr) || slices.Contains(c.NodeAddresses, fe.Addr)
		switch {
		case fe.Kind.virtual() && own:
			errs = append(errs, fmt.Errorf("frontends[%d].addr: %v %w", i, fe.Addr, ErrOwnAddress))
		case fe.Kind == HostPort && !fe.Addr.IsUnspecified() && !own:
			errs = append(errs, fmt.Errorf("frontends[%d].addr: %v %w", i, fe.Addr, ErrNotOwnAddress))
		}
	}
	return errors.Join(errs...)
}

// foreign refuses frontends where the kernel has somebody else's object.
func foreign(c *config, svc Service, have *state) error {
	var errs []error
	c.tuples(svc, func(i int, key ipvs.Key) {
		if have.foreignServers[key] {
			errs = append(errs, fmt.Errorf("frontends[%d]: virtual server %v: %w", i, key, ErrConflict))
		}
		if svc.Frontends[i].Kind.virtual() && have.foreignAddresses[key.Addr] {
			errs = append(errs, fmt.Errorf("frontends[%d].addr: %v on link %s: %w", i, key.Addr, c.Link, ErrConflict))
		}
	})
	return errors.Join(errs...)
}
