package kube

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vipkit/vipkit/proxier"
)

// labelProxyName says that a Service, or a slice of one, is another proxy's.
const labelProxyName = "service.kubernetes.io/service-proxy-name"

// Services returns what the proxy of one node has to serve, sorted by name; the
// package's documentation has the rules. It changes nothing, and the same
// objects in another order give the same result.
//
// The error joins an [*ObjectError] for each fault. The services beside it are
// right; a Service that is missing from them for a fault is named by it.
func Services(objects *Objects, node Node) ([]proxier.Service, error) {
	slicesOf, sliceFaults := readSlices(objects, node)
	var services []proxier.Service
	var faults []error
	for _, s := range sorted(objects.Services) {
		if othersObject(s) || isHeadless(s) || s.Spec.Type == corev1.ServiceTypeExternalName {
			continue
		}
		of := ref{"Service", s.Namespace, s.Name}
		f := objects.faultsOf(of)
		spec := readService(s, f)
		if len(f.list) > 0 {
			faults = append(faults, f.list...)
			continue
		}
		for _, p := range spec.ports {
			services = append(services, spec.service(p, slicesOf[of], node))
		}
	}
	slices.SortFunc(services, func(a, b proxier.Service) int { return cmp.Compare(a.Name, b.Name) })
	return services, errors.Join(append(faults, sliceFaults...)...)
}

// readSlices reads the EndpointSlices of every Service, which are the keys.
func readSlices(objects *Objects, node Node) (map[ref][]endpointSlice, []error) {
	slicesOf := make(map[ref][]endpointSlice)
	var faults []error
	for _, s := range sorted(objects.EndpointSlices) {
		of := ref{"Service", s.Namespace, s.Labels[discoveryv1.LabelServiceName]}
		if of.name == "" || othersObject(s) || s.AddressType == discoveryv1.AddressTypeFQDN {
			continue
		}
		f := objects.faultsOf(ref{"EndpointSlice", s.Namespace, s.Name})
		slicesOf[of] = append(slicesOf[of], readSlice(s, node, f))
		faults = append(faults, f.list...)
	}
	return slicesOf, faults
}

// service returns one port of the Service as the proxier wants it.
func (s serviceSpec) service(p servicePort, from []endpointSlice, node Node) proxier.Service {
	name := s.name
	if p.name != "" {
		name += ":" + p.name
	}
	return proxier.Service{
		Name:         name,
		Protocol:     p.protocol,
		Frontends:    s.frontends(p),
		Endpoints:    endpoints(from, s.families(), p, node),
		Internal:     s.internal,
		External:     s.external,
		SourceRanges: slices.Clone(s.sourceRanges),
		Affinity:     s.affinity,
	}
}

// frontends returns where clients find the port. An address that is there for
// two reasons is there once: as load-balancer IP rather than external IP,
// because source ranges hold for the former.
func (s serviceSpec) frontends(p servicePort) []proxier.Frontend {
	var frontends []proxier.Frontend
	taken := make(map[netip.AddrPort]bool)
	families := s.families()
	add := func(kind proxier.FrontendKind, addrs []netip.Addr, port uint16) {
		for _, a := range addrs {
			at := netip.AddrPortFrom(a, port)
			if families.has(a) && !taken[at] {
				taken[at] = true
				frontends = append(frontends, proxier.Frontend{Kind: kind, Addr: a, Port: port})
			}
		}
	}
	add(proxier.ClusterIP, s.clusterIPs, p.port)
	add(proxier.LoadBalancerIP, s.loadBalancerIPs, p.port)
	add(proxier.ExternalIP, s.externalIPs, p.port)
	if p.nodePort != 0 {
		add(proxier.NodePort, []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}, p.nodePort)
	}
	return frontends
}

// othersObject reports whether the labels keep an object from the proxy, as
// kube-proxy's watches select.
func othersObject(o metav1.Object) bool {
	_, other := o.GetLabels()[labelProxyName]
	_, headless := o.GetLabels()[corev1.IsHeadlessService]
	return other || headless
}

func isHeadless(s *corev1.Service) bool {
	return s.Spec.ClusterIP == corev1.ClusterIPNone ||
		len(s.Spec.ClusterIPs) > 0 && s.Spec.ClusterIPs[0] == corev1.ClusterIPNone
}

// sorted returns the objects by namespace and name.
func sorted[T metav1.Object](objects []T) []T {
	return slices.SortedStableFunc(slices.Values(objects), func(a, b T) int {
		return cmp.Or(
			cmp.Compare(a.GetNamespace(), b.GetNamespace()),
			cmp.Compare(a.GetName(), b.GetName()),
		)
	})
}
