package conntrack

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vipkit/vipkit"
)

// Protocols without ports, whose flows the kernel tells apart by other fields.
const (
	icmp   vipkit.Protocol = 1
	icmpv6 vipkit.Protocol = 58
)

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

// Validate reports every reason why f cannot be named to the kernel.
func (f Flow) Validate() error {
	if f.Protocol != 0 && f.Protocol != icmp && f.Protocol != icmpv6 && f.Original.valid() && f.Reply.valid() {
		return nil // without an allocation
	}
	var errs []error
	if f.Protocol == 0 || f.Protocol == icmp || f.Protocol == icmpv6 {
		errs = append(errs, fmt.Errorf("protocol: flows of %v have no ports", f.Protocol))
	}
	errs = append(errs, f.Original.validate("original"), f.Reply.validate("reply"))
	return errors.Join(errs...)
}

func (t Tuple) validate(field string) error {
	src, dst := t.Src.Addr(), t.Dst.Addr()
	errs := []error{validateAddr(field+" src", src), validateAddr(field+" dst", dst)}
	if src.IsValid() && dst.IsValid() && src.Is4() != dst.Is4() {
		errs = append(errs, fmt.Errorf("%s: %v and %v are of different families", field, src, dst))
	}
	return errors.Join(errs...)
}

func (t Tuple) valid() bool {
	src, dst := t.Src.Addr(), t.Dst.Addr()
	return src.IsValid() && dst.IsValid() && src.Is4() == dst.Is4() &&
		!src.Is4In6() && !dst.Is4In6() && src.Zone() == "" && dst.Zone() == ""
}
