package proxier

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/dummy"
)

// AddressSelection says which of a host's addresses are NodeAddresses. Its zero
// value selects every global one: not those of loopback and link-local scope,
// nor those that duplicate address detection has not confirmed.
type AddressSelection struct {
	// CIDRs are networks of which a selected address is in one (Kubernetes:
	// KubeProxyConfiguration.nodePortAddresses). None: any.
	CIDRs []netip.Prefix
	// Primary selects one address a family, of those that are left: neither
	// secondary nor deprecated if there is such a one, then that of the link
	// with the lowest number (Kubernetes: nodePortAddresses "primary").
	Primary bool
	// ExceptLinks are links whose addresses are left out; with a "+" at its end
	// a name stands for all that begin so. The link of a Proxier ([Proxier.Link])
	// belongs here, and bridges of containers.
	ExceptLinks []string
}

// Select returns the addresses that are selected, each once, sorted: a value
// for [Config.NodeAddresses], and without CIDRs and Primary for
// [Config.HostAddresses]. [dummy.HostAddresses] reads what a host has.
func (s AddressSelection) Select(host []dummy.HostAddress) []netip.Addr {
	left := slices.DeleteFunc(slices.Clone(host), func(a dummy.HostAddress) bool { return !s.admits(a) })
	slices.SortFunc(left, func(a, b dummy.HostAddress) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Index, b.Index), a.Prefix.Addr().Compare(b.Prefix.Addr()))
	})
	var selected []netip.Addr
	var have [2]bool
	for _, a := range left {
		i := familyIndex(vipkit.FamilyOf(a.Prefix.Addr()))
		if !s.Primary || !have[i] {
			selected = append(selected, a.Prefix.Addr())
			have[i] = true
		}
	}
	slices.SortFunc(selected, netip.Addr.Compare)
	return slices.Compact(selected)
}

func (s AddressSelection) admits(a dummy.HostAddress) bool {
	addr := a.Prefix.Addr()
	if a.Scope != dummy.ScopeGlobal || !a.Usable() || notUnicast(addr) != "" {
		return false
	}
	if slices.ContainsFunc(s.ExceptLinks, func(name string) bool {
		prefix, wild := strings.CutSuffix(name, "+")
		return a.Link == name || wild && strings.HasPrefix(a.Link, prefix)
	}) {
		return false
	}
	return len(s.CIDRs) == 0 || slices.ContainsFunc(s.CIDRs, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// rank is lower for addresses that a host would rather show.
func rank(a dummy.HostAddress) int {
	if a.Flags&(dummy.Secondary|dummy.Deprecated) != 0 {
		return 1
	}
	return 0
}
