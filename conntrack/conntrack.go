package conntrack

import (
	"context"
	"iter"
	"net/netip"

	"github.com/vipkit/vipkit"
)

// Tuple is one direction of a flow. It is comparable.
type Tuple struct {
	// Src and Dst are addresses and ports (ICMP: type and code travel in
	// other fields that vipkit does not read; the ports are zero).
	Src, Dst netip.AddrPort
}

// Flow is a tracked connection, comparable with ==.
type Flow struct {
	Protocol vipkit.Protocol
	// Original is the direction of the first packet, as the client sent it.
	// Reply is the direction of the answers, as the endpoint sends them:
	// address translation is where the two differ.
	Original, Reply Tuple
	// Mark is the connection's mark; Zone its conntrack zone.
	Mark uint32
	Zone uint16
	// ID tells this flow from a later one with the same original tuple, if
	// the kernel did not happen to put that one into the same memory.
	ID uint32
}

// Match selects the flows of one virtual server to one of its endpoints. It is
// comparable.
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

// Client is the kernel's connection tracking, or something that answers alike.
// All methods are safe for concurrent use. A context that is done before the
// call leaves everything unchanged.
type Client interface {
	// Flows yields the flows of the given protocols (all, if none is given)
	// of both families, in no order. The table is alive: it is not a
	// consistent snapshot.
	Flows(ctx context.Context, of ...vipkit.Protocol) iter.Seq2[Flow, error]

	// Delete deletes the given flows, by tuples, zone and ID. A flow that is gone already is no error
	// and is not counted. A flow that cannot be named (ICMP, an invalid
	// address) is fs.ErrInvalid and does not stop the others. It returns how
	// many it deleted.
	Delete(ctx context.Context, flows []Flow) (int, error)

	// DeleteMatching deletes the flows that any of the matches selects, and
	// returns how many those were. No match at all deletes nothing. A match
	// that is not valid is fs.ErrInvalid and does not stop the others.
	DeleteMatching(ctx context.Context, matches []Match) (int, error)
}

// Matches reports whether m selects f.
func (m Match) Matches(f Flow) bool {
	return f.Protocol == m.Protocol && f.Original.Dst == m.OriginalDst &&
		(!m.ReplySrc.IsValid() || f.Reply.Src == m.ReplySrc)
}
