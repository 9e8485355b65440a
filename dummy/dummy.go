package dummy

import (
	"context"
	"iter"
	"net/netip"
)

// MaxNameLen is the longest name that a link can have, in bytes (IFNAMSIZ less
// the terminator).
const MaxNameLen = 15

// Link is a link's identity and state. It is comparable.
type Link struct {
	// Name is 1–15 bytes without '/', ':', '%' or white space.
	Name string
	// Kind is the kernel's name for the type of link: "dummy" for ours.
	Kind string
	// Up is the administrative state.
	Up bool
	// MTU is 1280–65535 bytes. Zero leaves it as it is; a new link has 1500.
	MTU int
	// Group is the link's group, which says whose the link is: see [Group].
	// Zero, where every link is at first, leaves it as it is.
	Group uint32
}

// Means is how a link holds an address.
type Means uint8

// The two means. Either makes the kernel take packets for the address as its
// own; the package comment has what tells them apart.
const (
	// ByAddress binds an address with full prefix length (RTM_NEWADDR). The
	// cost of one grows with the number on the link.
	ByAddress Means = iota
	// ByRoute adds a route of type local and protocol static in table local
	// (RTM_NEWROUTE). Its cost does not grow.
	ByRoute
)

// Address is a virtual address and the means by which the link holds it. It is
// comparable.
type Address struct {
	// Addr is unmapped, without zone, and neither unspecified, loopback,
	// multicast nor link-local.
	Addr netip.Addr
	// Means is ByAddress unless said otherwise.
	Means Means
}

// Op is what a [Change] does.
type Op uint8

// Operations of a Change.
const (
	// AddAddress fails with fs.ErrExist if the link holds the address by that
	// means already. For ByRoute it does too if another link has such a route
	// or, for IPv4, if any link has the address.
	AddAddress Op = iota + 1
	// DeleteAddress fails with fs.ErrNotExist.
	DeleteAddress
)

// Change is one write. It is comparable.
type Change struct {
	Op      Op
	Address Address
}

// Client is the kernel's links and addresses as far as one dummy link needs
// them, or something that answers alike. All methods are safe for concurrent
// use. A context that is done before the call leaves everything unchanged.
type Client interface {
	// Link returns the named link. It fails with fs.ErrNotExist, and with
	// fs.ErrInvalid for a name that no link can have; so do all other methods.
	Link(ctx context.Context, name string) (Link, error)

	// CreateLink creates a dummy link, which generates no link-local address.
	// It is in its group from its first moment on. It fails with fs.ErrExist
	// if a link of that name is there, of whatever kind, with fs.ErrInvalid
	// for what [Link.Validate] refuses, with fs.ErrPermission, and with
	// errors.ErrUnsupported where the module dummy is missing.
	CreateLink(ctx context.Context, l Link) error

	// UpdateLink brings the dummy link of that name up or down, gives it the
	// MTU and puts it into the group, either of these if it is not zero. A
	// link that goes down loses its IPv6 addresses and IPv6 routes and keeps
	// those of IPv4. It fails with fs.ErrNotExist, and with fs.ErrInvalid for
	// what [Link.Validate] refuses, or if the link is not a dummy link.
	UpdateLink(ctx context.Context, l Link) error

	// DeleteLink deletes the named link with all its addresses. It fails
	// with fs.ErrNotExist, and with fs.ErrInvalid if it is not a dummy link.
	DeleteLink(ctx context.Context, name string) error

	// Addresses yields what the named link holds by either means, in no
	// order: addresses of full prefix length, and routes of protocol static;
	// what no virtual address can be is left out. It fails with
	// fs.ErrNotExist if there is no such link.
	Addresses(ctx context.Context, link string) iter.Seq2[Address, error]

	// Apply carries out changes on the named link in order. One that fails
	// does not stop those after it. It returns nil if all succeeded, and
	// otherwise one error a change at the same index, nil where it
	// succeeded; each is a *vipkit.OpError of kind fs.ErrExist,
	// fs.ErrNotExist (the link's absence too), fs.ErrInvalid (an IPv6 route on
	// a link that is down too), fs.ErrPermission, errors.ErrUnsupported (IPv6
	// where it is disabled), vipkit.ErrReplyLost, or the context's.
	Apply(ctx context.Context, link string, changes []Change) []error
}
