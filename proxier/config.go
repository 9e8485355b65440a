package proxier

import (
	"log/slog"
	"net/netip"

	"github.com/vipkit/vipkit/dummy"
)

// Config is what a [Proxier] is told once. Its zero value is valid: a nil
// *Config is the same.
type Config struct {
	// Prefix begins the name of every set and chain, 1–14 bytes of A–Z, 0–9
	// and '_'. Two proxiers on one host need different ones. Empty:
	// "VIPKIT".
	Prefix string
	// Link is the name of the dummy link that holds the virtual addresses.
	// Empty: the prefix in lower case with a "0" ("vipkit0").
	Link string
	// Means is how the link holds virtual addresses.
	Means dummy.Means
	// Scheduler is for services that name none. Empty: "rr".
	Scheduler string
	// NodeAddresses are the addresses at which NodePort frontends answer.
	// None: they answer nowhere.
	NodeAddresses []netip.Addr
	// HostAddresses are all addresses of this host: HostPort frontends answer
	// there, and none of them can be a virtual address. None: NodeAddresses.
	HostAddresses []netip.Addr
	// ClusterCIDRs are where pods of the whole cluster have their addresses.
	// Clients from elsewhere reach cluster IPs behind this node's address
	// (source NAT). None, and no PodLink either: every client does.
	ClusterCIDRs []netip.Prefix
	// PodCIDRs are where pods of this node have their addresses. Policy Local
	// of external frontends is for everybody else: pods of this node, and the
	// host, reach all endpoints.
	PodCIDRs []netip.Prefix
	// PodLink is the link behind which this node's pods are, a bridge, or with a
	// "+" at its end all links whose names begin so ("cali+"). What comes by it
	// counts as from ClusterCIDRs and PodCIDRs. Empty: none.
	PodLink string
	// MasqueradeAll is source NAT for every client of a cluster IP.
	MasqueradeAll bool
	// MasqueradeMark is the firewall-mark bit of packets that get source NAT,
	// exactly one bit. Zero: 0x4000.
	MasqueradeMark uint32
	// RandomFully picks the source port of masqueraded connections at random,
	// which keeps two that begin at once from taking the same one and losing a
	// packet (iptables' --random-fully, since 1.6.2).
	RandomFully bool
	// NoPing leaves pings to virtual addresses unanswered. Other ICMP passes.
	NoPing bool
	// LocalMarks are the firewall marks that select the endpoints of policy
	// Local. IPVS compares the whole mark, so rules of others in mangle INPUT
	// must not change it after ours. A virtual server with one of them counts
	// as ours: two proxiers on one host need different ranges. The zero value:
	// 16,384 marks that depend on Prefix.
	LocalMarks MarkRange
	// Tuning is what [Proxier.Preflight] wants of the host beyond what services
	// need.
	Tuning Tuning
	// HoldPorts binds a socket to each port that NodePort and HostPort frontends
	// have, so that no program of the host takes it: see package ports. A port
	// that a program has already refuses the service, by the program's name
	// ([vipkit.ErrInUse]). It takes a file descriptor each, until the service
	// goes or [Proxier.Close]; after a restart ports are held again from the first
	// call on.
	HoldPorts bool
	// Logger gets what the proxier does, at debug and info level. Nil:
	// nothing.
	Logger *slog.Logger
}

// MarkRange is a range of firewall marks, both ends included.
type MarkRange struct {
	First, Last uint32
}
