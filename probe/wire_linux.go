package probe

import (
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
)

// Numbers of include/uapi/linux/ip_vs.h.
const (
	cmdNewService = 1

	attrService = 1

	svcFamily    = 1
	svcProtocol  = 2
	svcAddr      = 3
	svcPort      = 4
	svcScheduler = 6
	svcFlags     = 7
	svcTimeout   = 8
	svcNetmask   = 9
)

// Numbers of include/uapi/linux/netfilter/ipset/ip_set.h.
const (
	cmdSetType = 6<<8 | 13 // NFNL_SUBSYS_IPSET, IPSET_CMD_TYPE

	setProtocol = 1
	setTypename = 3
	setFamily   = 5

	errFindType syscall.Errno = 4098

	// setVersion is that of the protocol which every kernel since 2.6.39 speaks.
	setVersion = 6
)

// Numbers of include/uapi/linux/netfilter/nf_tables_compat.h.
const (
	cmdCompatGet = 11 << 8 // NFNL_SUBSYS_NFT_COMPAT, NFNL_MSG_COMPAT_GET

	compatName     = 1
	compatRevision = 2
	compatType     = 3 // 0: match, 1: target
)

// nowhere is the id of a network namespace that nobody has given one: ids are
// given from 0 upwards.
const nowhere = 1<<31 - 1

// appendServer appends a request for a virtual server that the kernel refuses
// once it has found the scheduler: its netmask has 0 of 128 bits. An IPv4 one
// with an address to it has nothing that would be refused, so IPv4 is asked for a
// service without its attributes.
func appendServer(b *nl.Batch, family uint16, f Facility) {
	b.Begin(family, 0)
	b.Genl(cmdNewService, 1)
	at := b.Nest(attrService)
	switch {
	case f.Kind == IPVS && f.Family == vipkit.IPv4:
		b.U16(svcFamily, unix.AF_INET)
		b.U16(svcProtocol, unix.IPPROTO_TCP)
		b.Addr(svcAddr, netip.AddrFrom4([4]byte{192, 0, 2, 1}))
		b.Be16(svcPort, 9)
	default:
		b.U16(svcFamily, unix.AF_INET6)
		b.U16(svcProtocol, unix.IPPROTO_TCP)
		b.Addr(svcAddr, netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8}))
		b.Be16(svcPort, 9)
	}
	if f.Kind == Scheduler {
		b.String(svcScheduler, f.Name)
		b.Bytes(svcFlags, []byte{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
		b.U32(svcTimeout, 0)
		b.U32(svcNetmask, 0)
	}
	b.EndNest(at)
	b.End()
}

// appendSetType appends a question after the revisions of a set type.
func appendSetType(b *nl.Batch, f Facility) {
	b.Begin(cmdSetType, 0)
	b.Nfgen(unix.AF_INET)
	b.U8(setProtocol, setVersion)
	b.String(setTypename, f.Name)
	b.U8(setFamily, nfFamily(f.Family))
	b.End()
}

// appendExtension appends a question after a match or target.
func appendExtension(b *nl.Batch, f Facility) {
	b.Begin(cmdCompatGet, 0)
	b.Nfgen(nfFamily(f.Family))
	b.String(compatName, f.Name)
	b.Be32(compatRevision, revision(f))
	target := uint32(0)
	if f.Kind == Target {
		target = 1
	}
	b.Be32(compatType, target)
	b.End()
}

// revision is the one of an extension that it takes to do what this library
// wants, or 0: any. SET maps a mark from revision 3 on (Linux 3.18).
func revision(f Facility) uint32 {
	if f.Kind == Target && f.Name == "SET" {
		return 3
	}
	return 0
}

// appendLink appends a request for a link that the kernel refuses once it has
// found its kind: a dummy link for its multicast address (drivers/net/dummy.c,
// dummy_validate), any other for a namespace that does not exist.
func appendLink(b *nl.Batch, f Facility) {
	b.Begin(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	b.Raw(make([]byte, unix.SizeofIfInfomsg)...)
	b.String(unix.IFLA_IFNAME, "vipkit-probe")
	if f.Name == "dummy" {
		b.Bytes(unix.IFLA_ADDRESS, []byte{1, 0, 0, 0, 0, 0})
	}
	b.U32(unix.IFLA_LINK_NETNSID, nowhere)
	at := b.Nest(unix.IFLA_LINKINFO)
	b.String(unix.IFLA_INFO_KIND, f.Name)
	b.EndNest(at)
	b.End()
}

// nfFamily returns netfilter's number of a family: NFPROTO_UNSPEC for none.
func nfFamily(f vipkit.Family) uint8 {
	switch f {
	case vipkit.IPv4:
		return unix.AF_INET
	case vipkit.IPv6:
		return unix.AF_INET6
	}
	return unix.AF_UNSPEC
}
