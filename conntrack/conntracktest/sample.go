package conntracktest

import (
	"net/netip"
	"time"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
)

// SampleFlow returns a translated flow: the i-th from a client to port 53 of the
// service's virtual address, answered by one of its endpoints. Services and
// endpoints are numbered from 0 to 255.
func SampleFlow(f vipkit.Family, p vipkit.Protocol, service, endpoint byte, i int) conntrack.Flow {
	client := netip.AddrPortFrom(addr(f, 9, byte(i>>16), byte(i>>8)), 20000+uint16(byte(i)))
	server := netip.AddrPortFrom(addr(f, 44, service, endpoint), 5353)
	return conntrack.Flow{
		Protocol: p,
		Original: conntrack.Tuple{Src: client, Dst: Service(f, service)},
		Reply:    conntrack.Tuple{Src: server, Dst: client},
	}
}

// SamplePing returns a translated flow of ICMP or ICMPv6: echo requests to the
// service's virtual address.
func SamplePing(f vipkit.Family, service byte, id uint16) conntrack.Flow {
	flow := SampleFlow(f, conntrack.ICMP4, service, 0, 0)
	request, answer := conntrack.ICMP{ID: id, Type: 8}, conntrack.ICMP{ID: id}
	if f == vipkit.IPv6 {
		flow.Protocol = conntrack.ICMP6
		request.Type, answer.Type = 128, 129
	}
	for _, t := range []*conntrack.Tuple{&flow.Original, &flow.Reply} {
		t.Src, t.Dst = netip.AddrPortFrom(t.Src.Addr(), 0), netip.AddrPortFrom(t.Dst.Addr(), 0)
	}
	flow.Original.ICMP, flow.Reply.ICMP = request, answer
	return flow
}

// Service returns the virtual address and port of SampleFlow's service.
func Service(f vipkit.Family, service byte) netip.AddrPort {
	return netip.AddrPortFrom(addr(f, 96, 0, service), 53)
}

func addr(f vipkit.Family, a, b, c byte) netip.Addr {
	if f == vipkit.IPv6 {
		return netip.AddrFrom16([16]byte{0xfd, 12: a, b, c, 1})
	}
	return netip.AddrFrom4([4]byte{10, a, b, c + 1})
}

// answered returns flows as they are once packets went both ways.
func answered(flows ...conntrack.Flow) []conntrack.FlowInfo {
	infos := make([]conntrack.FlowInfo, len(flows))
	for i, f := range flows {
		infos[i] = conntrack.FlowInfo{
			Flow: f, Status: conntrack.StatusConfirmed | conntrack.StatusSeenReply | conntrack.StatusAssured, Timeout: 600 * time.Second,
		}
		if f.Protocol == vipkit.TCP || f.Protocol == vipkit.SCTP {
			infos[i].State = "ESTABLISHED"
		}
	}
	return infos
}

// samples returns n flows for each protocol, family, service 0 and 1, and
// endpoint 0 and 1; every other one has a mark.
func samples(n int) (flows []conntrack.FlowInfo) {
	for _, f := range []vipkit.Family{vipkit.IPv4, vipkit.IPv6} {
		for _, p := range []vipkit.Protocol{vipkit.TCP, vipkit.UDP, vipkit.SCTP} {
			for i := range n * 4 {
				flow := answered(SampleFlow(f, p, byte(i&1), byte(i>>1&1), i))[0]
				flow.Mark = uint32(i & 1)
				flows = append(flows, flow)
			}
		}
	}
	return flows
}
