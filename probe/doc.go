// Package probe asks what a kernel offers and changes nothing: IPVS and its
// schedulers, types of IP sets, matches and targets of iptables, kinds of link.
//
// [Client] is the question, [Conn] asks the kernel of a network namespace, and
// package probetest has a Fake. [Facility] is what can be asked after.
//
// # How the kernel is asked
//
// No version is compared and no list of modules is read: each question is a
// request that the kernel answers only if it has the facility, and that leaves
// nothing behind. Set types, matches and targets have requests of their own
// (IPSET_CMD_TYPE; NFNL_MSG_COMPAT_GET, which is how iptables asks too). For a
// scheduler and for a kind of link it is a request to make something that cannot
// be: an IPv6 virtual server with a netmask of 0 bits, and a link that is to lead
// to a namespace that does not exist. The kernel looks for the scheduler, or the kind,
// first and refuses the rest afterwards (net/netfilter/ipvs/ip_vs_ctl.c,
// ip_vs_add_service; net/core/rtnetlink.c, rtnl_newlink).
//
// What it does change: the kernel loads the module that was asked for where it
// can, as it does when the facility is used.
//
// # Identity
//
// A Facility is its kind, the kernel's name for it and, for those that each
// address family has for itself, the family. [Facility.Module] and
// [Facility.Option] say what brings it.
//
// # Errors
//
// A facility that the kernel lacks is a *vipkit.OpError of kind
// errors.ErrUnsupported whose Detail names the module and the kernel option. Any
// other error means that nobody can tell: fs.ErrPermission (CAP_NET_ADMIN, for
// IPVS in the initial user namespace), fs.ErrInvalid for a facility that cannot
// be, or the context's.
//
// # Kernel versions
//
// Tested on Linux 6.1 and 6.12. Matches and targets are asked after by way of
// nft_compat (CONFIG_NFT_COMPAT), schedulers by way of IPVS's IPv6
// (CONFIG_IP_VS_IPV6): on a kernel without them the answer is an error that is
// not errors.ErrUnsupported.
//
// # Testing
//
// Package probetest has a Fake for tests without root, and TestClient, the
// contract that it and Conn pass.
package probe
