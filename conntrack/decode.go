package conntrack

import (
	"errors"
	"net/netip"
	"strconv"
	"time"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
)

var errMalformed = errors.New("malformed reply")

// flowParts are the attributes that every flow has.
type flowParts struct{ original, reply, status, id bool }

// decodeFlow reads into f a flow if wants, asked with its protocol and original
// direction, says so, and reports whether it did. f must be zero. It does not
// allocate.
func decodeFlow(data []byte, f *FlowInfo, wants func(vipkit.Protocol, *Tuple) bool) (ok bool, err error) {
	if len(data) < nfgenLen {
		return false, errMalformed
	}
	var has flowParts
	for rest := data[nfgenLen:]; len(rest) > 0; {
		var a nl.Attr
		if a, rest, ok = nl.Next(rest); !ok {
			return false, errMalformed
		}
		if a.Type == attrTupleOrig {
			if f.Protocol, ok = decodeTuple(a.Data, &f.Original, &f.Zone); !ok || has.original {
				return false, errMalformed
			}
			has.original = true
			if !wants(f.Protocol, &f.Original) {
				return false, nil
			}
		} else if !decodePart(a, f, &has) {
			return false, errMalformed
		}
	}
	if has != (flowParts{true, true, true, true}) || f.Original.Src.Addr().BitLen() != f.Reply.Src.Addr().BitLen() {
		return false, errMalformed
	}
	return true, nil
}

// decodePart reads any other attribute of a flow.
func decodePart(a nl.Attr, f *FlowInfo, has *flowParts) (ok bool) {
	var v uint32
	switch a.Type {
	case attrTupleReply:
		var p vipkit.Protocol
		p, ok = decodeTuple(a.Data, &f.Reply, &f.ReplyZone)
		ok = ok && has.original && !has.reply && p == f.Protocol
		has.reply = true
	case attrZone:
		f.Zone, ok = a.Be16()
		f.ReplyZone = f.Zone
	case attrStatus:
		v, ok = a.Be32()
		f.Status, has.status = Status(v), true
	case attrTimeout:
		v, ok = a.Be32()
		f.Timeout = time.Duration(v) * time.Second
	case attrProtoInfo:
		f.State, ok = decodeState(a.Data)
	case attrMark:
		f.Mark, ok = a.Be32()
	case attrID:
		f.ID, ok = a.Be32()
		has.id = true
	default:
		return true
	}
	return ok
}

func decodeTuple(data []byte, t *Tuple, zone *uint16) (p vipkit.Protocol, ok bool) {
	var src, dst netip.Addr
	var sport, dport uint16
	for len(data) > 0 {
		var a nl.Attr
		if a, data, ok = nl.Next(data); !ok {
			return 0, false
		}
		switch a.Type {
		case tupleIP:
			src, dst, ok = decodeIPs(a.Data)
		case tupleProto:
			p, sport, dport, ok = decodeProto(a.Data, &t.ICMP)
		case tupleZone:
			*zone, ok = a.Be16()
		}
		if !ok {
			return 0, false
		}
	}
	t.Src, t.Dst = netip.AddrPortFrom(src, sport), netip.AddrPortFrom(dst, dport)
	if t.ICMP != (ICMP{}) && p != ICMP4 && p != ICMP6 {
		return 0, false
	}
	return p, p != 0 && src.IsValid() && src.BitLen() == dst.BitLen()
}

func decodeIPs(data []byte) (src, dst netip.Addr, ok bool) {
	for len(data) > 0 {
		var a nl.Attr
		if a, data, ok = nl.Next(data); !ok {
			return src, dst, false
		}
		switch {
		case a.Type == ipV4Src && len(a.Data) == 4, a.Type == ipV6Src && len(a.Data) == 16:
			src, _ = a.Addr()
		case a.Type == ipV4Dst && len(a.Data) == 4, a.Type == ipV6Dst && len(a.Data) == 16:
			dst, _ = a.Addr()
		}
	}
	return src, dst, true
}

func decodeProto(data []byte, icmp *ICMP) (p vipkit.Protocol, sport, dport uint16, ok bool) {
	for len(data) > 0 {
		var a nl.Attr
		if a, data, ok = nl.Next(data); !ok {
			return 0, 0, 0, false
		}
		switch a.Type {
		case protoNum:
			var v uint8
			v, ok = a.U8()
			p = vipkit.Protocol(v)
		case protoSrc:
			sport, ok = a.Be16()
		case protoDst:
			dport, ok = a.Be16()
		case protoICMPID, protoICMPv6ID:
			icmp.ID, ok = a.Be16()
		case protoICMPType, protoICMPv6Type:
			icmp.Type, ok = a.U8()
		case protoICMPCode, protoICMPv6Code:
			icmp.Code, ok = a.U8()
		}
		if !ok {
			return 0, 0, 0, false
		}
	}
	return p, sport, dport, true
}

// decodeState reads what CTA_PROTOINFO says of TCP and SCTP.
func decodeState(data []byte) (state string, ok bool) {
	for len(data) > 0 {
		var info nl.Attr
		if info, data, ok = nl.Next(data); !ok {
			return "", false
		}
		names := tcpStates
		switch info.Type {
		case infoTCP:
		case infoSCTP:
			names = sctpStates
		default:
			continue
		}
		for rest := info.Data; len(rest) > 0; {
			var a nl.Attr
			if a, rest, ok = nl.Next(rest); !ok {
				return "", false
			}
			if a.Type != infoState {
				continue
			}
			v, ok := a.U8()
			if !ok {
				return "", false
			}
			state = stateName(names, v)
		}
	}
	return state, true
}

func stateName(names []string, v uint8) string {
	if int(v) < len(names) {
		return names[v]
	}
	return strconv.Itoa(int(v))
}

// decodeStats reads the number of flows and their limit.
func decodeStats(data []byte) (n, limit int, err error) {
	if len(data) < nfgenLen {
		return 0, 0, errMalformed
	}
	has := false
	for rest := data[nfgenLen:]; len(rest) > 0; {
		var a nl.Attr
		var ok bool
		if a, rest, ok = nl.Next(rest); !ok {
			return 0, 0, errMalformed
		}
		v := uint32(0)
		switch a.Type {
		case statsEntries:
			v, ok = a.Be32()
			n, has = int(v), true
		case statsMax:
			v, ok = a.Be32()
			limit = int(v)
		}
		if !ok {
			return 0, 0, errMalformed
		}
	}
	if !has {
		return 0, 0, errMalformed
	}
	return n, limit, nil
}
