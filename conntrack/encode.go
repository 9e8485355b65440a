package conntrack

import (
	"encoding/binary"
	"net/netip"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
)

func nfFamily(f vipkit.Family) uint8 {
	switch f {
	case vipkit.IPv4:
		return afInet
	case vipkit.IPv6:
		return afInet6
	}
	return 0
}

func appendIP(b *nl.Batch, v4, v6 uint16, a netip.Addr) {
	if a.Is4() {
		b.Addr(v4, a)
	} else {
		b.Addr(v6, a)
	}
}

func appendTuple(b *nl.Batch, attr uint16, p vipkit.Protocol, t *Tuple) {
	tuple := b.Nest(attr)
	ip := b.Nest(tupleIP)
	appendIP(b, ipV4Src, ipV6Src, t.Src.Addr())
	appendIP(b, ipV4Dst, ipV6Dst, t.Dst.Addr())
	b.EndNest(ip)
	proto := b.Nest(tupleProto)
	b.U8(protoNum, uint8(p))
	switch p {
	case ICMP4:
		appendICMP(b, protoICMPID, t.ICMP)
	case ICMP6:
		appendICMP(b, protoICMPv6ID, t.ICMP)
	default:
		b.Be16(protoSrc, t.Src.Port())
		b.Be16(protoDst, t.Dst.Port())
	}
	b.EndNest(proto)
	b.EndNest(tuple)
}

// appendICMP appends an ID, type and code, whose attributes follow one another.
func appendICMP(b *nl.Batch, id uint16, v ICMP) {
	b.Be16(id, v.ID)
	b.U8(id+1, v.Type)
	b.U8(id+2, v.Code)
}

// appendDelete appends the deletion of one flow, which must be valid: without a
// tuple the kernel would empty the table.
//
// The kernel looks at one tuple, its zone, and the ID. The ID is made from the
// flow's address in memory and its original tuple (nf_ct_get_id), so together
// with the reply it means this flow only; with the original tuple it would also
// mean a later flow of the same client to another endpoint, in the same memory.
func appendDelete(b *nl.Batch, f *Flow) {
	b.Begin(cmdDelete, 0)
	b.Nfgen(nfFamily(vipkit.FamilyOf(f.Reply.Src.Addr())))
	appendTuple(b, attrTupleReply, f.Protocol, &f.Reply)
	b.Be16(attrZone, f.ReplyZone)
	b.Be32(attrID, f.ID)
	b.End()
}

// appendDeletes appends the deletion of each flow, all valid. Those after one of the
// same shape are copies of its message with other values, which takes a third of the
// time.
func appendDeletes(b *nl.Batch, flows []*Flow) {
	shape := 0 // the length of the addresses in the message before; zero: something else
	for _, f := range flows {
		size := f.Reply.Src.Addr().BitLen() / 8
		switch {
		case f.Protocol == ICMP4 || f.Protocol == ICMP6:
			appendDelete(b, f)
			shape = 0
		case size == shape:
			patchDelete(b.Append(b.Last()), f, size)
		default:
			appendDelete(b, f)
			shape = size
		}
	}
}

// patchDelete puts a flow into a message of appendDelete about another one that is
// not of ICMP either, with addresses of the same size.
func patchDelete(p []byte, f *Flow, size int) {
	const src = 32 // behind nlmsghdr, nfgenmsg, two nests and the address's header
	dst := src + size + 4
	proto := dst + size + 4 + 4
	sport, dport, zone, id := proto+8, proto+16, proto+24, proto+32
	if size == 4 {
		*(*[4]byte)(p[src:]) = f.Reply.Src.Addr().As4()
		*(*[4]byte)(p[dst:]) = f.Reply.Dst.Addr().As4()
	} else {
		*(*[16]byte)(p[src:]) = f.Reply.Src.Addr().As16()
		*(*[16]byte)(p[dst:]) = f.Reply.Dst.Addr().As16()
	}
	p[proto] = uint8(f.Protocol)
	binary.BigEndian.PutUint16(p[sport:], f.Reply.Src.Port())
	binary.BigEndian.PutUint16(p[dport:], f.Reply.Dst.Port())
	binary.BigEndian.PutUint16(p[zone:], f.ReplyZone)
	binary.BigEndian.PutUint32(p[id:], f.ID)
}

// appendDump appends the request for all flows that the filter selects, and
// maybe more. With less of the filter, kernels before 5.8 are asked: they
// know families and marks only.
func appendDump(b *nl.Batch, f *Filter, less bool) {
	b.Begin(cmdGet, flagDump)
	family := f.family()
	b.Nfgen(nfFamily(family))
	if f.MarkMask != 0 {
		b.Be32(attrMark, f.Mark)
		b.Be32(attrMarkMask, f.MarkMask)
	}
	if f.StatusMask != 0 {
		b.Be32(attrStatus, uint32(f.Status))
		b.Be32(attrStatusMask, uint32(f.StatusMask))
	}
	if f.Zone != 0 {
		b.Be16(attrZone, uint16(f.Zone))
	}
	if family != 0 && !less {
		appendTuples(b, f)
	}
	b.End()
}

// appendTuples appends CTA_FILTER and the two tuples that it is about, without
// what is of no use in them. Of IPv6 the kernel is told the ports and no address:
// many let through those that differ (ctnetlink_filter_match_tuple took
// ipv6_addr_cmp for ipv6_addr_equal from 5.8 on; of those that we test, 6.12 does
// not any more, and 6.1 and 6.18 do). Ports it compares for TCP and UDP
// only (ctnetlink_filter_match_tuple_proto). TestKernelFilter pins both.
func appendTuples(b *nl.Batch, f *Filter) {
	orig := appendFilterTuple(b, attrTupleOrig, f.Protocol, netip.AddrPort{}, f.OriginalDst)
	var reply uint32
	if f.ReplySrc != (netip.AddrPort{}) {
		reply = appendFilterTuple(b, attrTupleReply, f.Protocol, f.ReplySrc, netip.AddrPort{})
	}
	if orig|reply == 0 {
		return
	}
	nest := b.Nest(attrFilter)
	b.U32(filterOrig, orig)
	b.U32(filterReply, reply)
	b.EndNest(nest)
}

// appendFilterTuple appends what there is of a tuple, and returns the flags that
// say so.
func appendFilterTuple(b *nl.Batch, attr uint16, p vipkit.Protocol, src, dst netip.AddrPort) (flags uint32) {
	if p == 0 && !src.Addr().Is4() && !dst.Addr().Is4() {
		return 0
	}
	tuple := b.Nest(attr)
	if src.Addr().Is4() || dst.Addr().Is4() {
		ip := b.Nest(tupleIP)
		if src.Addr().Is4() {
			flags |= filterIPSrc
			b.Addr(ipV4Src, src.Addr())
		}
		if dst.Addr().Is4() {
			flags |= filterIPDst
			b.Addr(ipV4Dst, dst.Addr())
		}
		b.EndNest(ip)
	}
	if p != 0 {
		flags |= filterNum
		proto := b.Nest(tupleProto)
		b.U8(protoNum, uint8(p))
		if src.Port() != 0 && kernelFiltersPorts(p) {
			flags |= filterSrcPort
			b.Be16(protoSrc, src.Port())
		}
		if dst.Port() != 0 && kernelFiltersPorts(p) {
			flags |= filterDstPort
			b.Be16(protoDst, dst.Port())
		}
		b.EndNest(proto)
	}
	b.EndNest(tuple)
	return flags
}

func kernelFiltersPorts(p vipkit.Protocol) bool { return p == vipkit.TCP || p == vipkit.UDP }

// kernelSelects reports whether the kernel's filter selects what the match does,
// exactly.
func kernelSelects(m *Match) bool {
	return m.OriginalDst.Addr().Is4() && kernelFiltersPorts(m.Protocol)
}

// appendDeleteMatching appends the deletion of all flows that the match selects,
// which must be valid and one that the kernel selects exactly. A kernel that does
// not know such a deletion finds a tuple with parts missing, and refuses.
func appendDeleteMatching(b *nl.Batch, m *Match) {
	b.Begin(cmdDelete, 0)
	b.Nfgen(afInet)
	f := m.Filter()
	appendTuples(b, &f)
	b.End()
}

// appendStats appends the question for the number of flows.
func appendStats(b *nl.Batch) {
	b.Begin(cmdStats, 0)
	b.Nfgen(0)
	b.End()
}
