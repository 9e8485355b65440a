// Package oracle says what becomes of a packet on a Linux host: it follows the
// packet through the kernel's hooks in their order, with the sets, the rules as
// they are written, the virtual servers, the addresses and the routes of the
// host, and tells each step.
//
//	s, err := oracle.Read(ctx, kernel, "vipkit0", network)
//	verdicts, err := s.Trace(oracle.Packet{Protocol: vipkit.TCP, Source: client, Destination: service})
//
// # The way of a packet
//
// One that arrives meets raw, mangle and nat PREROUTING, then routing. One for
// this host meets mangle and filter INPUT, then IPVS (LOCAL_IN at priority 99,
// net/netfilter/ipvs/ip_vs_core.c, ip_vs_ops4), then nat INPUT. What IPVS sends
// on meets raw, mangle and filter OUTPUT and both tables of POSTROUTING. The
// host's own packet meets raw, mangle and nat OUTPUT, IPVS (LOCAL_OUT at -98),
// filter OUTPUT and POSTROUTING. The answer goes the way back, through FORWARD
// or INPUT.
//
// # What it does not know
//
// A match or a target that it does not know is an error that names the rule,
// never a guess. Which destination a scheduler picks is a guess at best, so
// [Snapshot.Trace] returns a verdict for each destination that it could pick;
// [Snapshot.Send] picks one in the scheduler's spirit: a fixed turn for rr and
// wrr, the fewest connections for lc and its kin, the same client to the same
// destination for sh and mh. Policy routing, tc and nftables outside iptables
// are not modelled, and hosts beyond this one are taken to answer by way of it,
// unless both ends are on one link.
package oracle
