package dummy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Kind is the kernel's name for the links of this package.
const Kind = "dummy"

// Limits of a link's MTU other than zero, in bytes. IPv6 does not work below the
// first (RFC 8200).
const (
	MinMTU = 1280
	MaxMTU = 65535
)

// CheckName reports why no link can have a name (net/core/dev.c, dev_valid_name).
func CheckName(name string) error {
	switch {
	case name == "" || len(name) > MaxNameLen:
		return fmt.Errorf("link name %q has %d bytes, want 1–%d", name, len(name), MaxNameLen)
	case name == "." || name == "..":
		return fmt.Errorf("link name %q", name)
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c == 0x7f || c == '/' || c == ':' || c == '%' {
			return fmt.Errorf("link name %q has the byte %q", name, c)
		}
	}
	return nil
}

// Validate reports everything for which CreateLink would refuse the link.
func (l Link) Validate() error {
	errs := []error{CheckName(l.Name)}
	if l.Kind != "" && l.Kind != Kind {
		errs = append(errs, fmt.Errorf("kind %q, want %s", l.Kind, Kind))
	}
	if l.MTU != 0 && (l.MTU < MinMTU || l.MTU > MaxMTU) {
		errs = append(errs, fmt.Errorf("MTU %d, want %d–%d, or 0 for the kernel's choice", l.MTU, MinMTU, MaxMTU))
	}
	return errors.Join(errs...)
}

// broadcast is INADDR_BROADCAST.
var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// Validate reports an address that cannot be a virtual address.
func (a Address) Validate() error {
	if a.Addr.Is4() && a.Means <= ByRoute && usual(a.Addr.As4()) {
		return nil // soon, for most of many
	}
	var reason string
	switch {
	case !a.Addr.IsValid():
		reason = "no address"
	case a.Addr.Is4In6():
		reason = "an IPv4 address written as IPv6"
	case a.Addr.Zone() != "":
		reason = "has a zone"
	case a.Addr.IsUnspecified():
		reason = "unspecified"
	case a.Addr.IsLoopback():
		reason = "loopback"
	case a.Addr.IsMulticast() || a.Addr == broadcast:
		reason = "goes to many"
	case a.Addr.IsLinkLocalUnicast():
		reason = "link-local"
	case a.Means > ByRoute:
		return fmt.Errorf("means %d", a.Means)
	default:
		return nil
	}
	return fmt.Errorf("virtual address %q: %s", strings.TrimPrefix(a.Addr.String(), "invalid IP"), reason)
}

// usual reports whether an address is in no block that has one of those in it that
// are refused.
func usual(a [4]byte) bool {
	return a[0] != 0 && a[0] != 127 && a[0] < 224 && (a[0] != 169 || a[1] != 254)
}

// Validate reports a change that no client carries out.
func (c Change) Validate() error {
	if c.Op != AddAddress && c.Op != DeleteAddress {
		return fmt.Errorf("operation %d", c.Op)
	}
	return c.Address.Validate()
}
