package ports_test

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ports"
	"github.com/vipkit/vipkit/ports/portstest"
)

// A port that a program has is named, with the program.
func Example() {
	var host portstest.Fake
	key := ports.Key{Protocol: vipkit.TCP, Addr: netip.MustParseAddr("192.0.2.1"), Port: 30080}
	host.Take(key, "process 4711: nginx")
	_, err := host.Hold(context.Background(), key)
	fmt.Println(err)
	// Output:
	// hold port tcp 192.0.2.1:30080: in use (process 4711: nginx)
}
