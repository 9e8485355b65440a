package oracle_test

import (
	"fmt"
	"net/netip"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/kerneltest/oracle"
)

// A host in the words of the operator's tools, and what becomes of a packet.
func Example() {
	host := kerneltest.New()
	err := host.Load(`-- network --
addr add 198.51.100.1/24 dev eth0
addr add 10.244.0.1/24 dev pods
-- sysctl --
net.ipv4.ip_forward = 1
net.ipv4.vs.conntrack = 1
-- ip --
link add vipkit0 up type dummy
addr add 203.0.113.1/32 dev vipkit0
-- ipvsadm --
-A -t 203.0.113.1:80 -s rr
-a -t 203.0.113.1:80 -r 10.244.0.5:8080 -m -w 1
-- iptables --
*nat
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -d 10.244.0.0/24 -o pods -j MASQUERADE
COMMIT
`)
	if err != nil {
		fmt.Println(err)
		return
	}
	verdicts, err := host.Trace(oracle.Packet{
		Protocol:    vipkit.TCP,
		Source:      netip.MustParseAddrPort("198.51.100.9:4000"),
		Destination: netip.MustParseAddrPort("203.0.113.1:80"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, v := range verdicts {
		fmt.Print(v.Text())
	}
	// Output:
	// in                 eth0 198.51.100.9:4000 > 203.0.113.1:80 tcp
	// ipvs               -t 203.0.113.1:80 -s rr  => -r 10.244.0.5:8080 -m -w 1
	// nat POSTROUTING 1  -d 10.244.0.0/24 -o pods -j MASQUERADE  => source 10.244.0.1
	// out                pods 10.244.0.1:4000 > 10.244.0.5:8080 tcp
	// verdict            endpoint 10.244.0.5:8080 sees 10.244.0.1
}

// A firewall of somebody else's is part of the answer, and so is the way back.
func ExampleSnapshot_Trace() {
	host := kerneltest.New()
	err := host.Load(`-- network --
addr add 198.51.100.1/24 dev eth0
addr add 10.244.0.1/24 dev pods
-- sysctl --
net.ipv4.ip_forward = 1
net.ipv4.vs.conntrack = 1
-- ipvsadm --
-A -t 198.51.100.1:80 -s rr
-a -t 198.51.100.1:80 -r 10.244.0.5:8080 -m -w 1
-a -t 198.51.100.1:80 -r 10.244.0.6:8080 -m -w 1
-- iptables --
*filter
:FORWARD DROP [0:0]
-A FORWARD -s 10.244.0.6/32 -j ACCEPT
COMMIT
`)
	if err != nil {
		fmt.Println(err)
		return
	}
	verdicts, err := host.Trace(oracle.Packet{
		Protocol:    vipkit.TCP,
		Source:      netip.MustParseAddrPort("198.51.100.9:4000"),
		Destination: netip.MustParseAddrPort("198.51.100.1:80"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, v := range verdicts {
		fmt.Println(v)
	}
	// Output:
	// endpoint 10.244.0.5:8080 sees 198.51.100.9, unanswered: the answer is dropped by filter FORWARD: policy DROP
	// endpoint 10.244.0.6:8080 sees 198.51.100.9
}
