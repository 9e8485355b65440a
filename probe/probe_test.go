package probe_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/probe"
)

// TestSource checks what brings a facility: the names are those of Debian's
// kernels (/lib/modules, /boot/config-*).
func TestSource(t *testing.T) {
	for _, tt := range []struct {
		f              probe.Facility
		text           string
		module, option string
	}{
		{probe.Facility{Kind: probe.IPVS, Family: vipkit.IPv4}, "ipvs IPv4", "ip_vs", "CONFIG_IP_VS"},
		{probe.Facility{Kind: probe.IPVS, Family: vipkit.IPv6}, "ipvs IPv6", "ip_vs", "CONFIG_IP_VS_IPV6"},
		{probe.Facility{Kind: probe.Scheduler, Name: "lblcr"}, "scheduler lblcr", "ip_vs_lblcr", "CONFIG_IP_VS_LBLCR"},
		{probe.Facility{Kind: probe.SetType, Name: "hash:ip,port,net", Family: vipkit.IPv6}, "set type hash:ip,port,net IPv6", "ip_set_hash_ipportnet", "CONFIG_IP_SET_HASH_IPPORTNET"},
		{probe.Facility{Kind: probe.SetType, Name: "bitmap:port"}, "set type bitmap:port", "ip_set_bitmap_port", "CONFIG_IP_SET_BITMAP_PORT"},
		{probe.Facility{Kind: probe.Match, Name: "set", Family: vipkit.IPv4}, "match set IPv4", "xt_set", "CONFIG_NETFILTER_XT_SET"},
		{probe.Facility{Kind: probe.Match, Name: "mark", Family: vipkit.IPv4}, "match mark IPv4", "xt_mark", "CONFIG_NETFILTER_XT_MARK"},
		{probe.Facility{Kind: probe.Match, Name: "addrtype", Family: vipkit.IPv6}, "match addrtype IPv6", "xt_addrtype", "CONFIG_NETFILTER_XT_MATCH_ADDRTYPE"},
		{probe.Facility{Kind: probe.Target, Name: "MASQUERADE", Family: vipkit.IPv4}, "target MASQUERADE IPv4", "xt_MASQUERADE", "CONFIG_NETFILTER_XT_TARGET_MASQUERADE"},
		{probe.Facility{Kind: probe.Target, Name: "REJECT", Family: vipkit.IPv4}, "target REJECT IPv4", "ipt_REJECT", "CONFIG_IP_NF_TARGET_REJECT"},
		{probe.Facility{Kind: probe.Target, Name: "REJECT", Family: vipkit.IPv6}, "target REJECT IPv6", "ip6t_REJECT", "CONFIG_IP6_NF_TARGET_REJECT"},
		{probe.Facility{Kind: probe.LinkKind, Name: "dummy"}, "link kind dummy", "dummy", "CONFIG_DUMMY"},
	} {
		require.NoError(t, tt.f.Validate())
		require.Equal(t, tt.text, tt.f.String())
		require.Equal(t, tt.module, tt.f.Module(), tt.text)
		require.Equal(t, tt.option, tt.f.Option(), tt.text)
	}
	require.Equal(t, "kind-99", probe.Kind(99).String())
	require.Empty(t, probe.Facility{}.Module())
	require.Empty(t, probe.Facility{}.Option())
}
