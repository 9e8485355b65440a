package proxier_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/proxier"
)

func TestAddressSelection(t *testing.T) {
	address := func(index int, link, prefix string, scope dummy.Scope, flags dummy.AddressFlags) dummy.HostAddress {
		return dummy.HostAddress{
			HostKey: dummy.HostKey{Prefix: netip.MustParsePrefix(prefix), Index: index},
			Link:    link, Scope: scope, Flags: flags,
		}
	}
	host := []dummy.HostAddress{
		address(7, "vipkit0", "10.96.0.1/32", dummy.ScopeGlobal, 0),
		address(5, "cali1", "10.244.0.1/24", dummy.ScopeGlobal, 0),
		address(2, "eth0", "2001:db8::2/64", dummy.ScopeGlobal, dummy.Deprecated),
		address(2, "eth0", "2001:db8::1/64", dummy.ScopeGlobal, 0),
		address(2, "eth0", "fe80::1/64", dummy.ScopeLink, 0),
		address(2, "eth0", "192.0.2.9/24", dummy.ScopeGlobal, dummy.Secondary),
		address(2, "eth0", "192.0.2.10/24", dummy.ScopeGlobal, 0),
		address(3, "eth1", "198.51.100.1/24", dummy.ScopeGlobal, 0),
		address(3, "eth1", "2001:db8:1::1/64", dummy.ScopeGlobal, dummy.Tentative),
		address(1, "lo", "127.0.0.1/8", dummy.ScopeHost, 0),
		address(4, "eth2", "192.0.2.10/24", dummy.ScopeGlobal, 0), // once more
	}
	except := []string{"vipkit0", "cali+"}
	for _, c := range []struct {
		name      string
		selection proxier.AddressSelection
		want      []string
	}{
		{"everything global", proxier.AddressSelection{}, []string{"10.96.0.1", "10.244.0.1", "192.0.2.9", "192.0.2.10", "198.51.100.1", "2001:db8::1", "2001:db8::2"}},
		{"no virtual ones", proxier.AddressSelection{ExceptLinks: except}, []string{"192.0.2.9", "192.0.2.10", "198.51.100.1", "2001:db8::1", "2001:db8::2"}},
		{"primary", proxier.AddressSelection{ExceptLinks: except, Primary: true}, []string{"192.0.2.10", "2001:db8::1"}},
		{"networks", proxier.AddressSelection{CIDRs: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("::/0")}}, []string{"198.51.100.1", "2001:db8::1", "2001:db8::2"}},
		{"the primary one in a network", proxier.AddressSelection{CIDRs: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}, Primary: true}, []string{"198.51.100.1"}},
		{"none", proxier.AddressSelection{CIDRs: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}, nil},
	} {
		var got []string
		for _, a := range c.selection.Select(host) {
			got = append(got, a.String())
		}
		require.Equal(t, c.want, got, c.name)
	}
	require.Equal(t, "vipkit0", host[0].Link, "the caller's slice stays as it is")
}
