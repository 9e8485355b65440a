package conntrack

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vipkit/vipkit"
)

// Filter selects flows to be read: those that every field selects. The zero value
// of a field selects all flows, and so does that of the Filter. It is comparable.
//
// The kernel leaves out what it can, which makes a large table cheap to look
// into; a Client looks again at what is left, so the same flows come from every
// kernel.
type Filter struct {
	// Family is IPv4 or IPv6. An address in the filter says it too.
	Family vipkit.Family
	// Protocol is TCP, UDP, SCTP, [ICMP4], [ICMP6] or any other. The kernel
	// selects by it from Linux 5.8 on.
	Protocol vipkit.Protocol
	// OriginalDst is where the first packet went, such as a virtual address;
	// ReplySrc is who answers, such as an endpoint. Without an address any will
	// do, and without a port any port. The kernel selects by IPv4 addresses from
	// Linux 5.8 on, and, if there is a Protocol and that is TCP or UDP, by ports.
	OriginalDst, ReplySrc netip.AddrPort
	// Zone is made by [InZone]. The kernel selects by it from Linux 6.8 on.
	Zone ZoneFilter
	// Mark selects flows whose mark, under MarkMask, is Mark.
	Mark, MarkMask uint32
	// Status selects flows whose status, under StatusMask, is Status: with both
	// StatusSeenReply those that were answered, with a zero Status the others.
	Status, StatusMask Status
}

// ZoneFilter selects flows by zone. Its zero value selects those of all zones.
type ZoneFilter uint32

const zoneGiven ZoneFilter = 1 << 16

// InZone selects the flows that are in a zone with both directions, or with the
// only one that has a zone. Zero is the default zone.
func InZone(zone uint16) ZoneFilter { return zoneGiven | ZoneFilter(zone) }

// Selects reports whether the filter selects a flow.
func (f Filter) Selects(flow FlowInfo) bool { return f.selects(&flow) }

func (f *Filter) selects(flow *FlowInfo) bool {
	return f.wants(flow.Protocol, &flow.Original) && fits(f.ReplySrc, flow.Reply.Src) &&
		(f.Zone == 0 || f.Zone == InZone(max(flow.Zone, flow.ReplyZone))) &&
		flow.Mark&f.MarkMask == f.Mark && flow.Status&f.StatusMask == f.Status
}

// wants reports whether a flow may be selected of which these two are known.
func (f *Filter) wants(p vipkit.Protocol, original *Tuple) bool {
	return (f.Protocol == 0 || f.Protocol == p) &&
		(f.Family == 0 || f.Family == vipkit.FamilyOf(original.Dst.Addr())) &&
		fits(f.OriginalDst, original.Dst)
}

// fits reports whether a has the address and the port that want names.
func fits(want, a netip.AddrPort) bool {
	return (!want.Addr().IsValid() || want.Addr() == a.Addr()) && (want.Port() == 0 || want.Port() == a.Port())
}

// Validate reports every fault of the filter.
func (f Filter) Validate() error {
	var errs []error
	if f.Family != 0 && f.Family != vipkit.IPv4 && f.Family != vipkit.IPv6 {
		errs = append(errs, fmt.Errorf("family: want IPv4 or IPv6, not %d", f.Family))
	}
	for _, end := range []struct {
		field string
		addr  netip.Addr
	}{{"original dst", f.OriginalDst.Addr()}, {"reply src", f.ReplySrc.Addr()}} {
		if !end.addr.IsValid() {
			continue
		}
		if err := validateAddr(end.field, end.addr); err != nil {
			errs = append(errs, err)
		} else if family := f.family(); family != vipkit.FamilyOf(end.addr) {
			errs = append(errs, fmt.Errorf("%s: %v is not of %v", end.field, end.addr, family))
		}
	}
	if f.Mark&^f.MarkMask != 0 {
		errs = append(errs, fmt.Errorf("mark: %#x has bits that the mask %#x has not", f.Mark, f.MarkMask))
	}
	if f.Status&^f.StatusMask != 0 {
		errs = append(errs, fmt.Errorf("status: %#x has bits that the mask %#x has not", f.Status, f.StatusMask))
	}
	if f.Zone != 0 && f.Zone&^0xffff != zoneGiven {
		errs = append(errs, errors.New("zone: not made by InZone"))
	}
	return errors.Join(errs...)
}

// family returns the family of all that the filter selects, zero if there are
// two.
func (f *Filter) family() vipkit.Family {
	switch {
	case f.Family != 0:
		return f.Family
	case f.OriginalDst.Addr().IsValid():
		return vipkit.FamilyOf(f.OriginalDst.Addr())
	case f.ReplySrc.Addr().IsValid():
		return vipkit.FamilyOf(f.ReplySrc.Addr())
	}
	return 0
}

// Match selects the flows to one virtual address and port, through one of its
// endpoints or through all. It is what flows are deleted by. It is comparable.
type Match struct {
	// Protocol is TCP, UDP or SCTP.
	Protocol vipkit.Protocol
	// OriginalDst is the virtual address and port. It is required: no match
	// is ever wider than one port of one address.
	OriginalDst netip.AddrPort
	// ReplySrc is the endpoint's address and port. The zero value selects
	// the flows to every endpoint.
	ReplySrc netip.AddrPort
}

// Matches reports whether m selects f.
func (m Match) Matches(f Flow) bool {
	return f.Protocol == m.Protocol && f.Original.Dst == m.OriginalDst &&
		(!m.ReplySrc.IsValid() || f.Reply.Src == m.ReplySrc)
}

// Filter returns the filter that selects the same flows.
func (m Match) Filter() Filter {
	return Filter{Protocol: m.Protocol, OriginalDst: m.OriginalDst, ReplySrc: m.ReplySrc}
}

// Frontend returns what the match is about, whatever the endpoint.
func (m Match) Frontend() Frontend { return Frontend{m.Protocol, m.OriginalDst} }
