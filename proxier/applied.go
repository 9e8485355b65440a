package proxier

import (
	"net/netip"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/ipvs"
)

// applied is what the kernel is known to hold, service by service, so that a
// change costs what it touches: the kernel objects of a service are laid out
// again when it changes, and only those that services share are counted.
type applied struct {
	config   *config
	services map[string]*holding
	// tuples says whose virtual server is where, marks whose each is.
	tuples map[ipvs.Key]string
	marks  map[uint32]string
	counts counts

	link             bool // there is a dummy link
	foreignServers   map[ipvs.Key]bool
	foreignAddresses map[netip.Addr]bool
}

// holding is one service in the kernel: as it was wanted, or, where what is
// there was never seen as a Service, as it was found.
type holding struct {
	service Service
	mark    uint32
	found   *state
}

func newApplied(c *config, have *state) *applied {
	return &applied{
		config:           c,
		services:         make(map[string]*holding),
		tuples:           make(map[ipvs.Key]string),
		marks:            make(map[uint32]string),
		counts:           newCounts(),
		foreignServers:   have.foreignServers,
		foreignAddresses: have.foreignAddresses,
	}
}

func (h *holding) layout(c *config, to sink) {
	if h.found != nil {
		h.found.layout(to)
		return
	}
	layoutService(c, to, h.service, h.mark)
}

// set replaces what is known of a service; nil: it is gone.
func (a *applied) set(name string, h *holding) {
	if old := a.services[name]; old != nil {
		old.layout(a.config, tally{counts: a.counts, tuples: a.tuples, name: name, by: -1})
		if a.marks[old.mark] == name {
			delete(a.marks, old.mark)
		}
		delete(a.services, name)
	}
	if h == nil {
		return
	}
	a.services[name] = h
	h.layout(a.config, tally{counts: a.counts, tuples: a.tuples, name: name, by: 1})
	if h.mark != 0 {
		a.marks[h.mark] = name
	}
}

// advance takes over what a resolution has made of the changed services, all of
// it carried out.
func (a *applied) advance(t transition) {
	r := t.resolution
	a.link = r.want.link || t.have.link && len(a.foreignAddresses) > 0
	for name := range t.changed {
		if r.kept[name] == nil {
			a.set(name, nil)
		}
	}
	for name, found := range r.kept {
		if a.services[name] == nil {
			a.set(name, &holding{found: found, mark: found.mark()})
		}
	}
	for _, svc := range r.accepted {
		a.set(svc.Name, &holding{service: cloneService(svc), mark: r.marks[svc.Name]})
	}
}

// part returns the state of the named services alone: where they leave something
// out, it says so.
func (a *applied) part(names map[string]bool) *state {
	s := newState()
	s.elsewhere = a
	s.link, s.foreignServers, s.foreignAddresses = a.link, a.foreignServers, a.foreignAddresses
	for _, f := range families {
		if a.counts.families[familyIndex(f)] > 0 {
			layoutFamily(a.config, s, f)
		}
	}
	for name := range names {
		if h := a.services[name]; h != nil {
			h.layout(a.config, s)
		}
	}
	return s
}

// share puts into both states what services other than the named ones have of
// what they share: it is there and stays.
func (a *applied) share(names map[string]bool, have, want *state) {
	own := newCounts()
	for name := range names {
		if h := a.services[name]; h != nil {
			h.layout(a.config, tally{counts: own, by: 1})
		}
	}
	for _, f := range families {
		if i := familyIndex(f); a.counts.families[i] > own.families[i] {
			layoutFamily(a.config, want, f)
		}
	}
	both := [2]*state{have, want}
	for _, s := range both {
		for address := range s.addresses {
			if a.counts.addresses[address] > own.addresses[address] {
				for _, s := range both {
					s.address(address)
					s.entry(setAddresses, vipkit.FamilyOf(address.Addr), ipset.Entry{EntryKey: ipset.EntryKey{Net: ipset.Host(address.Addr)}})
				}
			}
		}
		for _, f := range families {
			for _, id := range sharedSets {
				for key, e := range s.entries(id, f) {
					if a.counts.shared[id][key] > own.shared[id][key] {
						have.entry(id, f, e)
						want.entry(id, f, e)
					}
				}
			}
		}
	}
}

// markOwner returns whose the mark is. Nothing is known of it where a is nil.
func (a *applied) markOwner(m uint32) (name string, ok bool) {
	if a == nil {
		return "", false
	}
	name, ok = a.marks[m]
	return name, ok
}

// sharedSets are those whose entries several services may want.
var sharedSets = [...]setID{setHairpin, setHealth}

// counts says how many services have each object that services may share: the
// family itself (by tuples), virtual addresses, and entries of some sets.
type counts struct {
	families  *[2]int
	addresses map[dummy.Address]int
	shared    map[setID]map[ipset.EntryKey]int // of [sharedSets]
}

func newCounts() counts {
	c := counts{families: new([2]int), addresses: make(map[dummy.Address]int), shared: make(map[setID]map[ipset.EntryKey]int)}
	for _, id := range sharedSets {
		c.shared[id] = make(map[ipset.EntryKey]int)
	}
	return c
}

// tally is a sink that counts objects of one service up or down, and notes its
// tuples if it has somewhere to.
type tally struct {
	counts
	tuples map[ipvs.Key]string
	name   string
	by     int
}

func (t tally) entry(id setID, f vipkit.Family, e ipset.Entry) {
	switch id {
	case setHairpin, setHealth:
		count(t.shared[id], e.EntryKey, t.by)
	case setLedger:
		t.families[familyIndex(f)] += t.by
		key := keyOf(e.EntryKey)
		switch {
		case t.tuples == nil:
		case t.by > 0:
			t.tuples[key] = t.name
		case t.tuples[key] == t.name:
			delete(t.tuples, key)
		}
	default: // nobody else's
	}
}

func (t tally) address(a dummy.Address) { count(t.addresses, a, t.by) }

func (t tally) server(ipvs.Key, func() ipvs.Server) {}

func count[K comparable](m map[K]int, k K, by int) {
	if m[k] += by; m[k] == 0 {
		delete(m, k)
	}
}
