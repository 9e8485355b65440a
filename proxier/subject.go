package proxier

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/ipvs"
)

// A subject is what a write is about, as an [ipvs.Key]: a tuple (all but the
// mark), an address (that alone), an endpoint (address and port), a mark; the zero
// key is what all services share.

// heldEndpoints returns the hairpin entries of endpoints whose server may not
// have let go of them, and why: the subjects that failed.
func (r *run) heldEndpoints() map[ipset.EntryKey][]ipvs.Key {
	held := make(map[ipset.EntryKey][]ipvs.Key)
	if len(r.failed) == 0 {
		return held
	}
	for key, server := range r.have.servers {
		for _, subject := range append([]ipvs.Key{key, {Addr: key.Addr}}, r.tuples[key]...) {
			if r.failed[subject] == nil {
				continue
			}
			for d := range server.Destinations {
				for _, p := range r.protocols(key) {
					e := hairpin(d.Addr, p, d.Port)
					held[e] = append(held[e], subject)
				}
			}
		}
	}
	return held
}

// protocols returns those that clients of a virtual server speak.
func (r *run) protocols(key ipvs.Key) []vipkit.Protocol {
	if key.Mark == 0 {
		return []vipkit.Protocol{key.Protocol}
	}
	var protocols []vipkit.Protocol
	for _, t := range r.tuples[key] {
		if !slices.Contains(protocols, t.Protocol) {
			protocols = append(protocols, t.Protocol)
		}
	}
	return protocols
}

// keepsFamily reports whether something of the family failed, so that what its
// services share has to stay: what is left of them is guarded, and ours, by it.
func (r *run) keepsFamily(f vipkit.Family) bool {
	for key := range r.failed {
		if key.Family() == f {
			return true
		}
	}
	return false
}

// fail notes that a subject failed. The failure of a mark is one of every tuple
// that relies on it.
func (r *run) fail(subject ipvs.Key, err error) {
	r.log.Info("write failed", "subject", subject.String(), "error", err)
	subjects := []ipvs.Key{subject}
	if subject.Mark != 0 {
		subjects = append(subjects, r.tuples[subject]...)
	}
	for _, key := range subjects {
		if old := r.failed[key]; old != nil && !errors.Is(old, err) {
			err = errors.Join(old, err)
		}
		r.failed[key] = err
	}
}

// serverSubject returns what a change of a virtual server is about: its key
// first, then its address and endpoint, whose safeguards it relies on. What takes
// away from a server by mark relies on the entries that sent packets to it.
func (r *run) serverSubject(c ipvs.Change) []ipvs.Key {
	key := c.Service.Key
	subjects := []ipvs.Key{key}
	switch {
	case key.Mark == 0:
		subjects = append(subjects, ipvs.Key{Addr: key.Addr})
	case c.Op == ipvs.DeleteService || c.Op == ipvs.DeleteDestination:
		subjects = append(subjects, r.tuples[key]...)
	}
	if c.Op == ipvs.AddDestination {
		subjects = append(subjects, endpoint(c.Destination.Addr, c.Destination.Port))
	}
	return subjects
}

// addressSubject returns what a change of an address is about: the address, and
// if it goes, whatever failed there and may still answer.
func (r *run) addressSubject(c AddressChange) []ipvs.Key {
	subjects := []ipvs.Key{{Addr: c.Address.Addr}}
	if c.Op == dummy.DeleteAddress {
		subjects = append(subjects, r.failedAt(c.Address.Addr)...)
	}
	return subjects
}

// failedAt returns the tuples of an address that failed.
func (r *run) failedAt(a netip.Addr) []ipvs.Key {
	var keys []ipvs.Key
	for key := range r.failed {
		if key.Addr == a && key.Protocol != 0 {
			keys = append(keys, key)
		}
	}
	return keys
}

// entrySubject returns what an entry is about: an address, an endpoint, a
// tuple, or with networks of pods everything.
func entrySubject(c ipset.Change) []ipvs.Key {
	e := c.Entry.EntryKey
	switch c.Set.Type {
	case ipset.HashIPPortIP:
		return []ipvs.Key{endpoint(e.Net.Addr(), e.Port)}
	case ipset.HashIP:
		return []ipvs.Key{{Addr: e.Net.Addr()}}
	case ipset.HashNet:
		return []ipvs.Key{{}}
	default:
		return []ipvs.Key{keyOf(e), {Addr: e.Net.Addr()}}
	}
}

// endpoint is the subject of an endpoint's safeguards.
func endpoint(a netip.Addr, port uint16) ipvs.Key { return ipvs.Key{Addr: a, Port: port} }

// failures returns what failed by service, whose tuples, addresses and endpoints
// those are, and what is nobody's.
func (r *run) failures() (failed refusals, rest []error) {
	failed = make(refusals)
	if len(r.failed) == 0 {
		return failed, nil
	}
	told := make(map[ipvs.Key]bool)
	for _, s := range []*state{r.want, r.have} {
		for _, f := range families {
			for e, entry := range s.entries(setLedger, f) {
				for _, key := range s.relies(keyOf(e)) {
					err := r.failed[key]
					if err != nil && !slices.Contains(failed[entry.Comment], err) {
						failed.add(entry.Comment, err)
					}
					told[key] = told[key] || err != nil
				}
			}
		}
	}
	for key, err := range r.failed {
		if !told[key] && !slices.ContainsFunc(r.tuples[key], func(t ipvs.Key) bool { return told[t] }) {
			rest = append(rest, err)
		}
	}
	slices.SortFunc(rest, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return failed, rest
}

// relies returns the subjects that a virtual server relies on.
func (s *state) relies(key ipvs.Key) []ipvs.Key {
	keys := []ipvs.Key{key, {Addr: key.Addr}}
	for d := range s.servers[key].Destinations {
		keys = append(keys, endpoint(d.Addr, d.Port))
	}
	return keys
}
