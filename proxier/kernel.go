package proxier

import (
	"github.com/vipkit/vipkit/conntrack"
	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/iptables"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/ports"
	"github.com/vipkit/vipkit/probe"
	"github.com/vipkit/vipkit/sysctl"
)

// Kernel is a host: one client for each facility, all of the same network
// namespace. The proxier never closes them.
type Kernel struct {
	IPVS      ipvs.Client
	IPSet     ipset.Client
	IPTables  iptables.Client
	Dummy     dummy.Client
	Conntrack conntrack.Client
	// Sysctl and Probe are for [Proxier.Preflight] only.
	Sysctl sysctl.Client
	Probe  probe.Client
	// Ports is for [Config.HoldPorts] only.
	Ports ports.Client
}
