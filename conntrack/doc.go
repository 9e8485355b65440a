// Package conntrack reads the kernel's table of tracked connections and deletes
// stale ones, over netlink, many flows to a send.
//
// A proxy needs it where packets would follow an old translation for ever: UDP
// flows to an endpoint that is gone, or from before a service had one.
//
// # Identity
//
// A [Flow] is a value with both directions, its zone and its ID. The kernel
// derives the ID from where the flow lies in memory and from its original tuple;
// together with the reply it means that flow, and a Flow that was read once does
// not delete a later one of the same client to another endpoint. (In a zone
// other than 0 it could. Zones of the reply alone are not modelled.) A [Match]
// selects the flows of one port of one virtual address, to one endpoint
// or to all; nothing wider can be said, so no mistake empties the table.
//
// ICMP flows are read without what identifies them, and cannot be deleted.
//
// # Text
//
// [Flow.String] is a line of "conntrack -L -o id" without what changes by
// itself (state, time left); [Match.String] is the options of "conntrack -D"
// that select the same. Both read back, the former with everything that the
// tool prints in between.
//
// # Errors
//
// Errors are [*vipkit.OpError]. A flow that is gone already is none. A kernel
// without the facility is [errors.ErrUnsupported] with the module's name. A
// dump whose replies were lost is tried again, a few times.
//
// # Kernel versions
//
// Linux 5.8 and later filter a dump themselves (CTA_FILTER); before that, and
// always for several services at once, this package does. Tested on 6.1, 6.12
// and 6.18.
//
// # Testing
//
// Package conntracktest has a Fake for tests without root, and the contract
// that it and the kernel both pass.
package conntrack
