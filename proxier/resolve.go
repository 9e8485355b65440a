package proxier

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/ipset"
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

// others says of services that are in the kernel and not named by the caller
// whether they stay.
type others func(name string) (stays bool)

// noOthers is for callers that say everything they want.
func noOthers(string) bool { return false }

// resolution is what becomes of a caller's services.
type resolution struct {
	want *state
	// accepted are the services that can be had, sorted by name, and marks
	// those that some of them need.
	accepted []Service
	marks    map[string]uint32
	// kept is what the kernel holds of services that stay as they are.
	kept    map[string]*state
	refused refusals
}

// resolve turns what a caller wants into the state to reach: the layout of the
// services that can be had; for those that are refused, and those of others that
// stay, what have holds of them. It is pure.
func resolve(c *config, services []Service, rest others, have *state) resolution {
	refused := make(refusals)
	named := byName(services, refused)
	for name, svc := range named {
		refused.add(name, svc.Validate())
		refused.add(name, c.ownAddresses(svc))
		refused.add(name, foreign(c, svc, have))
	}
	stays := func(name string) bool {
		if name == "" {
			return false // nobody's
		}
		if _, ok := named[name]; ok {
			return refused[name] != nil
		}
		return rest(name)
	}
	claimTuples(c, named, stays, have, refused)

	accepted := make([]Service, 0, len(named))
	for name, svc := range named {
		if refused[name] == nil {
			accepted = append(accepted, svc)
		}
	}
	slices.SortFunc(accepted, func(a, b Service) int { return strings.Compare(a.Name, b.Name) })
	marks, unmarked := assignMarks(c, accepted, have)
	for name, err := range unmarked {
		refused.add(name, err)
	}
	accepted = slices.DeleteFunc(accepted, func(svc Service) bool { return refused[svc.Name] != nil })

	want := layout(c, accepted, marks)
	kept := keep(c, have, want, stays)
	return resolution{want: want, accepted: accepted, marks: marks, kept: kept, refused: refused}
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
		if fe.Kind != NodePort && slices.Contains(c.NodeAddresses, fe.Addr) {
			errs = append(errs, fmt.Errorf("frontends[%d].addr: %v is an address of this node: %w", i, fe.Addr, ErrConflict))
		}
	}
	return errors.Join(errs...)
}

// foreign refuses frontends where the kernel has somebody else's object.
func foreign(c *config, svc Service, have *state) error {
	var errs []error
	for i, fe := range svc.Frontends {
		for _, addr := range c.addressesOf(fe) {
			key := ipvs.Key{Protocol: svc.Protocol, Addr: addr, Port: fe.Port}
			if have.foreignServers[key] {
				errs = append(errs, fmt.Errorf("frontends[%d]: virtual server %v: %w", i, key, ErrConflict))
			}
			if fe.Kind != NodePort && have.foreignAddresses[addr] {
				errs = append(errs, fmt.Errorf("frontends[%d].addr: %v on link %s: %w", i, addr, c.Link, ErrConflict))
			}
		}
	}
	return errors.Join(errs...)
}

// claimTuples refuses services that want a tuple which another has. The one
// that has it in the kernel keeps it, and otherwise the first by name.
func claimTuples(c *config, named map[string]Service, stays others, have *state, refused refusals) {
	claims := make(map[ipvs.Key][]string)
	for name, svc := range named {
		if refused[name] != nil {
			continue
		}
		for _, fe := range svc.Frontends {
			for _, addr := range c.addressesOf(fe) {
				key := ipvs.Key{Protocol: svc.Protocol, Addr: addr, Port: fe.Port}
				claims[key] = append(claims[key], name)
			}
		}
	}
	for _, key := range sortedKeys(claims) {
		names := claims[key]
		slices.Sort(names)
		first := names[0]
		if h := have.holder(key); slices.Contains(names, h) || stays(h) {
			first = h
		}
		for _, name := range slices.Compact(names) {
			if name != first {
				refused.add(name, fmt.Errorf("%v: %w %q", key, ErrClaimed, first))
			}
		}
	}
}

// keep carries over what have holds of services that stay, and returns it by
// name.
func keep(c *config, have, want *state, stays others) map[string]*state {
	kept := make(map[string]*state)
	for _, f := range families {
		of := make(map[ipset.EntryKey]*state) // whose tuples are kept
		for e, entry := range have.entries(setLedger, f) {
			name := entry.Comment
			if _, taken := want.entries(setLedger, f)[e]; taken || !stays(name) {
				continue
			}
			if kept[name] == nil {
				kept[name] = newState()
			}
			of[e] = kept[name]
			keepTuple(have, kept[name], keyOf(e))
		}
		for r, entry := range have.entries(setRanges, f) {
			if r.Net2 = (netip.Prefix{}); of[r] != nil {
				of[r].entry(setRanges, f, entry)
			}
		}
		if len(of) > 0 {
			layoutFamily(c, want, f)
		}
	}
	for _, s := range kept {
		s.layout(want)
	}
	return kept
}

func keepTuple(have, kept *state, key ipvs.Key) {
	f := key.Family()
	e := tuple(key)
	for id := setLedger; id < numSets; id++ {
		if entry, ok := have.entries(id, f)[e]; ok {
			kept.entry(id, f, entry)
		}
	}
	host := ipset.EntryKey{Net: ipset.Host(key.Addr)}
	if entry, ok := have.entries(setAddresses, f)[host]; ok {
		kept.entry(setAddresses, f, entry)
		for _, means := range []dummy.Means{dummy.ByAddress, dummy.ByRoute} {
			if a := (dummy.Address{Addr: key.Addr, Means: means}); have.addresses[a] {
				kept.address(a)
			}
		}
	}
	keepServer(have, kept, key, key.Protocol)
	if mark := have.entries(setLocal, f)[e].Mark; mark != 0 {
		keepServer(have, kept, ipvs.MarkKey(f, mark), key.Protocol)
	}
}

func keepServer(have, kept *state, key ipvs.Key, p vipkit.Protocol) {
	server, ok := have.servers[key]
	if !ok {
		return
	}
	kept.servers[key] = server
	for d := range server.Destinations {
		if entry, ok := have.entries(setHairpin, key.Family())[hairpin(d.Addr, p, d.Port)]; ok {
			kept.entry(setHairpin, key.Family(), entry)
		}
	}
}

// sortedKeys returns the keys of m in the order of their text's parts.
func sortedKeys[V any](m map[ipvs.Key]V) []ipvs.Key {
	keys := make([]ipvs.Key, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sortKeys(keys)
	return keys
}

func sortKeys(keys []ipvs.Key) { slices.SortFunc(keys, compareKeys) }

func compareKeys(a, b ipvs.Key) int {
	return cmp.Or(cmp.Compare(a.Mark, b.Mark), a.Addr.Compare(b.Addr), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
}
