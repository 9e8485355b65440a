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

// What depends on a parameter reads before it writes: a value that is right already
// is left alone, and a kernel that lacks the parameter says so.
func ExampleClient() {
	ctx := context.Background()
	var fake sysctltest.Fake
	if err := fake.Load("net.ipv4.ip_forward = 1\nnet.ipv4.vs.conntrack = 0"); err != nil {
		panic(err)
	}
	for _, name := range []string{"net.ipv4.ip_forward", "net.ipv4.vs.conntrack", "net.ipv4.vs.expire_nodest_conn"} {
		value, err := fake.Get(ctx, name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			fmt.Println(name, "is not there: is ip_vs loaded?")
		case err != nil:
			fmt.Println(err)
		case value != "1":
			fmt.Println(name, "set:", fake.Set(ctx, name, "1"))
		default:
			fmt.Println(name, "is right")
		}
	}
	// Output:
	// net.ipv4.ip_forward is right
	// net.ipv4.vs.conntrack set: <nil>
	// net.ipv4.vs.expire_nodest_conn is not there: is ip_vs loaded?
}

// A name in slashes is for a part that has a dot in it, such as a VLAN.
func ExamplePath() {
	for _, name := range []string{"net.ipv4.conf.all.arp_ignore", "net/ipv4/conf/eth0.100/arp_ignore", "net/../kernel/hostname"} {
		fmt.Println(sysctl.Path(name))
	}
	// Output:
	// net/ipv4/conf/all/arp_ignore <nil>
	// net/ipv4/conf/eth0.100/arp_ignore <nil>
	//  parameter name "net/../kernel/hostname" has the part ".."
}
