package ipset

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/vipkit/vipkit"
)

const (
	maxComment = 255            // IPSET_MAX_COMMENT_SIZE
	maxTimeout = 2147483        // seconds: UINT_MAX milliseconds / 2, as the tool limits it
	badInName  = " \t\r\n\"'\\" // what the tool's restore cannot read back in a name
	badComment = "\"\r\n\x00"   // and in a comment
)

// parts says which fields of an EntryKey a type uses.
type parts struct {
	addr, net   bool // Net: a single address, or a network
	proto       bool // Protocol and Port
	port        bool // Port alone
	addr2, net2 bool // Net2: a single address, or a network
}

func (t Type) parts() (p parts, ok bool) {
	switch t {
	case HashIP:
		return parts{addr: true}, true
	case HashNet:
		return parts{net: true}, true
	case HashIPPort:
		return parts{addr: true, proto: true}, true
	case HashIPPortIP:
		return parts{addr: true, proto: true, addr2: true}, true
	case HashIPPortNet:
		return parts{addr: true, proto: true, net2: true}, true
	case BitmapPort:
		return parts{port: true}, true
	}
	return parts{}, false
}

// Validate reports every fault of a set that is to be created.
func (s Set) Validate() error {
	errs := []error{validateName("name", s.Name), s.validateType()}
	p, known := s.Type.parts()
	if known && p.port {
		if s.HashSize != 0 || s.MaxElem != 0 {
			errs = append(errs, fmt.Errorf("hash size or max elem: %s has none", s.Type))
		}
		if s.PortFrom > s.PortTo {
			errs = append(errs, fmt.Errorf("port from: %d is above port to, %d", s.PortFrom, s.PortTo))
		}
	} else if known && (s.PortFrom != 0 || s.PortTo != 0) {
		errs = append(errs, fmt.Errorf("port from or to: %s has no range", s.Type))
	}
	if s.HashSize > 1<<31 {
		errs = append(errs, fmt.Errorf("hash size: %d is above 2147483648", s.HashSize))
	}
	if !validTimeout(s.Timeout) {
		errs = append(errs, fmt.Errorf("timeout: %v is not whole seconds of 0–%d", s.Timeout, maxTimeout))
	}
	if s.Extra != "" {
		errs = append(errs, fmt.Errorf("extra: %q cannot be created", s.Extra))
	}
	return errors.Join(errs...)
}

// validateType checks Type and Family, all that counts for entries.
func (s Set) validateType() error {
	p, ok := s.Type.parts()
	switch {
	case !ok:
		return fmt.Errorf("type: unknown %q", string(s.Type))
	case p.port && s.Family != 0:
		return fmt.Errorf("family: %s has none, not %v", s.Type, s.Family)
	case !p.port && s.Family != vipkit.IPv4 && s.Family != vipkit.IPv6:
		return fmt.Errorf("family: %s needs IPv4 or IPv6", s.Type)
	}
	return nil
}

func validateName(field, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%s: is empty", field)
	case len(name) > MaxNameLen:
		return fmt.Errorf("%s: %q is longer than %d bytes", field, name, MaxNameLen)
	case strings.ContainsAny(name, badInName) || strings.HasPrefix(name, "-") || !printable(name):
		return fmt.Errorf("%s: %q cannot be written in the tool's syntax", field, name)
	}
	return nil
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

func validTimeout(d time.Duration) bool {
	return d == Forever || d >= 0 && d%time.Second == 0 && d <= maxTimeout*time.Second
}

// Validate reports every fault of k as an entry of a set of the type and
// family. Fields that the type does not use must be zero.
func (k EntryKey) Validate(t Type, f vipkit.Family) error {
	p, ok := t.parts()
	if !ok {
		return fmt.Errorf("type: unknown %q", string(t))
	}
	if k.valid(p, f) {
		return nil
	}
	errs := []error{
		validateNet("net", k.Net, p.addr, p.net, t, f),
		validateNet("net2", k.Net2, p.addr2, p.net2, t, f),
	}
	switch {
	case p.proto && !k.Protocol.Valid():
		errs = append(errs, fmt.Errorf("protocol: want tcp, udp or sctp, not %v", k.Protocol))
	case !p.proto && k.Protocol != 0:
		errs = append(errs, fmt.Errorf("protocol: %s has none, not %v", t, k.Protocol))
	case !p.proto && !p.port && k.Port != 0:
		errs = append(errs, fmt.Errorf("port: %s has none, not %d", t, k.Port))
	}
	return errors.Join(errs...)
}

// valid is the fast way through Validate for keys without a fault: no
// allocation, no text.
func (k *EntryKey) valid(p parts, f vipkit.Family) bool {
	return validNet(k.Net, p.addr, p.net, f) && validNet(k.Net2, p.addr2, p.net2, f) &&
		(p.proto && k.Protocol.Valid() || !p.proto && k.Protocol == 0) &&
		(p.proto || p.port || k.Port == 0)
}

func validNet(n netip.Prefix, addr, network bool, f vipkit.Family) bool {
	if !addr && !network {
		return n == netip.Prefix{}
	}
	a := n.Addr()
	if !n.IsValid() || vipkit.FamilyOf(a) != f || a.Is4In6() || n.Bits() == 0 {
		return false
	}
	if addr {
		return n.IsSingleIP() && !a.IsUnspecified()
	}
	return n == n.Masked() && (!n.IsSingleIP() || !a.IsUnspecified())
}

func validateNet(field string, n netip.Prefix, addr, network bool, t Type, f vipkit.Family) error {
	if validNet(n, addr, network, f) {
		return nil
	}
	a := n.Addr()
	switch {
	case !addr && !network:
		return fmt.Errorf("%s: %s has none, not %v", field, t, n)
	case !n.IsValid():
		return fmt.Errorf("%s: is missing or invalid", field)
	case a.Is4In6():
		return fmt.Errorf("%s: %v is an IPv4-mapped address: unmap it", field, n)
	case vipkit.FamilyOf(a) != f:
		return fmt.Errorf("%s: %v is not %v", field, n, f)
	case addr && !n.IsSingleIP():
		return fmt.Errorf("%s: %s holds single addresses, not %v", field, t, n)
	case n.Bits() == 0:
		return fmt.Errorf("%s: the kernel refuses %v: use its two halves (SplitDefault)", field, n)
	case a.IsUnspecified():
		return fmt.Errorf("%s: the kernel refuses the unspecified address %v", field, a)
	}
	return fmt.Errorf("%s: %v has bits beyond its length: want %v", field, n, n.Masked())
}

// Validate reports every fault of e as an entry of set, of which Type and
// Family count. Whether the set was created with comments, skbinfo or timeouts
// only the kernel knows.
func (e Entry) Validate(set Set) error {
	p, ok := set.Type.parts()
	if ok && e.valid(p, set.Family) && e.validExtensions(p.net || p.net2) {
		return nil
	}
	errs := []error{e.EntryKey.Validate(set.Type, set.Family)}
	if len(e.Comment) > maxComment {
		errs = append(errs, fmt.Errorf("comment: is longer than %d bytes", maxComment))
	}
	if strings.ContainsAny(e.Comment, badComment) {
		errs = append(errs, fmt.Errorf("comment: %q has a quotation mark, a line break or a zero byte", e.Comment))
	}
	if e.Mark != 0 && e.MarkMask == 0 {
		errs = append(errs, fmt.Errorf("mark mask: is zero for the mark %#x: write 0xffffffff", e.Mark))
	}
	if !validTimeout(e.Timeout) {
		errs = append(errs, fmt.Errorf("timeout: %v is not whole seconds of 0–%d", e.Timeout, maxTimeout))
	}
	if e.NoMatch && !p.net && !p.net2 {
		errs = append(errs, fmt.Errorf("no match: %s has no networks", set.Type))
	}
	return errors.Join(errs...)
}

func (e *Entry) validExtensions(networks bool) bool {
	return len(e.Comment) <= maxComment && (e.Comment == "" || !strings.ContainsAny(e.Comment, badComment)) &&
		(e.Mark == 0 || e.MarkMask != 0) &&
		(e.Timeout == 0 || validTimeout(e.Timeout)) &&
		(!e.NoMatch || networks)
}

// valid reports whether the kernel can be told of the counters: ULLONG_MAX
// stands for none (ip_set.h, IP_SET_INIT_UEXT).
func (n Counters) valid() bool { return n.Packets != math.MaxUint64 && n.Bytes != math.MaxUint64 }

// Validate reports every fault of the change that can be seen without the
// kernel.
func (c Change) Validate() error {
	switch c.Op {
	case CreateSet:
		return c.Set.Validate()
	case DestroySet, FlushSet:
		return validateName("name", c.Set.Name)
	case SwapSets, RenameSet:
		return errors.Join(validateName("name", c.Set.Name), validateName("other", c.Other))
	case AddEntry, UpdateEntry:
		err := validateName("name", c.Set.Name)
		if !c.Counters.valid() {
			err = errors.Join(err, fmt.Errorf("counters: %d stands for none in the kernel", uint64(math.MaxUint64)))
		}
		if t := c.Set.validateType(); t != nil {
			return errors.Join(err, t)
		}
		return errors.Join(err, c.Entry.Validate(c.Set))
	case DeleteEntry:
		return errors.Join(validateName("name", c.Set.Name), c.Set.validateType(),
			c.Entry.EntryKey.Validate(c.Set.Type, c.Set.Family))
	}
	return fmt.Errorf("op: unknown %d", uint8(c.Op))
}
