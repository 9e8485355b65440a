package kube

import (
	"slices"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/proxier"
)

// settings are what annotations of a Service or an EndpointSlice say. Nil says
// nothing.
type settings struct {
	scheduler string
	// flags are those of the scheduler, and flagsOf is the scheduler that they
	// are for.
	flags            ipvs.Flags
	flagsOf          string
	onePacket        bool
	forwarding       forwarding
	tunnelPort       uint16
	bits4, bits6     uint8
	withoutEndpoints proxier.Verdict
	load             load
}

// load is what an endpoint can take. Nil and zero say nothing.
type load struct {
	weight       *uint32
	upper, lower uint32
}

// loadOf returns what an endpoint can take, of which its Service and its slice
// both speak: the slice's word counts. The thresholds go together, as a lower one
// means nothing without its upper one.
func loadOf(service, slice *settings) load {
	var l load
	if service != nil {
		l = service.load
	}
	if slice != nil && slice.load.weight != nil {
		l.weight = slice.load.weight
	}
	if slice != nil && slice.load.upper != 0 {
		l.upper, l.lower = slice.load.upper, slice.load.lower
	}
	return l
}

// forwarding is a value of the annotation.
type forwarding struct {
	name   string
	way    proxier.Forward
	tunnel ipvs.TunnelType
}

var forwardings = []forwarding{
	{name: "masquerade", way: proxier.Masquerade},
	{name: "full-nat", way: proxier.FullNAT},
	{name: "direct", way: proxier.Direct},
	{name: "tunnel-ipip", way: proxier.Tunnel, tunnel: ipvs.IPIP},
	{name: "tunnel-gre", way: proxier.Tunnel, tunnel: ipvs.GRE},
	{name: "tunnel-gue", way: proxier.Tunnel, tunnel: ipvs.GUE},
}

// translates reports whether packets get the endpoint's address and port.
func (w forwarding) translates() bool {
	return w.way == proxier.Masquerade || w.way == proxier.FullNAT
}

// check adds the faults that a Service's annotations have together with each
// other and with its fields. Those that are wrong by themselves are absent from
// s, but not from the Service: nothing more is said of them.
func (s *settings) check(spec *serviceSpec, all map[string]string, f *objectFaults) {
	if s == nil {
		return
	}
	wrong := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return f.has(annotationField(n)) })
	}
	add := func(name, format string, args ...any) {
		if value, there := all[AnnotationPrefix+name]; there && !wrong(name) {
			f.add(annotationField(name), "%q"+format, append([]any{value}, args...)...)
		}
	}
	if s.flagsOf != "" && s.flagsOf != s.scheduler && !wrong(annScheduler) {
		add(annSchedulerFlags, ", want %s %q with them", annScheduler, s.flagsOf)
	}
	if s.onePacket && !slices.ContainsFunc(spec.ports, func(p servicePort) bool { return p.protocol == vipkit.UDP }) {
		add(annOnePacket, ", but no port is UDP")
	}
	gue := s.forwarding.tunnel == ipvs.GUE
	if !gue && !wrong(annForwarding) {
		add(annTunnelPort, ", but %s is not tunnel-gue", annForwarding)
	}
	if gue && s.tunnelPort == 0 && !wrong(annTunnelPort) {
		add(annForwarding, ", want the UDP port in %s with it", annTunnelPort)
	}
	if s.forwarding.way == proxier.FullNAT && spec.external == proxier.Local {
		add(annForwarding, " hides the client's address, which spec.externalTrafficPolicy Local keeps")
	}
	for i, p := range spec.ports {
		if !s.forwarding.translates() && p.nodePort != 0 {
			add(annForwarding, " needs virtual addresses, which endpoints hold too, but %s is %d",
				field("spec.ports", i, "nodePort"), p.nodePort)
			break
		}
	}
	if spec.affinity.Timeout == 0 && !f.has("spec.sessionAffinity") {
		add(annAffinityIPv4, ", but spec.sessionAffinity is not ClientIP")
		add(annAffinityIPv6, ", but spec.sessionAffinity is not ClientIP")
	}
}

// checkEndpoints adds a fault if the way of forwarding does not reach the
// endpoints of the i-th port.
func (s *settings) checkEndpoints(of *proxier.Service, i int, p servicePort, f *objectFaults) {
	if s == nil || s.forwarding.translates() {
		return
	}
	for _, e := range of.Endpoints {
		if e.Port != p.port {
			f.add(annotationField(annForwarding), "%q does not translate ports, but %s is %d and endpoint %v has %d",
				s.forwarding.name, field("spec.ports", i, "port"), p.port, e.Addr, e.Port)
			return
		}
	}
}

// apply writes into the service what the annotations say.
func (s *settings) apply(to *proxier.Service) {
	if s == nil {
		return
	}
	to.Scheduler, to.Flags = s.scheduler, s.flags
	if s.onePacket && to.Protocol == vipkit.UDP {
		to.Flags |= ipvs.OnePacket
	}
	to.Forward = s.forwarding.way
	to.Tunnel = ipvs.TunnelConfig{Type: s.forwarding.tunnel, Port: s.tunnelPort}
	to.Affinity.Bits4, to.Affinity.Bits6 = s.bits4, s.bits6
	to.WithoutEndpoints = s.withoutEndpoints
}
