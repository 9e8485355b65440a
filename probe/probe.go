package probe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/vipkit/vipkit"
)

// Kind is what a [Facility] is one of.
type Kind uint8

// Kinds of facility.
const (
	// IPVS is virtual servers of an address family. It has no name.
	IPVS Kind = iota + 1
	// Scheduler is a scheduler of IPVS, such as "rr". It has no family.
	Scheduler
	// SetType is a type of IP set of an address family, such as "hash:ip,port".
	// bitmap:port has no family.
	SetType
	// Match is a match of iptables in an address family, such as "conntrack".
	Match
	// Target is a target of iptables in an address family, such as "MASQUERADE".
	Target
	// LinkKind is a kind of link, such as "dummy". It has no family.
	LinkKind
)

var kindNames = [...]string{
	IPVS: "ipvs", Scheduler: "scheduler", SetType: "set type", Match: "match", Target: "target", LinkKind: "link kind",
}

// String returns "ipvs", "scheduler", "set type", "match", "target" or "link kind".
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return fmt.Sprintf("kind-%d", uint8(k))
}

// Facility is something that a kernel has or lacks. It is comparable.
type Facility struct {
	Kind Kind
	// Name is the kernel's own, 1–28 bytes; of a scheduler and a kind of link
	// at most 15. IPVS has none.
	Name string
	// Family is that of IPVS, SetType, Match and Target, and zero otherwise.
	Family vipkit.Family
}

// String returns "scheduler rr", or "match set IPv4".
func (f Facility) String() string {
	text := f.Kind.String()
	if f.Name != "" {
		text += " " + f.Name
	}
	if f.Family != 0 {
		text += " " + f.Family.String()
	}
	return text
}

// Validate reports what is wrong with a facility that no kernel can have. The
// error is fs.ErrInvalid.
func (f Facility) Validate() error {
	limit, family := 28, true
	switch f.Kind {
	case IPVS:
		limit = 0
	case Scheduler, LinkKind:
		limit, family = 15, false
	case SetType:
		family = f.Name != "bitmap:port"
	case Match, Target:
	default:
		return fmt.Errorf("%w: kind of facility %d", fs.ErrInvalid, uint8(f.Kind))
	}
	switch {
	case len(f.Name) > limit || limit > 0 && f.Name == "":
		return fmt.Errorf("%w: name of %d bytes, want at most %d", fs.ErrInvalid, len(f.Name), limit)
	case strings.ContainsFunc(f.Name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' || r == '%' }):
		return fmt.Errorf("%w: name %q", fs.ErrInvalid, f.Name)
	case family && f.Family != vipkit.IPv4 && f.Family != vipkit.IPv6:
		return fmt.Errorf("%w: address family %d", fs.ErrInvalid, f.Family)
	case !family && f.Family != 0:
		return fmt.Errorf("%w: %s has no address family", fs.ErrInvalid, f.Kind)
	}
	return nil
}

// Client is a kernel that can be asked what it offers, or something that answers
// alike. All methods are safe for concurrent use.
type Client interface {
	// Probe returns nil if the kernel has the facility, whose module it loads if
	// it must and can. It changes nothing else. It fails with
	// errors.ErrUnsupported if the kernel lacks the facility, and with
	// fs.ErrInvalid for what [Facility.Validate] refuses. After any other error
	// (fs.ErrPermission, the context's, a kernel that cannot be asked) nobody
	// knows.
	Probe(ctx context.Context, f Facility) error
}

// Missing returns the error for a facility that the kernel lacks, with the module
// and the option that bring it. It is for fakes too.
func Missing(f Facility) *vipkit.OpError {
	return &vipkit.OpError{Op: "probe", Object: f.String(), Kind: errors.ErrUnsupported, Detail: "the kernel lacks it: " + f.source()}
}

// Unknown returns the error for a facility of which nobody can tell, because of
// err. It is for fakes and fault injectors too.
func Unknown(f Facility, err error) error {
	e := &vipkit.OpError{Op: "probe", Object: f.String(), Err: err}
	for _, kind := range []error{context.Canceled, context.DeadlineExceeded, fs.ErrInvalid, fs.ErrPermission} {
		if errors.Is(err, kind) {
			e.Kind = kind
		}
	}
	return e
}
