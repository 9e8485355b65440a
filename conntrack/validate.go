package conntrack

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vipkit/vipkit"
)

// Protocols other than ICMP and those of services that the kernel tracks by more
// than addresses.
const (
	dccp    vipkit.Protocol = 33
	gre     vipkit.Protocol = 47
	udplite vipkit.Protocol = 136
)

func hasPorts(p vipkit.Protocol) bool {
	return p.Valid() || p == dccp || p == udplite || p == gre
}

// Validate reports every fault of the match.
func (m Match) Validate() error {
	var errs []error
	if !m.Protocol.Valid() {
		errs = append(errs, fmt.Errorf("protocol: want tcp, udp or sctp, not %v", m.Protocol))
	}
	errs = append(errs, validateEnd("original dst", m.OriginalDst))
	if m.ReplySrc != (netip.AddrPort{}) {
		errs = append(errs, validateEnd("reply src", m.ReplySrc))
		a, b := m.OriginalDst.Addr(), m.ReplySrc.Addr()
		if a.IsValid() && b.IsValid() && a.Is4() != b.Is4() {
			errs = append(errs, fmt.Errorf("reply src: %v is of another family than %v", b, a))
		}
	}
	return errors.Join(errs...)
}

func validateEnd(field string, a netip.AddrPort) error {
	if err := validateAddr(field, a.Addr()); err != nil {
		return err
	}
	if a.Addr().IsUnspecified() {
		return fmt.Errorf("%s: %v is no address of a service", field, a.Addr())
	}
	if a.Port() == 0 {
		return fmt.Errorf("%s: port 0", field)
	}
	return nil
}

func validateAddr(field string, a netip.Addr) error {
	switch {
	case !a.IsValid():
		return fmt.Errorf("%s: no address", field)
	case a.Is4In6():
		return fmt.Errorf("%s: %v is an IPv4-mapped address: unmap it", field, a)
	case a.Zone() != "":
		return fmt.Errorf("%s: %v has a zone", field, a)
	}
	return nil
}

// Validate reports every reason why the kernel cannot have such a flow.
func (f Flow) Validate() error {
	if f.valid() {
		return nil // without an allocation
	}
	var errs []error
	if f.Protocol == 0 {
		errs = append(errs, errors.New("protocol: none"))
	}
	errs = append(errs, f.Original.validate("original", f.Protocol), f.Reply.validate("reply", f.Protocol))
	if o, r := f.Original.Src.Addr(), f.Reply.Src.Addr(); o.IsValid() && r.IsValid() && o.Is4() != r.Is4() {
		errs = append(errs, fmt.Errorf("reply src: %v is of another family than %v", r, o))
	}
	return errors.Join(errs...)
}

func (f *Flow) valid() bool {
	return f.Protocol != 0 && f.Original.valid(f.Protocol) && f.Reply.valid(f.Protocol) && f.Original.Src.Addr().Is4() == f.Reply.Src.Addr().Is4()
}

func (t Tuple) validate(field string, p vipkit.Protocol) error {
	src, dst := t.Src.Addr(), t.Dst.Addr()
	errs := []error{validateAddr(field+" src", src), validateAddr(field+" dst", dst)}
	if src.IsValid() && dst.IsValid() && src.Is4() != dst.Is4() {
		errs = append(errs, fmt.Errorf("%s: %v and %v are of different families", field, src, dst))
	}
	if !hasPorts(p) && t.Src.Port()|t.Dst.Port() != 0 {
		errs = append(errs, fmt.Errorf("%s: protocol %v has no ports", field, p))
	}
	if !t.ICMP.valid(p) {
		errs = append(errs, fmt.Errorf("%s: protocol %v has no flows of type %d, code %d and id %d", field, p, t.ICMP.Type, t.ICMP.Code, t.ICMP.ID))
	}
	return errors.Join(errs...)
}

func (t *Tuple) valid(p vipkit.Protocol) bool {
	src, dst := t.Src.Addr(), t.Dst.Addr()
	return src.IsValid() && dst.IsValid() && src.Is4() == dst.Is4() &&
		!src.Is4In6() && !dst.Is4In6() && src.Zone() == "" && dst.Zone() == "" &&
		(hasPorts(p) || t.Src.Port()|t.Dst.Port() == 0) && t.ICMP.valid(p)
}

// valid reports whether the kernel tracks messages of this kind: questions and
// answers (nf_conntrack_proto_icmp.c and nf_conntrack_proto_icmpv6.c, invmap).
func (v ICMP) valid(p vipkit.Protocol) bool {
	if p == ICMP4 {
		switch v.Type {
		case 0, 8, 13, 14, 15, 16, 17, 18: // echo, timestamp, information, address mask
			return true
		}
		return false
	}
	if p == ICMP6 {
		switch v.Type {
		case 128, 129, 139, 140: // echo, node information
			return true
		}
		return false
	}
	return v == ICMP{}
}
