package dummy

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"strings"
)

// HostKey identifies a [HostAddress]. It is comparable.
type HostKey struct {
	// Prefix is the address, unmapped and not masked, with its prefix length.
	Prefix netip.Prefix
	// Peer is the other end of a point-to-point link, where that is not the
	// address itself. It is mostly not valid.
	Peer netip.Addr
	// Index is the link's number, which stays the same when its name changes.
	Index int
}

// HostAddress is an address on any link of the host, as ip addr shows it.
// Addresses held [ByRoute] are not among them. It is comparable.
type HostAddress struct {
	HostKey
	// Link is the link's name.
	Link string
	// Scope is where the address is valid.
	Scope Scope
	// Flags are those of IFA_F_* that say what can be done with the address.
	Flags AddressFlags
}

// Usable reports whether the kernel sends and receives at the address now: its
// duplicate address detection is not under way and did not fail.
func (a HostAddress) Usable() bool {
	return a.Flags&DADFailed == 0 && (a.Flags&Tentative == 0 || a.Flags&Optimistic != 0)
}

// String returns the address as ip -o addr shows it: "eth0 inet 192.0.2.1/24
// scope global", and "tentative", "deprecated" and so on where they hold.
func (a HostAddress) String() string {
	family := "inet"
	if a.Prefix.Addr().Is6() {
		family = "inet6"
	}
	address := a.Prefix.String()
	if a.Peer.IsValid() {
		address = fmt.Sprintf("%s peer %s/%d", a.Prefix.Addr(), a.Peer, a.Prefix.Bits())
	}
	text := fmt.Sprintf("%s %s %s scope %s", a.Link, family, address, a.Scope)
	if flags := a.Flags.String(); flags != "" {
		text += " " + flags
	}
	return text
}

// Scope is where an address is valid (rtnetlink(7), rtm_scope).
type Scope uint8

// Scopes that addresses have.
const (
	ScopeGlobal Scope = 0
	ScopeSite   Scope = 200
	ScopeLink   Scope = 253
	ScopeHost   Scope = 254
)

// String returns the word of ip(8) for the scope, or its number.
func (s Scope) String() string {
	switch s {
	case ScopeGlobal:
		return "global"
	case ScopeSite:
		return "site"
	case ScopeLink:
		return "link"
	case ScopeHost:
		return "host"
	}
	return fmt.Sprint(uint8(s))
}

// AddressFlags are flags of a [HostAddress], with the kernel's bits
// (include/uapi/linux/if_addr.h).
type AddressFlags uint32

// Flags of an address. Others that the kernel has are left out.
const (
	// Secondary is an IPv4 address in the subnet of another one on the link, or
	// a temporary IPv6 address.
	Secondary AddressFlags = 0x01
	// Optimistic is a tentative IPv6 address that is used all the same.
	Optimistic AddressFlags = 0x04
	// DADFailed is an IPv6 address that somebody else has.
	DADFailed AddressFlags = 0x08
	// Deprecated is an address that new connections should not use.
	Deprecated AddressFlags = 0x20
	// Tentative is an IPv6 address of which the kernel does not know yet
	// whether somebody else has it.
	Tentative AddressFlags = 0x40
	// Permanent is an address whose lifetime does not end. It has no word in
	// the text: ip addr shows those that lack it as dynamic.
	Permanent AddressFlags = 0x80

	knownFlags = Secondary | Optimistic | DADFailed | Deprecated | Tentative | Permanent
)

// String returns the flags' words of ip(8), in the order of ip addr.
func (f AddressFlags) String() string {
	var words []string
	for _, w := range []struct {
		flag AddressFlags
		word string
	}{
		{Secondary, "secondary"}, {Tentative, "tentative"}, {Deprecated, "deprecated"}, {DADFailed, "dadfailed"}, {Optimistic, "optimistic"},
	} {
		if f&w.flag != 0 {
			words = append(words, w.word)
		}
	}
	if f&Permanent == 0 {
		words = append(words, "dynamic")
	}
	return strings.Join(words, " ")
}

// EventKind says what an [Event] tells.
type EventKind uint8

// Kinds of an Event.
const (
	// Present: the address is there. It is new, or something of it other than
	// its key has changed (its flags, the name of its link).
	Present EventKind = iota + 1
	// Gone: the address is there no more. Address is what was told last.
	Gone
	// Listed: everything that is there has been told. It comes once after the
	// addresses of the beginning, and once after each Overflow.
	Listed
	// Overflow: changes came faster than they were read, and some were lost.
	// All addresses were read anew, and what changed since follows.
	Overflow
)

// String returns "present", "gone", "listed" or "overflow".
func (k EventKind) String() string {
	switch k {
	case Present:
		return "present"
	case Gone:
		return "gone"
	case Listed:
		return "listed"
	case Overflow:
		return "overflow"
	}
	return fmt.Sprintf("event-%d", uint8(k))
}

// Event is what a [Watcher] tells. It is comparable.
type Event struct {
	Kind EventKind
	// Address is zero for Listed and Overflow.
	Address HostAddress
}

// String returns "present eth0 inet 192.0.2.1/24 scope global", or "listed".
func (e Event) String() string {
	if e.Kind != Present && e.Kind != Gone {
		return e.Kind.String()
	}
	return e.Kind.String() + " " + e.Address.String()
}

// Watcher tells which addresses a host has: [Conn] does, and the fake.
type Watcher interface {
	// Watch yields the addresses of all links, then Listed, then what changes,
	// for as long as the loop goes on. Who keeps a map by HostKey, sets what is
	// Present and deletes what is Gone, has what the host has, also after an
	// Overflow: Watch tells nothing twice, and no end of what it did not
	// tell. Changes that cancel out before they are read are not told. The
	// loop may call anything and take its time.
	//
	// Watch fails with the context's error when that is done, or with a
	// *vipkit.OpError; either is the last that it yields.
	Watch(ctx context.Context) iter.Seq2[Event, error]
}

// HostAddresses returns the addresses of all links of the host, in no order.
func HostAddresses(ctx context.Context, w Watcher) ([]HostAddress, error) {
	var list []HostAddress
	for event, err := range w.Watch(ctx) {
		if err != nil {
			return nil, err
		}
		switch event.Kind {
		case Present:
			list = append(list, event.Address)
		case Listed:
			return list, nil
		case Gone, Overflow: // not before Listed
		}
	}
	return list, nil
}
