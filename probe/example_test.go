package probe_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/probe"
	"github.com/vipkit/vipkit/probe/probetest"
)

func Example() {
	ctx := context.Background()
	// On a host: probe.Open(nil).
	var kernel probe.Client = &probetest.Fake{Lacks: func(f probe.Facility) bool { return f.Name == "mh" }}

	fmt.Println(kernel.Probe(ctx, probe.Facility{Kind: probe.Scheduler, Name: "rr"}))
	fmt.Println(kernel.Probe(ctx, probe.Facility{Kind: probe.Target, Name: "SET", Family: vipkit.IPv6}))
	err := kernel.Probe(ctx, probe.Facility{Kind: probe.Scheduler, Name: "mh"})
	fmt.Println(errors.Is(err, errors.ErrUnsupported), err)
	// Output:
	// <nil>
	// <nil>
	// true probe scheduler mh: unsupported operation (the kernel lacks it: module ip_vs_mh, option CONFIG_IP_VS_MH)
}
