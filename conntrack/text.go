package conntrack

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/vipkit/vipkit"
)

// String returns the flow as a line of "conntrack -L -o id", without what changes
// by itself: "udp      17 src=10.0.0.9 dst=10.96.0.10 sport=1234 dport=53
// src=10.244.0.10 dst=10.0.0.9 sport=53 dport=1234 id=7".
func (f Flow) String() string {
	b, _ := f.AppendText(nil)
	return string(b)
}

// AppendText implements [encoding.TextAppender]; see [Flow.String].
func (f Flow) AppendText(b []byte) ([]byte, error) {
	b = appendProtocol(b, f.Protocol)
	b = appendTupleText(b, f.Protocol, &f.Original)
	b = appendTupleText(b, f.Protocol, &f.Reply)
	b = f.appendZone(b)
	return appendField(b, " id=", f.ID), nil
}

// MarshalText implements [encoding.TextMarshaler]; see [Flow.String].
func (f Flow) MarshalText() ([]byte, error) { return f.AppendText(nil) }

// String returns the flow as a line of "conntrack -L -o id", without its count of
// users: "tcp      6 431999 ESTABLISHED src=10.0.0.9 dst=10.96.0.1 sport=1234
// dport=443 src=10.244.0.7 dst=10.0.0.9 sport=6443 dport=1234 [ASSURED] mark=0
// id=7". Of the status it says what the tool says.
func (f FlowInfo) String() string {
	b, _ := f.AppendText(nil)
	return string(b)
}

// AppendText implements [encoding.TextAppender]; see [FlowInfo.String].
func (f FlowInfo) AppendText(b []byte) ([]byte, error) {
	b = appendProtocol(b, f.Protocol)
	if f.Status&StatusOffload == 0 {
		b = strconv.AppendInt(append(b, ' '), int64(f.Timeout/time.Second), 10)
	}
	if f.State != "" && f.Status&StatusOffload == 0 {
		b = append(append(b, ' '), f.State...)
	}
	b = appendTupleText(b, f.Protocol, &f.Original)
	if f.Status&StatusSeenReply == 0 {
		b = append(b, " [UNREPLIED]"...)
	}
	b = appendTupleText(b, f.Protocol, &f.Reply)
	switch {
	case f.Status&StatusOffload != 0:
		b = append(b, " [OFFLOAD]"...)
	case f.Status&StatusAssured != 0:
		b = append(b, " [ASSURED]"...)
	}
	b = appendField(b, " mark=", f.Mark)
	b = f.appendZone(b)
	return appendField(b, " id=", f.ID), nil
}

// MarshalText implements [encoding.TextMarshaler]; see [FlowInfo.String].
func (f FlowInfo) MarshalText() ([]byte, error) { return f.AppendText(nil) }

func appendProtocol(b []byte, p vipkit.Protocol) []byte {
	name := protocolName(p)
	b = append(b, name...)
	for range max(0, 8-len(name)) {
		b = append(b, ' ')
	}
	return strconv.AppendUint(append(b, ' '), uint64(p), 10)
}

func appendField[T uint8 | uint16 | uint32](b []byte, name string, v T) []byte {
	return strconv.AppendUint(append(b, name...), uint64(v), 10)
}

func appendTupleText(b []byte, p vipkit.Protocol, t *Tuple) []byte {
	b = appendAddr(b, " src=", t.Src.Addr())
	b = appendAddr(b, " dst=", t.Dst.Addr())
	switch {
	case p == ICMP4 || p == ICMP6:
		b = appendField(b, " type=", t.ICMP.Type)
		b = appendField(b, " code=", t.ICMP.Code)
		b = appendField(b, " id=", t.ICMP.ID)
	case p == gre:
		b = strconv.AppendUint(append(b, " srckey=0x"...), uint64(t.Src.Port()), 16)
		b = strconv.AppendUint(append(b, " dstkey=0x"...), uint64(t.Dst.Port()), 16)
	case hasPorts(p):
		b = appendField(b, " sport=", t.Src.Port())
		b = appendField(b, " dport=", t.Dst.Port())
	}
	return b
}

func appendAddr(b []byte, name string, a netip.Addr) []byte {
	return a.AppendTo(append(b, name...))
}

// appendZone appends the zones, behind the tuples and not between them as the tool
// has those of one direction.
func (f *Flow) appendZone(b []byte) []byte {
	if f.Zone == f.ReplyZone {
		if f.Zone != 0 {
			b = appendField(b, " zone=", f.Zone)
		}
		return b
	}
	if f.Zone != 0 {
		b = appendField(b, " zone-orig=", f.Zone)
	}
	if f.ReplyZone != 0 {
		b = appendField(b, " zone-reply=", f.ReplyZone)
	}
	return b
}

func protocolName(p vipkit.Protocol) string {
	switch p {
	case vipkit.TCP, vipkit.UDP, vipkit.SCTP:
		return p.String()
	case ICMP4:
		return "icmp"
	case ICMP6:
		return "icmpv6"
	case dccp:
		return "dccp"
	case gre:
		return "gre"
	case udplite:
		return "udplite"
	}
	return "unknown"
}
