package kube

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vipkit/vipkit/proxier"
)

// labelProxyName says that a Service, or a slice of one, is another proxy's.
const labelProxyName = "service.kubernetes.io/service-proxy-name"

// Services returns what the proxy of one node has to serve, sorted by name. It
// changes nothing, and the same objects in another order give the same result.
//
// Frontends are the cluster IPs, spec.externalIPs, and, where the type has them,
// status.loadBalancer.ingress (ipMode VIP or none; not Proxy, not host names)
// and the node port. An address of a family without cluster IP is not
// programmed, because it could have no endpoints. One that is external and
// load-balancer IP at once counts as the latter, whose source ranges hold: those
// of spec.loadBalancerSourceRanges or, where it is empty, of the annotation
// service.beta.kubernetes.io/load-balancer-source-ranges.
//
// Endpoints come from every slice of the Service whose port has the same name
// and protocol. Slices of type FQDN and ports without number are skipped; of an
// endpoint's addresses only the first counts. Absent conditions are ready, serving
// and not terminating; with spec.publishNotReadyAddresses all are ready. One
// address and port in several slices is one endpoint, in the best of its
// conditions, and among equals as the first slice by name says.
//
// Topology hints are taken all or nothing, a family at a time (KEP-2433,
// KEP-3015): if every ready endpoint has node hints and one is for this node,
// the others are [proxier.Endpoint.Elsewhere]; failing that the same by zone;
// failing that hints are ignored. They are how spec.trafficDistribution reaches a
// proxy: the EndpointSlice controller writes them, and its value is not read here.
//
// The health check's node port counts with type LoadBalancer and external policy
// Local only. Session affinity that says no timeout has three hours.
//
// The error joins an [*ObjectError] for each fault. The services beside it are
// right; a Service that is missing from them for a fault is named by it.
func Services(objects *Objects, node Node) ([]proxier.Service, error) {
	slicesOf := make(map[ref][]endpointSlice)
	var sliceFaults []error
	for _, s := range sorted(objects.EndpointSlices) {
		of, ok := serviceOf(s)
		if !ok {
			continue
		}
		f := objects.faultsOf(ref{kindSlice, s.Namespace, s.Name})
		slicesOf[of] = append(slicesOf[of], readSlice(s, node, f))
		sliceFaults = append(sliceFaults, f.list...)
	}
	var services []proxier.Service
	var faults []error
	for _, s := range sorted(objects.Services) {
		of := ref{kindService, s.Namespace, s.Name}
		f := objects.faultsOf(of)
		services = translate(services, s, slicesOf[of], node, f)
		faults = append(faults, f.list...)
	}
	slices.SortFunc(services, byName)
	return services, errors.Join(append(faults, sliceFaults...)...)
}

// Kinds of objects, as faults name them.
const (
	kindService = "Service"
	kindSlice   = "EndpointSlice"
)

func byName(a, b proxier.Service) int { return strings.Compare(a.Name, b.Name) }

// serviceOf returns whose endpoints a slice holds, if it is one for the proxy.
func serviceOf(s *discoveryv1.EndpointSlice) (ref, bool) {
	of := ref{kindService, s.Namespace, s.Labels[discoveryv1.LabelServiceName]}
	return of, of.name != "" && !othersObject(s) && s.AddressType != discoveryv1.AddressTypeFQDN
}

// translate appends the ports of a Service as the proxier wants them: none if
// they are not for the proxy, or if there is a fault.
func translate(services []proxier.Service, s *corev1.Service, from []endpointSlice, node Node, f *objectFaults) []proxier.Service {
	if othersObject(s) || isHeadless(s) || s.Spec.Type == corev1.ServiceTypeExternalName {
		return services
	}
	spec := readService(s, f)
	if len(f.list) > 0 {
		return services
	}
	before := len(services)
	for i, p := range spec.ports {
		services = append(services, spec.service(p, from, node))
		spec.settings.checkEndpoints(&services[before+i], i, p, f)
	}
	if len(f.list) > 0 {
		return services[:before]
	}
	return services
}

// service returns one port of the Service as the proxier wants it.
func (s serviceSpec) service(p servicePort, from []endpointSlice, node Node) proxier.Service {
	name := s.name
	if p.name != "" {
		name += ":" + p.name
	}
	service := proxier.Service{
		Name:            name,
		Protocol:        p.protocol,
		Frontends:       s.frontends(p),
		Endpoints:       s.endpoints(p, from, node),
		Internal:        s.internal,
		External:        s.external,
		SourceRanges:    slices.Clone(s.sourceRanges),
		Affinity:        s.affinity,
		HealthCheckPort: s.healthCheckPort,
	}
	s.settings.apply(&service)
	return service
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
