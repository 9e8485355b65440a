package oracle

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/vipkit/vipkit/ipvs"
)

// Outcome is what becomes of a packet.
type Outcome uint8

// Outcomes.
const (
	ToEndpoint Outcome = iota + 1 // IPVS or DNAT gives it to an endpoint
	ToHost                        // it is for this host itself: a listener, or the answer to a ping
	Passed                        // it is routed on, to where it was sent
	Rejected                      // the sender is told that nobody is there
	Dropped                       // silence
)

// String returns "endpoint", "host", "passed", "rejected" or "dropped".
func (o Outcome) String() string {
	switch o {
	case ToEndpoint:
		return "endpoint"
	case ToHost:
		return "host"
	case Passed:
		return "passed"
	case Rejected:
		return "rejected"
	case Dropped:
		return "dropped"
	}
	return fmt.Sprintf("outcome %d", uint8(o))
}

// Verdict is what becomes of a packet, and why.
type Verdict struct {
	Outcome Outcome
	// To is who gets the packet: after translation, for ToEndpoint. It is not
	// valid for a packet that nobody gets.
	To netip.AddrPort
	// Source is as whom To sees the sender. The port is the sender's, though
	// masquerading may change it.
	Source netip.AddrPort
	// Link is the one by which the packet leaves; empty if it does not.
	Link string
	// Server is the virtual server that took the packet, if one did.
	Server ipvs.Key
	// Forward is how the virtual server forwards; it means nothing without one.
	Forward ipvs.Forward
	// Reason is what dropped or rejected the packet: a rule with its place, or
	// words.
	Reason string
	// Unanswered says why the answer does not come back to the sender; empty
	// if it does.
	Unanswered string
	// Steps are what the packet met, in order.
	Steps []Step
}

// Step is something that a packet met.
type Step struct {
	// Where is a hook, with table and chain for a rule, "ipvs", "route" or
	// "conntrack".
	Where string
	// What is the rule, or what was decided.
	What string
	// Then is what it did to the packet; empty for nothing.
	Then string
}

// String returns the verdict without the steps, on one line:
// "endpoint 10.244.0.5:8080 sees 198.51.100.9", "dropped by mangle
// VIPKIT-GATE 1: …".
func (v Verdict) String() string {
	var b strings.Builder
	b.WriteString(v.Outcome.String())
	if v.To.IsValid() {
		fmt.Fprintf(&b, " %s sees %s", endText(v.To), v.Source.Addr())
	}
	if v.Reason != "" {
		b.WriteString(" by " + v.Reason)
	}
	if v.Unanswered != "" {
		b.WriteString(", unanswered: " + v.Unanswered)
	}
	return b.String()
}

// Text returns the steps, a line each, and the verdict.
func (v Verdict) Text() string {
	width := 0
	for _, s := range v.Steps {
		width = max(width, len(s.Where))
	}
	var b strings.Builder
	for _, s := range v.Steps {
		fmt.Fprintf(&b, "%-*s  %s", width, s.Where, s.What)
		if s.Then != "" {
			b.WriteString("  => " + s.Then)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "%-*s  %v\n", width, "verdict", v)
	return b.String()
}
