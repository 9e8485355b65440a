package conntrack

import (
	"errors"
	"net/netip"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
)

// Numbers of include/uapi/linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h.
const (
	subsys = 1 << 8 // NFNL_SUBSYS_CTNETLINK

	cmdNew    = subsys
	cmdGet    = subsys | 1
	cmdDelete = subsys | 2

	attrTupleOrig  = 1
	attrTupleReply = 2
	attrMark       = 8
	attrID         = 12
	attrZone       = 18
	attrFilter     = 25

	tupleIP    = 1
	tupleProto = 2
	tupleZone  = 3

	ipV4Src = 1
	ipV4Dst = 2
	ipV6Src = 3
	ipV6Dst = 4

	protoNum = 1
	protoSrc = 2
	protoDst = 3

	filterOrig  = 1
	filterReply = 2

	// Which parts of a tuple a filter compares (nf_internals.h).
	filterIPSrc   = 1 << 0
	filterIPDst   = 1 << 1
	filterNum     = 1 << 3
	filterSrcPort = 1 << 4
	filterDstPort = 1 << 5

	afInet, afInet6 = 2, 10 // Linux's, whatever the system that compiles this

	flagDump = 0x300 // NLM_F_DUMP
)

const nfgenLen = 4

var errMalformed = errors.New("malformed reply")

func nfFamily(a netip.Addr) uint8 {
	if a.Is4() {
		return afInet
	}
	return afInet6
}

func appendIP(b *nl.Batch, v4, v6 uint16, a netip.Addr) {
	if a.Is4() {
		b.Addr(v4, a)
	} else {
		b.Addr(v6, a)
	}
}

func appendTuple(b *nl.Batch, attr uint16, p vipkit.Protocol, t Tuple) {
	tuple := b.Nest(attr)
	ip := b.Nest(tupleIP)
	appendIP(b, ipV4Src, ipV6Src, t.Src.Addr())
	appendIP(b, ipV4Dst, ipV6Dst, t.Dst.Addr())
	b.EndNest(ip)
	proto := b.Nest(tupleProto)
	b.U8(protoNum, uint8(p))
	b.Be16(protoSrc, t.Src.Port())
	b.Be16(protoDst, t.Dst.Port())
	b.EndNest(proto)
	b.EndNest(tuple)
}

// appendDelete appends the deletion of one flow, which must be valid: without a
// tuple the kernel would empty the table.
//
// The kernel looks at one tuple and the ID. The ID is made from the flow's
// address in memory and its original tuple (nf_ct_get_id), so together with the
// reply it means this flow only; with the original tuple it would also mean a
// later flow of the same client to another endpoint, in the same memory. Within
// a zone it has to be the original tuple: a zone may be of that direction only.
func appendDelete(b *nl.Batch, f *Flow) {
	b.Begin(cmdDelete, 0)
	b.Nfgen(nfFamily(f.Original.Src.Addr()))
	if f.Zone == 0 {
		appendTuple(b, attrTupleReply, f.Protocol, f.Reply)
	} else {
		appendTuple(b, attrTupleOrig, f.Protocol, f.Original)
	}
	b.Be16(attrZone, f.Zone)
	b.Be32(attrID, f.ID)
	b.End()
}

// filter is what the kernel is asked to leave out of a dump. Its zero value is
// nothing.
type filter struct {
	// family is AF_INET, AF_INET6, or AF_UNSPEC for both.
	family uint8
	// Match has a Protocol, or is zero. OriginalDst and ReplySrc count if they
	// are valid. The kernel refuses a filter without a family.
	Match
}

// appendDump appends the request for all flows that the filter lets through.
// Kernels before 5.8 know families only. Of IPv6 the kernel is told the ports and
// no address: many let through those that differ, 6.1 and 6.18 among them
// (net/netfilter/nf_conntrack_netlink.c, ctnetlink_filter_match_tuple;
// TestKernelFilter logs it).
func appendDump(b *nl.Batch, f filter) {
	b.Begin(cmdGet, flagDump)
	b.Nfgen(f.family)
	if f.Protocol != 0 {
		orig, reply := uint32(filterNum), uint32(0)
		if f.OriginalDst.IsValid() {
			orig |= filterDstPort
			if f.family == afInet {
				orig |= filterIPDst
			}
		}
		appendFilterTuple(b, attrTupleOrig, f.Protocol, netip.AddrPort{}, f.OriginalDst)
		if f.ReplySrc.IsValid() {
			reply = filterNum | filterSrcPort
			if f.family == afInet {
				reply |= filterIPSrc
			}
			appendFilterTuple(b, attrTupleReply, f.Protocol, f.ReplySrc, netip.AddrPort{})
		}
		nest := b.Nest(attrFilter)
		b.U32(filterOrig, orig)
		b.U32(filterReply, reply)
		b.EndNest(nest)
	}
	b.End()
}

// appendFilterTuple appends the parts of a tuple that are valid.
func appendFilterTuple(b *nl.Batch, attr uint16, p vipkit.Protocol, src, dst netip.AddrPort) {
	tuple := b.Nest(attr)
	if src.IsValid() || dst.IsValid() {
		ip := b.Nest(tupleIP)
		if src.IsValid() {
			appendIP(b, ipV4Src, ipV6Src, src.Addr())
		}
		if dst.IsValid() {
			appendIP(b, ipV4Dst, ipV6Dst, dst.Addr())
		}
		b.EndNest(ip)
	}
	proto := b.Nest(tupleProto)
	b.U8(protoNum, uint8(p))
	if src.IsValid() {
		b.Be16(protoSrc, src.Port())
	}
	if dst.IsValid() {
		b.Be16(protoDst, dst.Port())
	}
	b.EndNest(proto)
	b.EndNest(tuple)
}

// end is what selects a flow before anything else is read of it.
type end struct {
	protocol vipkit.Protocol
	dst      netip.AddrPort
}

// decodeFlow reads a flow if wanted, asked with its protocol and original
// destination, says so; ok is false otherwise. It does not allocate.
func decodeFlow(data []byte, wanted func(end) bool) (f Flow, ok bool, err error) {
	if len(data) < nfgenLen || !nl.ValidAttrs(data[nfgenLen:]) {
		return Flow{}, false, errMalformed
	}
	var original, reply bool
	for a := range nl.Attrs(data[nfgenLen:]) {
		var zone uint16
		valid := true
		switch a.Type {
		case attrTupleOrig:
			original = true
			if f.Protocol, f.Original, zone, err = decodeTuple(a.Data); err != nil {
				return Flow{}, false, err
			}
			if !wanted(end{f.Protocol, f.Original.Dst}) {
				return Flow{}, false, nil
			}
			if zone != 0 {
				f.Zone = zone
			}
		case attrTupleReply:
			reply = true
			if _, f.Reply, _, err = decodeTuple(a.Data); err != nil {
				return Flow{}, false, err
			}
		case attrMark:
			f.Mark, valid = a.Be32()
		case attrID:
			f.ID, valid = a.Be32()
		case attrZone:
			f.Zone, valid = a.Be16()
		}
		if !valid {
			return Flow{}, false, errMalformed
		}
	}
	if !original || !reply {
		return Flow{}, false, errMalformed
	}
	return f, true, nil
}

func decodeTuple(data []byte) (p vipkit.Protocol, t Tuple, zone uint16, err error) {
	var src, dst netip.Addr
	var sport, dport uint16
	if !nl.ValidAttrs(data) {
		return 0, Tuple{}, 0, errMalformed
	}
	for a := range nl.Attrs(data) {
		valid := true
		switch a.Type {
		case tupleIP:
			src, dst, valid = decodeIPs(a.Data)
		case tupleProto:
			p, sport, dport, valid = decodeProto(a.Data)
		case tupleZone:
			zone, valid = a.Be16()
		}
		if !valid {
			return 0, Tuple{}, 0, errMalformed
		}
	}
	if !src.IsValid() || !dst.IsValid() || src.BitLen() != dst.BitLen() || p == 0 {
		return 0, Tuple{}, 0, errMalformed
	}
	return p, Tuple{netip.AddrPortFrom(src, sport), netip.AddrPortFrom(dst, dport)}, zone, nil
}

func decodeIPs(data []byte) (src, dst netip.Addr, ok bool) {
	if !nl.ValidAttrs(data) {
		return src, dst, false
	}
	for a := range nl.Attrs(data) {
		switch {
		case a.Type == ipV4Src && len(a.Data) == 4, a.Type == ipV6Src && len(a.Data) == 16:
			src, _ = a.Addr()
		case a.Type == ipV4Dst && len(a.Data) == 4, a.Type == ipV6Dst && len(a.Data) == 16:
			dst, _ = a.Addr()
		}
	}
	return src, dst, true
}

func decodeProto(data []byte) (p vipkit.Protocol, sport, dport uint16, ok bool) {
	if !nl.ValidAttrs(data) {
		return 0, 0, 0, false
	}
	for a := range nl.Attrs(data) {
		ok := true
		switch a.Type {
		case protoNum:
			var v uint8
			v, ok = a.U8()
			p = vipkit.Protocol(v)
		case protoSrc:
			sport, ok = a.Be16()
		case protoDst:
			dport, ok = a.Be16()
		}
		if !ok {
			return 0, 0, 0, false
		}
	}
	return p, sport, dport, true
}
