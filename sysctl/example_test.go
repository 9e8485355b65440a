package sysctl_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/vipkit/vipkit/sysctl"
	"github.com/vipkit/vipkit/sysctl/sysctltest"
)

func Example() {
	ctx := context.Background()
	var fake sysctltest.Fake // on a host: sysctl.Open(nil)
	if err := fake.Load("net.ipv4.ip_forward = 0"); err != nil {
		panic(err)
	}
	var c sysctl.Client = &fake

	fmt.Println(c.Set(ctx, "net.ipv4.ip_forward", "1"))
	fmt.Println(c.Get(ctx, "net.ipv4.ip_forward"))
	fmt.Println(c.Set(ctx, "net.ipv4.ip_forward", "yes"))
	_, err := c.Get(ctx, "net.ipv4.vs.conntrack")
	fmt.Println(errors.Is(err, fs.ErrNotExist))
	// Output:
	// <nil>
	// 1 <nil>
	// sysctl set net.ipv4.ip_forward = yes: invalid argument: value "yes" in place of "1"
	// true
}
