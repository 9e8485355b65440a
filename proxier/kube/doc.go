// Package kube turns Kubernetes Services and EndpointSlices into
// [proxier.Service] values. It knows the API's types (k8s.io/api) and no
// client: what a watch, a cache or a file holds goes in as values.
//
// [Decode] reads what "kubectl get services,endpointslices,nodes -A -o yaml"
// prints; [Services] is a pure function from those objects and one [Node].
//
// # What becomes what
//
// Each port of a Service becomes one proxier.Service, named "namespace/name:port"
// after the port's name, "namespace/name" where the port has none. The API keeps
// port names unique within a Service, so names are unique; the result is sorted
// by them. Left out, as kube-proxy does: headless and ExternalName Services, and
// whatever is labelled service.kubernetes.io/service-proxy-name or
// service.kubernetes.io/headless.
//
// Frontends are the cluster IPs, spec.externalIPs, and, where the type has them,
// status.loadBalancer.ingress (ipMode VIP or none; not Proxy, not host names)
// and the node port. An address of a family without cluster IP is not
// programmed, because it could have no endpoints. One that is external and
// load-balancer IP at once counts as the latter, whose source ranges hold.
//
// Endpoints come from every slice of the Service whose port has the same name
// and protocol. Slices of type FQDN and ports without number are skipped; of an
// endpoint's addresses only the first counts (discovery.k8s.io/v1,
// Endpoint.addresses). Absent conditions are ready, serving and not terminating
// (EndpointConditions). One address and port in several slices is one endpoint,
// in the best of its conditions.
//
// Topology hints are taken all or nothing, a family at a time (KEP-2433,
// KEP-3015): if every ready endpoint has node hints and one is for this node,
// the others are [proxier.Endpoint.Elsewhere]; failing that the same by zone;
// failing that hints are ignored.
//
// # Errors
//
// Every fault is an [*ObjectError] that names document, object and field; all
// faults are returned at once, joined, in a fixed order, beside what is right.
// A fault in a Service leaves the whole Service out, as programming half of it
// might open it to the wrong clients. A fault in an EndpointSlice costs that
// endpoint or port, as if it were not ready. A Service that is left out is not
// one that was deleted: who removes what is missing looks at the error first.
// Unknown fields are tolerated, as newer API servers have more; values of the
// wrong type are not.
//
// # Testing
//
// Everything builds and runs on every OS and needs no cluster.
package kube
