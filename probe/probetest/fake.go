// Package probetest has a fake of package probe, and the contract that the fake
// and the real thing must both pass.
package probetest

import (
	"context"
	"slices"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/probe"
)

// Fake is a kernel in memory that can be asked what it offers. The zero value has
// everything that Linux 6.1 and later have. It is safe for concurrent use; its
// field is set before the first call.
type Fake struct {
	// Lacks reports whether the kernel lacks a facility that Linux has. Nil: it
	// lacks none.
	Lacks func(probe.Facility) bool
	// Fail is asked first: nobody can tell, because of the error that it
	// returns. Nil: it never fails.
	Fail func(probe.Facility) error
}

var _ probe.Client = (*Fake)(nil)

// Probe implements [probe.Client].
func (k *Fake) Probe(ctx context.Context, f probe.Facility) error {
	err := f.Validate()
	if err == nil {
		err = ctx.Err()
	}
	if err == nil && k.Fail != nil {
		err = k.Fail(f)
	}
	switch {
	case err != nil:
		return probe.Unknown(f, err)
	case !known(f), k.Lacks != nil && k.Lacks(f):
		return probe.Missing(f)
	}
	return nil
}

// names are those of Linux 6.1 and later, as far as this library has a use for
// them.
var names = map[probe.Kind][]string{
	probe.Scheduler: {"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh"},
	probe.SetType:   {"hash:ip", "hash:net", "hash:ip,port", "hash:ip,port,ip", "hash:ip,port,net", "bitmap:port"},
	probe.Match:     {"set", "mark", "addrtype", "conntrack", "comment", "physdev", "statistic", "tcp", "udp", "sctp", "multiport", "ipvs"},
	probe.Target:    {"SET", "MARK", "MASQUERADE", "REJECT", "SNAT", "DNAT", "CONNMARK"},
	probe.LinkKind:  {"dummy", "bridge", "veth", "ipip", "gre"},
}

func known(f probe.Facility) bool {
	switch f {
	case probe.Facility{Kind: probe.Match, Name: "icmp", Family: vipkit.IPv4}, probe.Facility{Kind: probe.Match, Name: "icmp6", Family: vipkit.IPv6}:
		return true
	}
	if f.Kind == probe.IPVS {
		return true
	}
	return slices.Contains(names[f.Kind], f.Name)
}
