// Package proxier makes the kernel's IPVS, IP sets, iptables, dummy link and
// connection tracking agree with a list of services.
//
//	p, err := proxier.New(kernel, nil)
//	report, err := p.ApplyServices(ctx, services)
//
// ApplyServices is level-triggered: it takes everything that is wanted and
// makes it so, whatever was there before, and writes no more than the
// difference. Called again with the same services it does not touch the kernel
// at all. Plan says what ApplyServices would write, in the words of the
// operator's tools, and writes nothing.
//
// # What is in the kernel
//
// Virtual addresses sit on a dummy link of our own. Each frontend is a virtual
// server at its address, port and protocol; external frontends with policy
// Local have a second one, selected by firewall mark, for clients from outside.
// Sets say which tuples get source NAT, which clients may use them and which
// ports of a virtual address are open; a constant number of rules refers to
// the sets. ARCHITECTURE.md has the layout and the order of writes, with the
// reason for each.
//
// # Ownership
//
// Everything of ours is provably so from the kernel alone: sets and chains
// begin with [Config.Prefix], virtual servers are entries of the ledger set,
// addresses of the address set, firewall marks come from [Config.LocalMarks].
// Nothing else is ever changed or deleted. A virtual server that is wanted and
// is somebody else's is an [ErrConflict] of that one service.
//
// # Errors
//
// A service that makes no sense or meets an obstacle is a [ServiceError] in the
// report and in the joined error; what was programmed for it before stays, and
// the others proceed. A kernel that cannot be read is an error with nothing
// written.
//
// # Testing
//
// Package kerneltest has a host in memory: New(kerneltest.New().Kernel(), nil).
package proxier
