package probe

import (
	"strings"

	"github.com/vipkit/vipkit"
)

// source is where a facility comes from: "module ip_vs_rr, option CONFIG_IP_VS_RR".
func (f Facility) source() string {
	if f.Kind == IPVS && f.Family == vipkit.IPv6 {
		return "module ip_vs, options CONFIG_IP_VS and CONFIG_IP_VS_IPV6"
	}
	return "module " + f.Module() + ", option " + f.Option()
}

// Module returns the name of the kernel module that has the facility, as modprobe
// takes it. It may be built into the kernel.
func (f Facility) Module() string {
	switch f.Kind {
	case IPVS:
		return "ip_vs"
	case Scheduler:
		return "ip_vs_" + f.Name
	case SetType:
		return "ip_set_" + setTypeWord(f.Name)
	case Match, Target:
		if e, ok := extensions[extension{f.Kind, f.Name}]; ok {
			return e.module(f.Family)
		}
		return "xt_" + f.Name
	case LinkKind:
		return f.Name
	}
	return ""
}

// Option returns the option of the kernel's configuration that builds the
// facility.
func (f Facility) Option() string {
	upper := strings.ToUpper(f.Name)
	switch f.Kind {
	case IPVS:
		if f.Family == vipkit.IPv6 {
			return "CONFIG_IP_VS_IPV6"
		}
		return "CONFIG_IP_VS"
	case Scheduler:
		return "CONFIG_IP_VS_" + upper
	case SetType:
		return "CONFIG_IP_SET_" + strings.ToUpper(setTypeWord(f.Name))
	case Match:
		if e, ok := extensions[extension{f.Kind, f.Name}]; ok {
			return e.option(f.Family)
		}
		return "CONFIG_NETFILTER_XT_MATCH_" + upper
	case Target:
		if e, ok := extensions[extension{f.Kind, f.Name}]; ok {
			return e.option(f.Family)
		}
		return "CONFIG_NETFILTER_XT_TARGET_" + upper
	case LinkKind:
		return "CONFIG_" + upper
	}
	return ""
}

// setTypeWord turns "hash:ip,port" into "hash_ipport".
func setTypeWord(name string) string {
	return strings.ReplaceAll(strings.Replace(name, ":", "_", 1), ",", "")
}

type extension struct {
	kind Kind
	name string
}

// origin is the module and option of an extension, for both families or for each:
// those of IPv6 are derived from those of IPv4.
type origin struct {
	name   string // of the module
	config string
}

// extensions are those whose module or option is not what their name says
// (net/netfilter/Kconfig, net/ipv4/netfilter/Kconfig, net/ipv6/netfilter/Kconfig).
var extensions = map[extension]origin{
	{Match, "set"}:   {"xt_set", "CONFIG_NETFILTER_XT_SET"},
	{Target, "SET"}:  {"xt_set", "CONFIG_NETFILTER_XT_SET"},
	{Match, "mark"}:  {"xt_mark", "CONFIG_NETFILTER_XT_MARK"},
	{Target, "MARK"}: {"xt_mark", "CONFIG_NETFILTER_XT_MARK"},
	{Match, "tcp"}:   {"xt_tcpudp", "CONFIG_NETFILTER_XTABLES"},
	{Match, "udp"}:   {"xt_tcpudp", "CONFIG_NETFILTER_XTABLES"},
	// Aliases of the modules that have them, which differ by version.
	{Match, "icmp"}:    {"ipt_icmp", "CONFIG_IP_NF_IPTABLES"},
	{Match, "icmp6"}:   {"ip6t_icmp6", "CONFIG_IP6_NF_IPTABLES"},
	{Target, "REJECT"}: {"ipt_REJECT", "CONFIG_IP_NF_TARGET_REJECT"},
}

func (o origin) module(f vipkit.Family) string {
	if rest, ok := strings.CutPrefix(o.name, "ipt_"); ok && f == vipkit.IPv6 {
		return "ip6t_" + rest
	}
	return o.name
}

func (o origin) option(f vipkit.Family) string {
	if rest, ok := strings.CutPrefix(o.config, "CONFIG_IP_NF_TARGET_"); ok && f == vipkit.IPv6 {
		return "CONFIG_IP6_NF_TARGET_" + rest
	}
	return o.config
}
