package conntrack

import (
	"context"
	"iter"
	"net/netip"
	"time"

	"github.com/vipkit/vipkit"
)

// Tuple is one direction of a flow: what its packets have in common. It is
// comparable.
type Tuple struct {
	// Src and Dst are where the packets come from and where they go. The ports
	// are zero for protocols that have none. GRE has the keys of its version 1 in
	// their place.
	Src, Dst netip.AddrPort
	// ICMP stands in for the ports of ICMP and ICMPv6; it is zero for all others.
	ICMP ICMP
}

// ICMP is what tells one flow of ICMP or ICMPv6 from another.
type ICMP struct {
	// ID is the identifier of an echo and its answer.
	ID uint16
	// Type and Code are those of the message: 8 and 0 for an echo request, and 0
	// and 0 in the tuple of the answer.
	Type, Code uint8
}

// Flow is a tracked connection: what it is, and nothing that changes while it
// lives. It is comparable with ==, and all that the kernel needs to delete this
// flow and no other.
type Flow struct {
	// Protocol is the IP protocol: TCP, UDP, SCTP, [ICMP4], [ICMP6] or any other.
	Protocol vipkit.Protocol
	// Original is the direction of the first packet, as the client sent it.
	// Reply is the direction of the answers, as the endpoint sends them: address
	// translation is where the two differ.
	Original, Reply Tuple
	// Zone and ReplyZone are the conntrack zones of the two directions: the same,
	// but where rules give a zone to one direction only. Zero is the default zone.
	Zone, ReplyZone uint16
	// ID tells this flow from a later one with the same tuples, if the kernel did
	// not happen to put that one into the same memory.
	ID uint32
}

// Protocols of flows that no service has.
const (
	ICMP4 vipkit.Protocol = 1
	ICMP6 vipkit.Protocol = 58
)

// FlowInfo is a flow as it was when it was read. It is comparable; what
// identifies it is in Flow alone.
type FlowInfo struct {
	Flow
	// Status is what has become of the flow so far.
	Status Status
	// State is where a connection of TCP or SCTP stands, in the words of
	// conntrack(8): "ESTABLISHED", "TIME_WAIT". It is empty for other protocols.
	State string
	// Mark is the connection's mark (CONNMARK), zero if it has none.
	Mark uint32
	// Timeout is how long the flow stays if no packet comes, in whole seconds. It
	// is zero in the last second, and for a flow that was handed to a flow table
	// (StatusOffload).
	Timeout time.Duration
}

// Status is the set of the kernel's IPS_ bits of a flow.
type Status uint32

// The bits that say something to a proxy. The kernel has more; they are kept.
const (
	StatusExpected  Status = 1 << 0  // another flow announced this one
	StatusSeenReply Status = 1 << 1  // packets went both ways
	StatusAssured   Status = 1 << 2  // not dropped early when the table is full
	StatusConfirmed Status = 1 << 3  // its first packet has left; so it is in the table
	StatusSrcNAT    Status = 1 << 4  // the source is translated
	StatusDstNAT    Status = 1 << 5  // the destination is translated, by rules; IPVS does not say so
	StatusDying     Status = 1 << 9  // on its way out
	StatusOffload   Status = 1 << 14 // in a flow table, without a timeout here
)

// Client is the kernel's connection tracking, or something that answers alike.
// All methods are safe for concurrent use. A context that is done before the
// call leaves everything unchanged, and is the error.
//
// Any method may fail with fs.ErrPermission (it takes CAP_NET_ADMIN) and with
// errors.ErrUnsupported (no connection tracking in this kernel).
type Client interface {
	// Flows yields the flows that the filter selects, in no order. The table is
	// alive: it is no consistent snapshot. An error is the last that is yielded:
	// fs.ErrInvalid for a filter that [Filter.Validate] refuses;
	// vipkit.ErrReplyLost if the table outran the reader, again and again.
	Flows(ctx context.Context, filter Filter) iter.Seq2[FlowInfo, error]

	// Count returns how many flows the namespace's table has, those that have
	// timed out a moment ago included, and how many it may have (zero: no limit
	// is known).
	Count(ctx context.Context) (n, limit int, err error)

	// Delete deletes the given flows, by tuple, zone and ID, and returns how many
	// it deleted. A flow that is gone already is no error and is not counted. A
	// flow that cannot be named, because [Flow.Validate] refuses it, is
	// fs.ErrInvalid and does not stop the others.
	Delete(ctx context.Context, flows []Flow) (int, error)

	// DeleteMatching deletes the flows, of every zone, that any of the matches
	// selects, and returns how many those were, or −1 if only the kernel knows
	// (see [Config.Uncounted]). No match at all deletes nothing. A match that
	// [Match.Validate] refuses is fs.ErrInvalid and does not stop the others.
	// After any other error some flows may be deleted and others not; calling
	// again with the same matches is right.
	DeleteMatching(ctx context.Context, matches []Match) (int, error)
}
