// Package kube turns Kubernetes Services and EndpointSlices into
// [proxier.Service] values. It knows the API's types (k8s.io/api) and no
// client: what a watch, a cache or a file holds goes in as values.
//
// [Decode] reads what "kubectl get services,endpointslices,nodes -A -o yaml"
// prints; [Services] is a pure function from those objects and one [Node]; a
// [Tracker] takes the events of a watch and yields what changed.
//
// # What becomes what
//
// Each port of a Service becomes one proxier.Service, named "namespace/name:port"
// after the port's name, "namespace/name" where the port has none. The API keeps
// port names unique within a Service, so names are unique; the result is sorted
// by them. Left out, as kube-proxy does: headless and ExternalName Services, and
// whatever is labelled service.kubernetes.io/service-proxy-name or
// service.kubernetes.io/headless. [Services] says where frontends, endpoints and
// topology hints come from.
//
// # Annotations
//
// What the API has no field for is said in annotations of a Service. Those of the
// last three lines are also for an EndpointSlice, where they hold for its
// endpoints and go before the Service's; thresholds together.
//
//	vipkit.github.io/scheduler            rr, wrr, lc, wlc, lblc, lblcr, sh, mh, dh, sed, nq, fo or ovf
//	vipkit.github.io/scheduler-flags      sh-fallback,sh-port or mh-fallback,mh-port, or one of them
//	vipkit.github.io/one-packet           true or false; of its UDP ports
//	vipkit.github.io/forwarding           masquerade, full-nat, direct, tunnel-ipip, tunnel-gre or tunnel-gue
//	vipkit.github.io/tunnel-port          1–65535, with tunnel-gue
//	vipkit.github.io/affinity-prefix-ipv4 1–32, with spec.sessionAffinity ClientIP
//	vipkit.github.io/affinity-prefix-ipv6 1–128, likewise
//	vipkit.github.io/without-endpoints    reject or drop
//	vipkit.github.io/weight               0–65535; 0 is no new connections, and rr heeds no other
//	vipkit.github.io/upper-threshold      1–2147483647 connections
//	vipkit.github.io/lower-threshold      the same, at most upper-threshold
//
// A name or value that is not in the table is a fault, and so is what cannot be
// had together: direct and tunnels need endpoints that hold the virtual address and
// have the Service's port, so that there can be no node port; full-nat hides the
// clients that external policy Local shows.
//
// # Errors
//
// Every fault is an [*ObjectError] that names document, object and field; all
// faults are returned at once, joined, in a fixed order, beside what is right.
// A fault in a Service leaves the whole Service out, as programming half of it
// might open it to the wrong clients. A fault in an EndpointSlice costs that
// endpoint or port, as if it were not ready, or that annotation. A Service that is
// left out is not one that was deleted: who removes what is missing looks at the
// error first, and a Tracker keeps what it had. Unknown fields are tolerated, as
// newer API servers have more; values of the wrong type are not.
//
// # Testing
//
// Everything builds and runs on every OS and needs no cluster.
package kube
