package conntracktest

import (
	"net/netip"

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

// samples returns n flows for each protocol, family, service 0 and 1, and
// endpoint 0 and 1.
func samples(n int) (flows []conntrack.Flow) {
	for _, f := range []vipkit.Family{vipkit.IPv4, vipkit.IPv6} {
		for _, p := range []vipkit.Protocol{vipkit.TCP, vipkit.UDP, vipkit.SCTP} {
			for i := range n * 4 {
				flow := SampleFlow(f, p, byte(i&1), byte(i>>1&1), i)
				flow.Mark = uint32(i & 1)
				flows = append(flows, flow)
			}
		}
	}
	return flows
}
