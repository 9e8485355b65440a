package iptables_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/iptables"
	"github.com/vipkit/vipkit/iptables/iptablestest"
)

// Make a chain with a rule and a jump to it, at one instant.
func Example() {
	ctx := context.Background()
	var c iptables.Client = new(iptablestest.Fake) // on a host: iptables.Open(nil)

	err := c.Restore(ctx, vipkit.IPv4, []iptables.Edit{
		{Table: "nat", Verb: iptables.NewChain, Chain: "VIPKIT-POST"},
		{Table: "nat", Verb: iptables.Append, Chain: "VIPKIT-POST", Rule: "-m mark --mark 0x4000/0x4000 -j MASQUERADE"},
		{Table: "nat", Verb: iptables.Insert, Chain: "POSTROUTING", Pos: 1, Rule: "-j VIPKIT-POST"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	tables, err := c.Save(ctx, vipkit.IPv4, "nat")
	fmt.Print(iptables.Format(tables), err)
	// Output:
	// *nat
	// :PREROUTING ACCEPT [0:0]
	// :INPUT ACCEPT [0:0]
	// :OUTPUT ACCEPT [0:0]
	// :POSTROUTING ACCEPT [0:0]
	// :VIPKIT-POST - [0:0]
	// -A POSTROUTING -j VIPKIT-POST
	// -A VIPKIT-POST -m mark --mark 0x4000/0x4000 -j MASQUERADE
	// COMMIT
	// <nil>
}

// A refused restore changes nothing of its table, and says which edit it was.
func ExampleClient_restore() {
	ctx := context.Background()
	fake := &iptablestest.Fake{Sets: func(name string) bool { return name == "VIPKIT-SVC" }}
	err := fake.Restore(ctx, vipkit.IPv4, []iptables.Edit{
		{Table: "filter", Verb: iptables.NewChain, Chain: "VIPKIT"},
		{Table: "filter", Verb: iptables.Append, Chain: "VIPKIT", Rule: "-m set --match-set VIPKIT-SVC dst,dst -j ACCEPT"},
		{Table: "filter", Verb: iptables.Append, Chain: "VIPKIT", Rule: "-m set --match-set GONE dst,dst -j DROP"},
	})
	fmt.Println(err)
	fmt.Println(errors.Is(err, fs.ErrInvalid))
	fmt.Printf("%q\n", fake.Dump(vipkit.IPv4))
	// Output:
	// iptables restore filter -A VIPKIT -m set --match-set GONE dst,dst -j DROP: invalid argument (set GONE doesn't exist)
	// true
	// ""
}

// Rules are compared in the form in which the tool prints them.
func ExampleNormalize() {
	fmt.Println(iptables.Normalize(vipkit.IPv4, "-p 6 -s 10.0.0.7 --dport 80 -j REJECT"))
	fmt.Println(iptables.Normalize(vipkit.IPv6, "-p sctp -j REJECT"))
	fmt.Println(iptables.Normalize(vipkit.IPv4, "-j MARK --or-mark 16384"))
	// Output:
	// -s 10.0.0.7/32 -p tcp -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable
	// -p sctp -j REJECT --reject-with icmp6-port-unreachable
	// -j MARK --set-xmark 0x4000/0x4000
}

// An operator's file is edits, and edits are an operator's file.
func ExampleParseRestore() {
	edits, err := iptables.ParseRestore(`*filter
:FORWARD DROP [0:0]
:VIPKIT - [0:0]
-A VIPKIT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-I FORWARD -j VIPKIT
COMMIT
`)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(edits[3])
	fmt.Println(iptables.Validate(vipkit.IPv4, edits))
	fake := new(iptablestest.Fake)
	fmt.Println(fake.Restore(context.Background(), vipkit.IPv4, edits))
	fmt.Print(fake.Dump(vipkit.IPv4))
	// Output:
	// filter -I FORWARD 1 -j VIPKIT
	// <nil>
	// <nil>
	// *filter
	// :INPUT ACCEPT [0:0]
	// :FORWARD DROP [0:0]
	// :OUTPUT ACCEPT [0:0]
	// :VIPKIT - [0:0]
	// -A FORWARD -j VIPKIT
	// -A VIPKIT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	// COMMIT
}

// A rule taken apart, for a program that interprets what it finds on a host.
func ExampleRule_Parse() {
	spec, err := iptables.Rule("-i eth+ -p tcp -m tcp ! --dport 80 -j DNAT --to-destination 10.0.0.7:8080").Parse()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(spec.In.Value, spec.Protocol.Value, spec.Destination.Set)
	for _, m := range spec.Matches {
		for _, o := range m.Options {
			fmt.Println(m.Name, o.Name, o.Args, o.Not)
		}
	}
	fmt.Println(spec.Target.Name, spec.Target.Options[0].Args[0])
	// Output:
	// eth+ tcp false
	// tcp --dport [80] true
	// DNAT 10.0.0.7:8080
}

// Owned finds a caller's chains and the jumps to them, wherever they are.
func ExampleOwned() {
	tables, err := iptables.Parse(`*nat
:POSTROUTING ACCEPT [0:0]
:VIPKIT-POST - [0:0]
-A POSTROUTING -j MASQUERADE
-A POSTROUTING -j VIPKIT-POST
COMMIT
`)
	if err != nil {
		fmt.Println(err)
		return
	}
	own, jumps := iptables.Owned(tables, "VIPKIT-")
	fmt.Println(own[0].Chains[0].Name)
	fmt.Println(jumps[0].Chain, jumps[0].Pos, jumps[0].To)
	// Output:
	// VIPKIT-POST
	// POSTROUTING 2 VIPKIT-POST
}
