package dummy

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit/internal/nl"
)

// hostTable is what a watch knows of the host, and what it has told of it.
type hostTable struct {
	links map[int]string
	now   map[HostKey]HostAddress // by identity
	told  map[HostKey]HostAddress // by identity
	// changed are keys whose now and told may differ, in the order in which
	// they came to.
	changed []HostKey
	listed  map[HostKey]bool // the keys in changed
}

func newHostTable() *hostTable {
	return &hostTable{
		links: make(map[int]string), now: make(map[HostKey]HostAddress), told: make(map[HostKey]HostAddress), listed: make(map[HostKey]bool),
	}
}

// identity returns what the kernel takes for the same address: on one link IPv6
// has an address once, whatever prefix length and peer it has.
func identity(k HostKey) HostKey {
	if k.Prefix.Addr().Is6() {
		return HostKey{Prefix: netip.PrefixFrom(k.Prefix.Addr(), 128), Index: k.Index}
	}
	return k
}

// reset forgets what is there, but not what was told.
func (t *hostTable) reset() {
	clear(t.links)
	clear(t.now)
	for id := range t.told {
		t.mark(id)
	}
}

func (t *hostTable) mark(id HostKey) {
	if !t.listed[id] {
		t.listed[id] = true
		t.changed = append(t.changed, id)
	}
}

// take takes in one message of a list or of the kernel's own accord. It returns
// false for one that cannot be read.
func (t *hostTable) take(m nl.Message) bool {
	switch m.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		return t.takeLink(m)
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		a, ok := parseHostAddress(m.Data)
		if !ok {
			return false
		}
		id := identity(a.HostKey)
		t.mark(id)
		if m.Type == unix.RTM_DELADDR {
			delete(t.now, id)
			return true
		}
		a.Link = t.links[a.Index]
		t.now[id] = a
	}
	return true
}

func (t *hostTable) takeLink(m nl.Message) bool {
	if len(m.Data) < ifInfoMsgLen {
		return false
	}
	if m.Data[0] != unix.AF_UNSPEC {
		return true // of a bridge, about its ports: a port that leaves is not a link that goes
	}
	l, index, ok := parseLink(m.Data)
	if !ok {
		return false
	}
	if m.Type == unix.RTM_NEWLINK && t.links[index] == l.Name {
		return true
	}
	for id, a := range t.now {
		if id.Index != index {
			continue
		}
		t.mark(id)
		a.Link = l.Name
		t.now[id] = a
		if m.Type == unix.RTM_DELLINK {
			delete(t.now, id)
		}
	}
	t.links[index] = l.Name
	if m.Type == unix.RTM_DELLINK {
		delete(t.links, index)
	}
	return true
}

// tell hands over what differs from what was told. It returns false where yield
// did.
func (t *hostTable) tell(yield func(Event) bool) bool {
	changed := t.changed
	t.changed = nil
	clear(t.listed)
	for _, id := range changed {
		now, is := t.now[id]
		told, was := t.told[id]
		if was && (!is || told.HostKey != now.HostKey) {
			delete(t.told, id)
			if !yield(Event{Gone, told}) {
				return false
			}
		}
		if is && (!was || told != now) {
			t.told[id] = now
			if !yield(Event{Present, now}) {
				return false
			}
		}
	}
	return true
}

// parseHostAddress reads an RTM_NEWADDR or RTM_DELADDR, but for the link's name.
func parseHostAddress(p []byte) (a HostAddress, ok bool) {
	if len(p) < ifAddrMsgLen {
		return a, false
	}
	family, bits := p[0], int(p[1])
	a.Flags, a.Scope, a.Index = AddressFlags(p[2]), Scope(p[3]), int(binary.NativeEndian.Uint32(p[4:]))
	var local, address netip.Addr
	for rest := p[ifAddrMsgLen:]; len(rest) > 0; {
		var at nl.Attr
		if at, rest, ok = nl.Next(rest); !ok {
			return HostAddress{}, false
		}
		switch at.Type {
		case unix.IFA_LOCAL:
			local, ok = at.Addr()
		case unix.IFA_ADDRESS:
			address, ok = at.Addr()
		case unix.IFA_FLAGS:
			var flags uint32
			flags, ok = at.U32()
			a.Flags = AddressFlags(flags)
		}
		if !ok {
			return HostAddress{}, false
		}
	}
	if !local.IsValid() {
		local = address // IPv6 has both only where they differ
	}
	if address != local {
		a.Peer = address
	}
	a.Flags &= knownFlags
	a.Prefix = netip.PrefixFrom(local, bits)
	ok = a.Prefix.IsValid() && familyOf(local) == family && (!a.Peer.IsValid() || familyOf(a.Peer) == family) && a.Index > 0
	if !ok {
		return HostAddress{}, false
	}
	return a, true
}
