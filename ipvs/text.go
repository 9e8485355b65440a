package ipvs

import (
	"fmt"
	"net/netip"

	"github.com/vipkit/vipkit"
)

// String returns the key as ipvsadm's options: "-t 10.96.0.1:443",
// "-u [fd00::1]:53", "--sctp-service 10.0.0.1:5060", "-f 17", "-f 17 -6".
func (k Key) String() string {
	if k.Mark != 0 {
		if k.Family() == vipkit.IPv6 {
			return fmt.Sprintf("-f %d -6", k.Mark)
		}
		return fmt.Sprintf("-f %d", k.Mark)
	}
	option := "--protocol-" + k.Protocol.String()
	switch k.Protocol {
	case vipkit.TCP:
		option = "-t"
	case vipkit.UDP:
		option = "-u"
	case vipkit.SCTP:
		option = "--sctp-service"
	}
	return option + " " + netip.AddrPortFrom(k.Addr, k.Port).String()
}
