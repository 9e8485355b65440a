package proxier

import (
	"net/netip"
	"time"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipvs"
)

// Service is what a caller wants: one port of one protocol, reachable through
// frontends, answered by endpoints. Both address families go into one Service.
// The JSON form has the field names in lower camel case.
type Service struct {
	// Name identifies the service, as in "kube-system/kube-dns:dns". It is
	// 1–255 bytes without quotation marks and control characters, because
	// the kernel keeps it as a set entry's comment.
	Name string `json:"name"`
	// Protocol is TCP, UDP or SCTP.
	Protocol vipkit.Protocol `json:"protocol"`
	// Frontends are where clients find the service. None is allowed.
	Frontends []Frontend `json:"frontends,omitempty"`
	// Endpoints are who answers, in no order. None is allowed. Each is used
	// for the frontends of its own family.
	Endpoints []Endpoint `json:"endpoints,omitempty"`

	// Internal is the policy of ClusterIP frontends, External that of all
	// others (Kubernetes: internalTrafficPolicy, externalTrafficPolicy).
	Internal Policy `json:"internal,omitzero"`
	External Policy `json:"external,omitzero"`
	// SourceRanges are the client networks that may use LoadBalancerIP
	// frontends, the host itself not excepted. None: everybody may. A family
	// that has no range while the other has one admits nobody.
	SourceRanges []netip.Prefix `json:"sourceRanges,omitempty"`
	// Affinity keeps a client with its endpoint.
	Affinity Affinity `json:"affinity,omitzero"`
	// Scheduler is an IPVS scheduler by the kernel's name. Empty:
	// [Config.Scheduler].
	Scheduler string `json:"scheduler,omitempty"`
	// Flags are the scheduler's flags and one-packet scheduling.
	Flags ipvs.Flags `json:"flags,omitempty"`
	// Forward is how packets reach the endpoints, and Tunnel the encapsulation
	// of [Tunnel].
	Forward Forward           `json:"forward,omitzero"`
	Tunnel  ipvs.TunnelConfig `json:"tunnel,omitzero"`
	// HealthCheckPort is a TCP port of this host at which a load balancer asks
	// whether this node has endpoints, also at the LoadBalancerIP frontends
	// (Kubernetes: healthCheckNodePort). The caller answers there. Zero: none.
	HealthCheckPort uint16 `json:"healthCheckPort,omitempty"`
	// WithoutEndpoints is what a client meets when there is no usable
	// endpoint anywhere.
	WithoutEndpoints Verdict `json:"withoutEndpoints,omitzero"`
}

// Frontend is an address and port at which clients find a service. It is
// comparable.
type Frontend struct {
	Kind FrontendKind `json:"kind"`
	// Addr is the virtual address. For NodePort it is the unspecified address
	// of a family, 0.0.0.0 or ::, and stands for [Config.NodeAddresses] of
	// that family. For HostPort it is one of [Config.HostAddresses], or the
	// unspecified address for all of them.
	Addr netip.Addr `json:"addr"`
	// Port is 1–65535.
	Port uint16 `json:"port"`
}

// FrontendKind tells frontends apart where policies do.
type FrontendKind uint8

// Kinds of frontend.
const (
	ClusterIP FrontendKind = iota + 1
	ExternalIP
	LoadBalancerIP
	NodePort
	HostPort
)

// virtual reports whether frontends of the kind have addresses that are bound
// for them; the others have the host's own.
func (k FrontendKind) virtual() bool { return k != NodePort && k != HostPort }

// Endpoint is one address and port that answers for a service. It is
// comparable. The zero values of Weight and Ready are not what most want: see
// [ReadyEndpoint].
type Endpoint struct {
	Addr netip.Addr `json:"addr"`
	// Port is 1–65535.
	Port uint16 `json:"port"`
	// Weight is 0–65535. Zero is no new connections, never a default.
	Weight uint32 `json:"weight"`
	// Upper and Lower are IPVS's connection thresholds; zero: no limit.
	Upper uint32 `json:"upper,omitempty"`
	Lower uint32 `json:"lower,omitempty"`
	// Local says that the endpoint is on this node: local policies choose it,
	// and it can meet itself (hairpin).
	Local bool `json:"local,omitempty"`
	// Ready, Serving and Terminating are the conditions of a Kubernetes
	// EndpointSlice. Ready endpoints are used; where there is none, those
	// that are serving and terminating.
	Ready       bool `json:"ready,omitempty"`
	Serving     bool `json:"serving,omitempty"`
	Terminating bool `json:"terminating,omitempty"`
	// Elsewhere says that topology hints give the endpoint to other nodes:
	// policy Cluster does not use it here.
	Elsewhere bool `json:"elsewhere,omitempty"`
}

// ReadyEndpoint returns a ready endpoint of weight 1 somewhere in the cluster.
func ReadyEndpoint(a netip.AddrPort) Endpoint {
	return Endpoint{Addr: a.Addr(), Port: a.Port(), Weight: 1, Ready: true, Serving: true}
}

// Policy says which endpoints a kind of frontend may use.
type Policy uint8

// Policies. The zero value is Cluster.
const (
	Cluster Policy = iota // all endpoints
	Local                 // those on this node
)

// Forward is how packets reach the endpoints of a service.
type Forward uint8

// Ways of forwarding. The zero value is Masquerade.
const (
	// Masquerade translates the destination; the answer comes back through this
	// host. Clients keep their address where the policy lets them.
	Masquerade Forward = iota
	// FullNAT translates the source as well, for every client: for endpoints
	// that do not route their answers through this host.
	FullNAT
	// Direct leaves the packet as it is and sends it to the endpoint's link
	// address; the answer goes straight to the client. The endpoint must be a
	// neighbour of this host, and hold the virtual address quietly (package
	// realserver), so node ports and host ports cannot be had. Ports are not
	// translated, nobody gets source NAT, and neither this host nor an endpoint
	// is a client: the answer would come from an address of their own.
	// Conntrack sees one direction only: when the service goes, its connections
	// are cut.
	Direct
	// Tunnel sends the packet as it is inside another one, to an endpoint
	// anywhere. Otherwise it is as Direct.
	Tunnel
)

// translates reports whether packets get the endpoint's address.
func (f Forward) translates() bool { return f == Masquerade || f == FullNAT }

// Verdict is what becomes of a packet that nobody can answer.
type Verdict uint8

// Verdicts. The zero value is Reject.
const (
	Reject Verdict = iota // ICMP port unreachable
	Drop                  // silence
)

// Affinity keeps a client with the endpoint that it got first. It is
// comparable.
//
// Clients from outside of a service with external policy Local, whose endpoints
// have another port than its frontends, are kept by a hash of their address
// (scheduler sh) instead: IPVS has no persistence there. Timeout and bits then
// mean nothing, and a client moves when its endpoint goes.
type Affinity struct {
	// Timeout since the client's last packet, in whole seconds, 1 s to 24 h
	// (Kubernetes: sessionAffinityConfig.clientIP.timeoutSeconds). Zero: no
	// affinity.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Bits4 and Bits6 are the prefix lengths at which clients count as one,
	// 1–32 and 1–128. Zero: each address for itself.
	Bits4 uint8 `json:"bits4,omitempty"`
	Bits6 uint8 `json:"bits6,omitempty"`
}
