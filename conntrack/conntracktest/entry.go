package conntracktest

import (
	"time"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
)

// entry is a flow, and when it times out if it does.
type entry struct {
	conntrack.FlowInfo
	until time.Time
}

// key is a tuple of one direction.
type key struct {
	protocol vipkit.Protocol
	tuple    conntrack.Tuple
	zone     uint16
}

func keysOf(f *conntrack.Flow) [2]key {
	return [2]key{{f.Protocol, f.Original, f.Zone}, {f.Protocol, f.Reply, f.ReplyZone}}
}
