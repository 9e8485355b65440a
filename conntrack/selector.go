package conntrack

import (
	"errors"
	"io/fs"
	"net/netip"
	"slices"

	"github.com/vipkit/vipkit"
)

// selector is a set of matches, arranged so that a flow costs one look-up.
type selector map[end][]netip.AddrPort // the endpoints; empty: all

// newSelector returns the valid matches, and an error for each of the others.
func newSelector(matches []Match) (selector, error) {
	var errs []error
	s := make(selector, len(matches))
	for _, m := range matches {
		if err := m.Validate(); err != nil {
			errs = append(errs, &vipkit.OpError{Op: "conntrack delete", Object: m.String(), Kind: fs.ErrInvalid, Err: err})
			continue
		}
		key := end{m.Protocol, m.OriginalDst}
		endpoints, known := s[key]
		switch {
		case !m.ReplySrc.IsValid():
			s[key] = nil
		case known && len(endpoints) == 0: // all of them already
		default:
			s[key] = append(endpoints, m.ReplySrc)
		}
	}
	return s, errors.Join(errs...)
}

// wants reports whether a flow with that end may be selected.
func (s selector) wants(e end) bool {
	_, ok := s[e]
	return ok
}

// selects reports whether one of the matches selects f.
func (s selector) selects(f *Flow) bool {
	endpoints, ok := s[end{f.Protocol, f.Original.Dst}]
	return ok && (len(endpoints) == 0 || slices.Contains(endpoints, f.Reply.Src))
}

// fewDumps is up to how many services are worth a filtered dump each: past
// that, one dump of everything is cheaper.
const fewDumps = 8

// filters returns what to ask the kernel for: dumps that together contain every
// flow that s selects.
func (s selector) filters() []filter {
	if len(s) == 0 {
		return nil
	}
	protocols := map[vipkit.Protocol]bool{}
	var filters []filter
	for e, endpoints := range s {
		f := filter{nfFamily(e.dst.Addr()), Match{Protocol: e.protocol, OriginalDst: e.dst}}
		if len(endpoints) == 1 {
			f.ReplySrc = endpoints[0]
		}
		filters = append(filters, f)
		protocols[e.protocol] = true
	}
	if len(filters) <= fewDumps {
		return filters
	}
	if len(protocols) == 1 {
		return ofProtocol(filters[0].Protocol)
	}
	return []filter{{}}
}

// ofProtocol returns the filters for all flows of a protocol.
func ofProtocol(p vipkit.Protocol) []filter {
	return []filter{{afInet, Match{Protocol: p}}, {afInet6, Match{Protocol: p}}}
}
