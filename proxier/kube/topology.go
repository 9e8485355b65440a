package kube

import (
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
)

// applyHints marks the endpoints that topology hints give to other nodes.
// The endpoints are those of one port and one family.
//
// Hints of one dimension count only if every ready endpoint has some and at
// least one of them is for this node; while a controller is still writing
// them, or for a node that it does not know yet, traffic goes everywhere
// rather than nowhere. Hints for nodes (EndpointHints.forNodes) go before those
// for zones (forZones). Endpoints that are not ready have no say and are never
// marked: they are used when there is no ready one anywhere.
func applyHints(endpoints []candidate, node Node) {
	dimensions := []func(discoveryv1.EndpointHints) (some, here bool){
		func(h discoveryv1.EndpointHints) (bool, bool) {
			return len(h.ForNodes) > 0, node.Name != "" && slices.Contains(h.ForNodes, discoveryv1.ForNode{Name: node.Name})
		},
		func(h discoveryv1.EndpointHints) (bool, bool) {
			return len(h.ForZones) > 0, node.Zone != "" && slices.Contains(h.ForZones, discoveryv1.ForZone{Name: node.Zone})
		},
	}
	for _, hinted := range dimensions {
		everyOne, anyHere := true, false
		for _, c := range endpoints {
			if !c.Ready {
				continue
			}
			some, here := hinted(c.topologyHints())
			everyOne, anyHere = everyOne && some, anyHere || here
		}
		if !everyOne || !anyHere {
			continue
		}
		for i, c := range endpoints {
			_, here := hinted(c.topologyHints())
			endpoints[i].Elsewhere = c.Ready && !here
		}
		return
	}
}

// topologyHints returns the endpoint's hints, none if it has none.
func (c candidate) topologyHints() discoveryv1.EndpointHints {
	return deref(c.hints, discoveryv1.EndpointHints{})
}
