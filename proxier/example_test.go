package proxier_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/proxier"
)

func ExampleProxier_ApplyServices() {
	host := kerneltest.New()
	p, err := proxier.New(host.Kernel(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	services, err := proxier.ParseServices(`
service shop/web:http tcp
  frontend ClusterIP 10.96.0.1:80
  endpoint 10.244.0.5:8080
service shop/broken:http tcp
  frontend ClusterIP 10.96.0.2:0
`)
	if err != nil {
		fmt.Println(err)
		return
	}
	report, err := p.ApplyServices(context.Background(), services)
	fmt.Println(report.Programmed)
	fmt.Println(err)

	var serviceError proxier.ServiceError
	fmt.Println(errors.As(err, &serviceError), serviceError.Service)
	// Output:
	// [shop/web:http]
	// service "shop/broken:http": frontends[0].port: 0, want 1–65535
	// true shop/broken:http
}

// A service moves from one endpoint to another: the new one joins before the
// old one leaves.
func ExampleProxier_Plan() {
	p, err := proxier.New(kerneltest.New().Kernel(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	for _, endpoint := range []string{"10.244.0.5:8080", "10.244.0.6:8080"} {
		services, err := proxier.ParseServices("service shop/web:http tcp\n frontend ClusterIP 10.96.0.1:80\n endpoint " + endpoint)
		if err != nil {
			fmt.Println(err)
			return
		}
		plan, err := p.Plan(ctx, services)
		if err != nil {
			fmt.Println(err)
			return
		}
		if plan.Len() < 10 {
			fmt.Print(plan)
		}
		if _, err := p.ApplyServices(ctx, services); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// ipvsadm -a -t 10.96.0.1:80 -r 10.244.0.6:8080 -m -w 1
	// ipvsadm -d -t 10.96.0.1:80 -r 10.244.0.5:8080
}

// A caller that knows one service leaves those of others alone.
func ExampleProxier_Apply() {
	host := kerneltest.New()
	ctx := context.Background()
	for _, text := range []string{
		"service pod-a/host-port tcp\n frontend ExternalIP 192.0.2.1:8080\n endpoint 10.244.0.5:80",
		"service pod-b/host-port tcp\n frontend ExternalIP 192.0.2.1:8081\n endpoint 10.244.0.6:80",
	} {
		p, err := proxier.New(host.Kernel(), nil) // as a process that starts anew
		if err != nil {
			fmt.Println(err)
			return
		}
		services, err := proxier.ParseServices(text)
		if err != nil {
			fmt.Println(err)
			return
		}
		if _, err := p.Apply(ctx, proxier.Changes{Upsert: services}); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Print(host.IPVS.Dump())
	// Output:
	// -A -t 192.0.2.1:8080 -s rr
	// -a -t 192.0.2.1:8080 -r 10.244.0.5:80 -m -w 1
	// -A -t 192.0.2.1:8081 -s rr
	// -a -t 192.0.2.1:8081 -r 10.244.0.6:80 -m -w 1
}
