// Package dummy holds virtual addresses on a dummy link: a [Client] makes the
// link, and puts addresses on it and takes them off, many at a time. A [Watcher]
// tells which addresses the host has, and what becomes of them.
//
// A packet for a virtual address is for this host, whichever link it came by; that
// is all that IPVS needs. There are two [Means] to that end:
//
//   - [ByRoute] adds a route of type local, which the kernel makes for each address
//     anyhow. It costs the same however many there are: 10,000 take a third of a
//     second where addresses take half a minute.
//   - [ByAddress] adds an address, which people find in ip addr and programs of the
//     host can bind to, in IPv6 too. The more there are on the link, the more one
//     costs, and the kernel may choose it as the source of packets that leave by a
//     link without addresses.
//
// By either means the host answers ARP on its other links unless their arp_ignore
// is 1 or 2, and never answers NDP there. docs/decisions has what else was tried.
//
// # Identity
//
// A link is its name. Whose it is says its group, see [Group] and [Ensure]. An
// address is its [Address]: the same IP address held by both means counts as two.
// Addresses have the full prefix length and routes are those to one address with
// protocol static: everything else on the link belongs to somebody else and is
// neither listed nor touched, nor are the kernel's own link-local addresses. A
// link that this package makes has none of those, because it does not generate
// them (addrgenmode none). An address of the host is its [HostKey].
//
// # What the kernel takes
//
// IPv4's table local has one route to an address, whatever link or protocol it
// is of: ByRoute fails with fs.ErrExist if any link of the host holds the
// address by either means. IPv6 tells ours from the kernel's own: it fails only
// if another of ours is there, on whatever link. ByAddress takes an address
// that another link holds. IPv6 routes want the link to be up.
//
// # Errors
//
// Each error is a *vipkit.OpError whose Object is the command of ip(8) that would
// have done the same. A kernel without dummy links (module dummy, CONFIG_DUMMY) is
// errors.ErrUnsupported, as is IPv6 where it is disabled.
//
// # Kernel versions
//
// Tried on 6.1 and 6.12. Reading one link's addresses and no others wants 4.20
// (NETLINK_GET_STRICT_CHK); before that the kernel sends those of all links, and
// what is not the link's is dropped here.
//
// # Testing
//
// Package dummytest has a Fake and TestClient, the contract that it and Conn
// pass.
package dummy
