package ipvs_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/ipvs/ipvstest"
)

// A virtual server with two destinations, in one batch.
func Example() {
	ctx := context.Background()
	client := new(ipvstest.Fake) // on a host: ipvs.Open(nil)

	service := ipvs.Service{
		Key:       ipvs.Key{Protocol: vipkit.TCP, Addr: netip.MustParseAddr("10.96.0.1"), Port: 443},
		Scheduler: "rr",
	}
	changes := []ipvs.Change{{Op: ipvs.AddService, Service: service}}
	for _, endpoint := range []string{"10.244.0.5:6443", "10.244.1.5:6443"} {
		ap := netip.MustParseAddrPort(endpoint)
		changes = append(changes, ipvs.Change{
			Op: ipvs.AddDestination, Service: service,
			Destination: ipvs.Destination{DestKey: ipvs.DestKey{Addr: ap.Addr(), Port: ap.Port()}, Weight: 1},
		})
	}
	if err := errors.Join(client.Apply(ctx, changes)...); err != nil {
		fmt.Println(err)
	}
	var table strings.Builder
	if err := ipvs.WriteTable(ctx, &table, client); err != nil {
		fmt.Println(err)
	}
	for line := range strings.Lines(table.String()) {
		fmt.Println(strings.TrimRight(line, " \n")) // ipvsadm pads the last column
	}
	// Output:
	// IP Virtual Server version 1.2.1 (size=4096)
	// Prot LocalAddress:Port Scheduler Flags
	//   -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
	// TCP  10.96.0.1:443 rr
	//   -> 10.244.0.5:6443              Masq    1      0          0
	//   -> 10.244.1.5:6443              Masq    1      0          0
}

// Only what differs is written: one endpoint drains, one comes, one is gone.
func ExampleDiff() {
	ctx := context.Background()
	var client, wanted ipvstest.Fake
	for fake, text := range map[*ipvstest.Fake]string{
		&client: `-A -t 10.0.0.1:80 -s rr
			-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 1
			-a -t 10.0.0.1:80 -r 10.1.0.2:8080 -m -w 1`,
		&wanted: `-A -t 10.0.0.1:80 -s rr
			-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 0
			-a -t 10.0.0.1:80 -r 10.1.0.3:8080 -m -w 1`,
	} {
		if err := fake.Load(text); err != nil {
			fmt.Println(err)
		}
	}
	have, err := ipvs.Snapshot(ctx, &client)
	if err != nil {
		fmt.Println(err)
	}
	want, err := ipvs.Snapshot(ctx, &wanted)
	if err != nil {
		fmt.Println(err)
	}
	for _, change := range ipvs.Diff(have, want) {
		fmt.Println(change)
	}
	// Output:
	// -e -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 0
	// -a -t 10.0.0.1:80 -r 10.1.0.3:8080 -m -w 1
	// -d -t 10.0.0.1:80 -r 10.1.0.2:8080
}

// A proxy reads its own virtual servers whole, and of others that they are there.
func ExampleClient_servers() {
	client := new(ipvstest.Fake)
	err := client.Load(`-A -t 10.0.0.1:80 -s rr
		-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 1
		-A -f 7 -s mh -b mh-port
		-a -f 7 -r 10.1.0.1:0 -g -w 1`)
	if err != nil {
		fmt.Println(err)
	}
	var lines []string
	ours := func(k ipvs.Key) bool { return k.Mark == 0 }
	for row, err := range client.Servers(context.Background(), ours) {
		if err != nil {
			fmt.Println(err)
			return
		}
		lines = append(lines, fmt.Sprint(row.Service, " ", row.Destinations))
	}
	slices.Sort(lines) // they come in no order
	fmt.Println(strings.Join(lines, "\n"))
	// Output:
	// -f 7 -s mh -b mh-port []
	// -t 10.0.0.1:80 -s rr [-r 10.1.0.1:8080 -m -w 1]
}

// Each change fails by itself, and says so at its index.
func ExampleClient_apply() {
	client := &ipvstest.Fake{Schedulers: []string{"rr"}}
	var changes []ipvs.Change
	for _, line := range []string{
		"-A -t 10.0.0.1:80 -s rr",
		"-A -t 10.0.0.2:80 -s mh",
		"-D -u 10.0.0.3:53",
		"-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 70000",
	} {
		var c ipvs.Change
		if err := c.UnmarshalText([]byte(line)); err != nil {
			fmt.Println(err)
		}
		changes = append(changes, c)
	}
	for i, err := range client.Apply(context.Background(), changes) {
		switch {
		case err == nil:
			fmt.Println(i, "done")
		case errors.Is(err, fs.ErrNotExist):
			fmt.Println(i, "was not there:", err)
		default:
			fmt.Println(i, err)
		}
	}
	// Output:
	// 0 done
	// 1 ipvs add service -t 10.0.0.2:80 -s mh: unsupported operation (scheduler mh: module ip_vs_mh)
	// 2 was not there: ipvs delete service -u 10.0.0.3:53: file does not exist: no such process (no such virtual server)
	// 3 ipvs add destination -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 70000: invalid argument: weight 70000: want 0 to 65535
}
