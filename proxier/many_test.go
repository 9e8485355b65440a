package proxier_test

import (
	"fmt"
	"net/netip"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/proxier"
)

// manyServices returns n services with a cluster IP and m endpoints each.
func manyServices(n, m int) []proxier.Service {
	services := make([]proxier.Service, n)
	for i := range services {
		s := proxier.Service{
			Name: fmt.Sprintf("ns/svc-%05d:http", i), Protocol: vipkit.TCP,
			Frontends: []proxier.Frontend{{Kind: proxier.ClusterIP, Addr: netip.AddrFrom4([4]byte{10, 100, byte(i >> 8), byte(i)}), Port: 80}},
		}
		for j := range m {
			e := i*m + j
			s.Endpoints = append(s.Endpoints, proxier.ReadyEndpoint(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 200 + byte(e>>16), byte(e >> 8), byte(e)}), 8080)))
		}
		services[i] = s
	}
	return services
}
