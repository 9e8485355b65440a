package kube

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Objects are the objects of a cluster that a proxy needs, in no order. Nothing
// in this package changes them. The zero value is an empty cluster.
type Objects struct {
	Services       []*corev1.Service
	EndpointSlices []*discoveryv1.EndpointSlice
	Nodes          []*corev1.Node

	// origins says where in the input of Decode each object was.
	origins map[ref]position
}

// Node is what a proxy needs to know of the node that it runs on.
type Node struct {
	// Name is metadata.name: endpoints with this nodeName are local.
	Name string
	// Zone is the label topology.kubernetes.io/zone, for topology hints.
	// Empty: no zone, and hints by zone are ignored.
	Zone string
	// Addresses are the node's own: those of type InternalIP and, in a family
	// that has none, those of type ExternalIP.
	Addresses []netip.Addr
	// PodCIDRs are where the node's pods have their addresses.
	PodCIDRs []netip.Prefix
}

// NodeNames returns the names of all nodes, sorted.
func (o *Objects) NodeNames() []string {
	names := make([]string, 0, len(o.Nodes))
	for _, n := range o.Nodes {
		names = append(names, n.Name)
	}
	slices.Sort(names)
	return names
}

// Node returns the node of that name. Where there is none, the error is
// [fs.ErrNotExist] and says which there are. Addresses that do not parse are
// joined [*ObjectError]s, beside the Node without them.
func (o *Objects) Node(name string) (Node, error) {
	i := slices.IndexFunc(o.Nodes, func(n *corev1.Node) bool { return n.Name == name })
	if i < 0 {
		have := strings.Join(o.NodeNames(), ", ")
		return Node{}, &ObjectError{
			Kind: "Node", Name: name,
			Err: fmt.Errorf("%w; nodes: %s", fs.ErrNotExist, cmp.Or(have, "none")),
		}
	}
	n := o.Nodes[i]
	f := o.faultsOf(ref{"Node", "", name})
	node := Node{
		Name:      name,
		Zone:      n.Labels[corev1.LabelTopologyZone],
		Addresses: nodeAddresses(n, f),
		PodCIDRs:  podCIDRs(n, f),
	}
	return node, errors.Join(f.list...)
}

// PodCIDRs returns the pod CIDRs of all nodes, sorted, each once: together
// where the cluster's pods have their addresses. Those that do not parse are
// joined [*ObjectError]s, beside the others.
func (o *Objects) PodCIDRs() ([]netip.Prefix, error) {
	var all []netip.Prefix
	var faults []error
	for _, n := range o.Nodes {
		f := o.faultsOf(ref{"Node", "", n.Name})
		all = append(all, podCIDRs(n, f)...)
		faults = append(faults, f.list...)
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	return slices.Compact(all), errors.Join(faults...)
}

// faultsOf returns an empty collection of faults of the object.
func (o *Objects) faultsOf(r ref) *objectFaults {
	return &objectFaults{at: o.origins[r], of: r}
}

func nodeAddresses(n *corev1.Node, f *objectFaults) []netip.Addr {
	var internal, external []netip.Addr
	for i, a := range n.Status.Addresses {
		if a.Type != corev1.NodeInternalIP && a.Type != corev1.NodeExternalIP {
			continue // a name
		}
		addr, err := parseAddr(a.Address)
		switch {
		case err != nil:
			f.wrap(field("status.addresses", i, "address"), err)
		case a.Type == corev1.NodeInternalIP:
			internal = append(internal, addr)
		default:
			external = append(external, addr)
		}
	}
	addrs := slices.Clone(internal)
	for _, e := range external {
		if !slices.ContainsFunc(internal, func(i netip.Addr) bool { return i.Is4() == e.Is4() }) {
			addrs = append(addrs, e)
		}
	}
	return unique(addrs)
}

func podCIDRs(n *corev1.Node, f *objectFaults) []netip.Prefix {
	var cidrs []netip.Prefix
	for i, s := range n.Spec.PodCIDRs {
		p, err := parsePrefix(s)
		if err != nil {
			f.wrap(field("spec.podCIDRs", i), err)
			continue
		}
		cidrs = append(cidrs, p)
	}
	// podCIDR is podCIDRs[0] again; objects written before Kubernetes 1.16
	// have nothing else.
	if len(n.Spec.PodCIDRs) == 0 && n.Spec.PodCIDR != "" {
		p, err := parsePrefix(n.Spec.PodCIDR)
		if err != nil {
			f.wrap("spec.podCIDR", err)
			return nil
		}
		cidrs = append(cidrs, p)
	}
	return unique(cidrs)
}

// unique returns s without elements that came before, in its order.
func unique[T comparable](s []T) []T {
	var out []T
	seen := make(map[T]bool, len(s))
	for _, v := range s {
		if !seen[v] {
			seen[v] = true
			out = append(out, v)
		}
	}
	return out
}
