package kerneltest_test

import (
	"context"
	"fmt"

	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/proxier"
)

// A proxy is tested on a host in memory, on which somebody else has something
// already.
func ExampleHost_Load() {
	host := kerneltest.New()
	err := host.Load(`
-- ipvsadm --
-A -t 192.0.2.1:80 -s wlc
`)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := proxier.New(host.Kernel(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	services, err := proxier.ParseServices("service web tcp\n frontend ExternalIP 192.0.2.1:80\n endpoint 10.244.0.5:80")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = p.ApplyServices(context.Background(), services)
	fmt.Println(err)
	fmt.Print(host.Dump("vipkit0"))
	// Output:
	// service "web": frontends[0]: virtual server -t 192.0.2.1:80: belongs to somebody else
	// -- ipvsadm --
	// -A -t 192.0.2.1:80 -s wlc
}

// A recorder shows what was written, and makes writes fail.
func ExampleRecord() {
	recorder := kerneltest.Record(kerneltest.New().Kernel())
	recorder.Fault = func(_ int, write string) kerneltest.Fault {
		if write == "ip addr add 10.96.0.1/32 dev vipkit0" {
			return kerneltest.Fault{Before: fmt.Errorf("the disk is on fire")}
		}
		return kerneltest.Fault{}
	}
	p, err := proxier.New(recorder.Kernel(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	services, err := proxier.ParseServices("service web tcp\n frontend ClusterIP 10.96.0.1:80\n endpoint 10.244.0.5:80")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = p.ApplyServices(context.Background(), services)
	fmt.Println(err)
	// Output:
	// service "web": the disk is on fire
}
