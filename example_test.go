package vipkit_test

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/proxier"
)

// The whole library: services in, a kernel that serves them out. The host is in
// memory; proxier.OpenKernel opens a real one.
func Example() {
	ctx := context.Background()
	host := kerneltest.New()
	p, err := proxier.New(host.Kernel(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	web := proxier.Service{
		Name:     "shop/web:http",
		Protocol: vipkit.TCP,
		Frontends: []proxier.Frontend{
			{Kind: proxier.ClusterIP, Addr: netip.MustParseAddr("10.96.0.1"), Port: 80},
		},
		Endpoints: []proxier.Endpoint{
			proxier.ReadyEndpoint(netip.MustParseAddrPort("10.244.0.5:8080")),
		},
	}
	if _, err := p.ApplyServices(ctx, []proxier.Service{web}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(host.IPVS.Dump())

	// Another endpoint: the plan is what would be written, and nothing else is.
	web.Endpoints = append(web.Endpoints, proxier.ReadyEndpoint(netip.MustParseAddrPort("10.244.1.7:8080")))
	plan, err := p.Plan(ctx, []proxier.Service{web})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print("\n", plan)
	// Output:
	// -A -t 10.96.0.1:80 -s rr
	// -a -t 10.96.0.1:80 -r 10.244.0.5:8080 -m -w 1
	//
	// ipvsadm -a -t 10.96.0.1:80 -r 10.244.1.7:8080 -m -w 1
}
