// Package realserver makes a network namespace a real server behind IPVS: a host
// or a container to which a director forwards packets by direct routing
// (ipvs.Direct) or in a tunnel (ipvs.Tunnel: IP in IP, GUE, GRE). [Prepare] makes
// it one, [Undo] takes it all back.
//
// Such a packet still has the virtual address as its destination, and the client's
// as its source; the answer goes straight to the client. So a real server has to
// hold the virtual address, nobody else in its network may hear of it, and
// what encapsulates the packet has to come off.
//
// # What it makes
//
//   - A dummy link with the virtual addresses, of full length.
//   - Quiet ARP, for IPv4: net.ipv4.conf.all.arp_ignore becomes 1 and arp_announce
//     2 unless they are as good already, and so does a link's own value that
//     would defeat them (arp_ignore 3, say). IPv6 needs nothing: a host
//     advertises an address only on the link that has it.
//   - For tunnels, a link for each encapsulation and own address: ipip, sit, ip6tnl
//     (both families), gre, ip6gre (both). It takes packets from any director:
//     a firewall may say more. GUE has a port besides, bound to the address;
//     what is in it is IP in IP. The families outside and inside may differ.
//   - A way past the reverse path filter: rp_filter of tunnel links is 2, and they
//     have the first IPv4 virtual address, since on a link without any the filter
//     lets nothing in. The value of "all" stays: where it is 1, packets by direct
//     routing have to come in by the link that leads back to the client.
//
// # What it relies on
//
// The server listens at the virtual address and the virtual server's own port. The
// answers do not pass the director: it has the virtual address too, and in IPv4
// takes no packet from it unless the link has accept_local. So neither the director
// itself nor, in IPv4, a client behind it gets one. The real server meets itself at
// the virtual address, at every port. Source NAT at the director breaks direct
// routing where net.ipv4.vs.conntrack is 1. Tests named KernelFact pin all this.
//
// # Identity
//
// A real server is the name of its dummy link, [Config.Link]. All its links are in a
// link group that follows from the name, from their first moment on; what is in
// another is somebody else's and left alone. What Undo has to know besides, the
// parameters' former values and the GUE ports that are ours, is the alias of
// the dummy link, written before anything is changed: "ip link show vipkit-rs". So
// Prepare and Undo may be interrupted at any point, and called again by anybody.
// Two real servers in one namespace are undone in the reverse order: the second
// found ARP quiet.
//
// # Errors
//
// Every error but the context's is a *vipkit.OpError whose Object is the command of
// ip(8) or sysctl(8) that would have done the same. Where the kernel lacks
// something the kind is errors.ErrUnsupported, and the detail names the module and
// the option: "module ip_gre, CONFIG_NET_IPGRE". The kernel loads them itself, but
// for fou, which GUE needs: modprobe fou. With a module come its fallback links
// (tunl0, sit0, gre0, …) in every namespace: down, the kernel's own, and to stay.
//
// # Kernel versions
//
// Tested on Linux 6.1 and 6.12. GUE needs 5.2 here and at the director, GRE 5.3 at
// the director.
//
// # Testing
//
// [Config.Commands] tells without a kernel what Prepare does.
package realserver
