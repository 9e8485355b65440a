package conntrack

import (
	"cmp"
	"errors"
	"io/fs"
	"iter"
	"maps"
	"net/netip"
	"slices"

	"github.com/vipkit/vipkit"
)

// selector is a set of matches, arranged so that a flow costs one look-up.
type selector map[Frontend][]netip.AddrPort // the endpoints; empty: all

// newSelector returns the valid matches, and an error for each of the others.
func newSelector(matches []Match) (selector, error) {
	var errs []error
	s := make(selector, len(matches))
	for _, m := range matches {
		if err := m.Validate(); err != nil {
			errs = append(errs, &vipkit.OpError{Op: "conntrack delete", Object: m.String(), Kind: fs.ErrInvalid, Err: err})
			continue
		}
		key := m.Frontend()
		endpoints, known := s[key]
		switch {
		case !m.ReplySrc.IsValid():
			s[key] = nil
		case known && len(endpoints) == 0: // all of them already
		case !slices.Contains(endpoints, m.ReplySrc):
			s[key] = append(endpoints, m.ReplySrc)
		}
	}
	return s, errors.Join(errs...)
}

// wants reports whether a flow may be selected of which these two are known.
func (s selector) wants(p vipkit.Protocol, original *Tuple) bool {
	_, ok := s[Frontend{p, original.Dst}]
	return ok
}

// selects reports whether one of the matches selects f.
func (s selector) selects(f *Flow) bool {
	endpoints, ok := s[Frontend{f.Protocol, f.Original.Dst}]
	return ok && (len(endpoints) == 0 || slices.Contains(endpoints, f.Reply.Src))
}

// filters returns what to ask for: filters that together select every flow that
// s selects.
func (s selector) filters() []Filter {
	if len(s) > fewDumps {
		return wideFilters(maps.Keys(s))
	}
	var filters []Filter
	for key, endpoints := range s {
		f := key.filter()
		if len(endpoints) == 1 {
			f.ReplySrc = endpoints[0]
		}
		filters = append(filters, f)
	}
	return sortFilters(filters)
}

// remove takes out a match that matches returned.
func (s selector) remove(m Match) {
	key := m.Frontend()
	rest := slices.DeleteFunc(s[key], func(e netip.AddrPort) bool { return e == m.ReplySrc })
	if len(rest) == 0 {
		delete(s, key)
	} else {
		s[key] = rest
	}
}

// matches returns what s consists of, in order.
func (s selector) matches() (matches []Match) {
	for key, endpoints := range s {
		if len(endpoints) == 0 {
			matches = append(matches, Match{Protocol: key.Protocol, OriginalDst: key.Addr})
		}
		for _, e := range endpoints {
			matches = append(matches, Match{key.Protocol, key.Addr, e})
		}
	}
	slices.SortFunc(matches, func(a, b Match) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), a.OriginalDst.Compare(b.OriginalDst), a.ReplySrc.Compare(b.ReplySrc))
	})
	return matches
}

// fewDumps is up to how many frontends are worth a filtered dump each: past that,
// one wider dump is cheaper.
const fewDumps = 6

// filtersOf returns filters that together select every flow to any of the
// frontends.
func filtersOf(frontends iter.Seq[Frontend], n int) (filters []Filter) {
	if n > fewDumps {
		return wideFilters(frontends)
	}
	for key := range frontends {
		filters = append(filters, key.filter())
	}
	return sortFilters(filters)
}

// wideFilters returns one filter a family for all of the frontends, with what
// they have in common.
func wideFilters(frontends iter.Seq[Frontend]) []Filter {
	families := make(map[vipkit.Family]Filter)
	for key := range frontends {
		have, ok := families[vipkit.FamilyOf(key.Addr.Addr())]
		f := key.filter()
		if ok {
			f = common(have, f)
		}
		families[f.Family] = f
	}
	filters := slices.Collect(maps.Values(families))
	if len(filters) == 2 && filters[0].Protocol == 0 && filters[1].Protocol == 0 {
		return []Filter{{}}
	}
	return sortFilters(filters)
}

// common returns a filter of one family that selects what either does.
func common(a, b Filter) Filter {
	f := Filter{Family: a.Family}
	if a.Protocol == b.Protocol {
		f.Protocol = a.Protocol
	}
	var addr netip.Addr
	var port uint16
	if a.OriginalDst.Addr() == b.OriginalDst.Addr() {
		addr = a.OriginalDst.Addr()
	}
	if a.OriginalDst.Port() == b.OriginalDst.Port() {
		port = a.OriginalDst.Port()
	}
	f.OriginalDst = netip.AddrPortFrom(addr, port)
	return f
}

func sortFilters(filters []Filter) []Filter {
	slices.SortFunc(filters, func(a, b Filter) int {
		return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Protocol, b.Protocol), a.OriginalDst.Compare(b.OriginalDst))
	})
	return filters
}
