// Package conntrack reads the kernel's table of tracked connections and deletes
// stale ones, over netlink, many flows to a send.
//
// A proxy needs it where packets would follow an old translation for ever: UDP
// flows to an endpoint that is gone, or from before a service had one. What to
// delete is said as known flows ([Client.Delete]), as a virtual server and one of
// its endpoints ([Client.DeleteMatching]), or as the endpoints that are left
// ([DeleteStale]), which needs no memory of what there was before.
//
// # Identity
//
// A [Flow] is a comparable value with both directions, their zones and the ID;
// what changes while the flow lives is in a [FlowInfo]. The kernel derives the ID
// from where the flow lies in memory and from its original tuple; together with
// the reply it means that flow, and a Flow that was read once does not delete a
// later one of the same client to another endpoint. A [Match] selects the flows
// of one port of one virtual address; nothing wider can be deleted, so no mistake
// empties the table.
//
// Flows of TCP, UDP, SCTP, ICMP and ICMPv6 are known by their ports, or by ID,
// type and code; those of any other protocol by what the kernel knows them by.
//
// # Text
//
// [Flow.String] and [FlowInfo.String] are lines of "conntrack -L -o id",
// [Match.String] and [Filter.String] its options. All read back, the lines with
// everything that the tool prints in between.
//
// # Errors
//
// Errors are [*vipkit.OpError]. A flow that is gone already is none. A kernel
// without the facility is [errors.ErrUnsupported] with the module's name. A
// dump whose replies were lost is tried again, a few times. A reply that is not
// whole is an error, never a flow.
//
// # Kernel versions
//
// The kernel applies a [Filter] as far as it does so rightly, from Linux 5.8 on;
// this package applies it again to what comes. From 6.11 on the kernel can also
// select what it deletes ([Config.Uncounted]). Of several frontends, few are asked
// for one by one, and many with one dump. Tested on 6.1, 6.12 and 6.18.
//
// # Testing
//
// Package conntracktest has a Fake for tests without root, whose flows age, and the
// contract that it and the kernel both pass.
package conntrack
