package proxier

import "github.com/vipkit/vipkit"

// choice is which endpoints of a service a frontend of one family and kind
// uses: the truth table's answer.
type choice struct {
	// endpoints are those of the virtual server at the address.
	endpoints []Endpoint
	// outside are those for clients from outside where policy Local makes a
	// difference by source; none where it does not, or where there is none on
	// this node and such clients are dropped.
	outside []Endpoint
	// drop says that every packet vanishes.
	drop bool
}

// choose applies policies and conditions. With no usable endpoint anywhere, a
// virtual server without destinations rejects: IPVS answers with port
// unreachable (net/netfilter/ipvs/ip_vs_core.c, ip_vs_leave).
func choose(svc Service, f vipkit.Family, kind FrontendKind) choice {
	local := func() []Endpoint { return usable(svc.Endpoints, f, func(e Endpoint) bool { return e.Local }) }
	all := usable(svc.Endpoints, f, func(e Endpoint) bool { return !e.Elsewhere })
	if len(all) == 0 { // hints that leave nothing are no hints
		all = usable(svc.Endpoints, f, func(Endpoint) bool { return true })
	}
	switch {
	case len(all) == 0:
		return choice{drop: svc.WithoutEndpoints == Drop}
	case kind == ClusterIP && svc.Internal == Local:
		here := local()
		return choice{endpoints: here, drop: len(here) == 0}
	case kind != ClusterIP && svc.External == Local:
		return choice{endpoints: all, outside: local()}
	}
	return choice{endpoints: all}
}

// usable returns the endpoints of a family, among those that here admits, that
// may be used: those that are ready, and if there is none, those that are serving
// and terminating (Kubernetes: EndpointConditions, KEP-1669).
func usable(endpoints []Endpoint, f vipkit.Family, here func(Endpoint) bool) []Endpoint {
	if ready := filter(endpoints, f, here, func(e Endpoint) bool { return e.Ready }); len(ready) > 0 {
		return ready
	}
	return filter(endpoints, f, here, func(e Endpoint) bool { return e.Serving && e.Terminating })
}

func filter(endpoints []Endpoint, f vipkit.Family, here, ok func(Endpoint) bool) []Endpoint {
	chosen := make([]Endpoint, 0, len(endpoints))
	for _, e := range endpoints {
		if vipkit.FamilyOf(e.Addr) == f && here(e) && ok(e) {
			chosen = append(chosen, e)
		}
	}
	return chosen
}

// needsMark reports whether the service has a virtual server by firewall mark:
// an external frontend with policy Local and an endpoint on this node.
func needsMark(svc Service) bool {
	if svc.External != Local {
		return false
	}
	for _, fe := range svc.Frontends {
		if fe.Kind != ClusterIP && len(choose(svc, vipkit.FamilyOf(fe.Addr), fe.Kind).outside) > 0 {
			return true
		}
	}
	return false
}
