package kube

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/proxier"
)

// endpointSlice is what an EndpointSlice says, read and checked.
type endpointSlice struct {
	ports     []servicePort
	endpoints []candidate
}

// candidate is an endpoint and what else its slice says of it.
type candidate struct {
	proxier.Endpoint

	hints *discoveryv1.EndpointHints
	slice *settings
}

// readSlice reads a slice of IP addresses. Whatever in it has a fault is left
// out.
func readSlice(s *discoveryv1.EndpointSlice, node Node, f *objectFaults) endpointSlice {
	var read endpointSlice
	settings := readAnnotations(s.Annotations, true, f)
	family := vipkit.IPv4
	switch s.AddressType {
	case discoveryv1.AddressTypeIPv4:
	case discoveryv1.AddressTypeIPv6:
		family = vipkit.IPv6
	default:
		f.add("addressType", "%q, want IPv4, IPv6 or FQDN", s.AddressType)
		return read
	}
	for i, p := range s.Ports {
		if port, ok := readSlicePort(p, i, f); ok {
			read.ports = append(read.ports, port)
		}
	}
	for i, e := range s.Endpoints {
		if len(e.Addresses) == 0 {
			f.add(field("endpoints", i, "addresses"), "empty")
			continue
		}
		addr, err := parseAddr(e.Addresses[0])
		if have := vipkit.FamilyOf(addr); err == nil && have != family {
			err = fmt.Errorf("%v is %v in a slice of addressType %v", addr, have, family)
		}
		if err != nil {
			f.wrap(field("endpoints", i, "addresses[0]"), err)
			continue
		}
		read.endpoints = append(read.endpoints, readEndpoint(e, addr, node, settings))
	}
	return read
}

// readSlicePort reads a port of a slice. One without number is every port of
// the endpoint, which a Service cannot mean (EndpointPort.port).
func readSlicePort(p discoveryv1.EndpointPort, i int, f *objectFaults) (servicePort, bool) {
	if p.Port == nil {
		return servicePort{}, false
	}
	port, portErr := parsePort(*p.Port)
	if portErr != nil {
		f.wrap(field("ports", i, "port"), portErr)
	}
	protocol, protocolErr := parseProtocol(deref(p.Protocol, corev1.ProtocolTCP))
	if protocolErr != nil {
		f.wrap(field("ports", i, "protocol"), protocolErr)
	}
	read := servicePort{name: deref(p.Name, ""), protocol: protocol, port: port}
	return read, portErr == nil && protocolErr == nil
}

// readEndpoint gives absent conditions the meaning that the API gives them
// (discovery.k8s.io/v1, EndpointConditions).
func readEndpoint(e discoveryv1.Endpoint, addr netip.Addr, node Node, slice *settings) candidate {
	return candidate{
		Endpoint: proxier.Endpoint{
			Addr:        addr,
			Local:       node.Name != "" && deref(e.NodeName, "") == node.Name,
			Ready:       deref(e.Conditions.Ready, true),
			Serving:     deref(e.Conditions.Serving, true),
			Terminating: deref(e.Conditions.Terminating, false),
		},
		hints: e.Hints,
		slice: slice,
	}
}

// endpoints returns who answers for a port of the Service, by address and port.
func (s serviceSpec) endpoints(p servicePort, from []endpointSlice, node Node) []proxier.Endpoint {
	var found []candidate
	of := s.families()
	for _, slice := range from {
		for _, sp := range slice.ports {
			if sp.name != p.name || sp.protocol != p.protocol {
				continue
			}
			for _, c := range slice.endpoints {
				if of.has(c.Addr) {
					c.Port = sp.port
					c.Ready = c.Ready || s.allReady
					found = append(found, c)
				}
			}
		}
	}
	// IPv4 sorts before IPv6, and what slices say of one endpoint best first.
	slices.SortStableFunc(found, func(a, b candidate) int {
		return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Port, b.Port), cmp.Compare(b.rank(), a.rank()))
	})
	found = slices.CompactFunc(found, func(a, b candidate) bool {
		return a.Addr == b.Addr && a.Port == b.Port
	})
	ipv6 := slices.IndexFunc(found, func(c candidate) bool { return c.Addr.Is6() })
	if ipv6 < 0 {
		ipv6 = len(found)
	}
	applyHints(found[:ipv6], node)
	applyHints(found[ipv6:], node)
	if len(found) == 0 {
		return nil
	}
	endpoints := make([]proxier.Endpoint, len(found))
	for i, c := range found {
		l := loadOf(s.settings, c.slice)
		endpoints[i] = c.Endpoint
		endpoints[i].Weight, endpoints[i].Upper, endpoints[i].Lower = deref(l.weight, 1), l.upper, l.lower
	}
	return endpoints
}

// rank orders what slices say of the same endpoint: ready before serving and
// terminating before anything else, and of equals the one that knows that it is
// on this node.
func (c candidate) rank() int {
	rank := 0
	switch {
	case c.Ready:
		rank = 4
	case c.Serving && c.Terminating:
		rank = 2
	}
	if c.Local {
		rank++
	}
	return rank
}

func deref[T any](p *T, absent T) T {
	if p == nil {
		return absent
	}
	return *p
}
