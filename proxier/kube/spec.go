package kube

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/proxier"
)

// serviceSpec is what a Service says, read and checked.
type serviceSpec struct {
	name            string // namespace/name
	ports           []servicePort
	clusterIPs      []netip.Addr
	externalIPs     []netip.Addr
	loadBalancerIPs []netip.Addr
	internal        proxier.Policy
	external        proxier.Policy
	sourceRanges    []netip.Prefix
	affinity        proxier.Affinity
	healthCheckPort uint16 // zero: none
	allReady        bool   // spec.publishNotReadyAddresses
	settings        *settings
}

type servicePort struct {
	name     string
	protocol vipkit.Protocol
	port     uint16
	nodePort uint16 // zero: none
}

// families says for which address families a Service is.
type families struct{ ipv4, ipv6 bool }

func (f families) has(a netip.Addr) bool {
	return a.Is4() && f.ipv4 || a.Is6() && f.ipv6
}

// families returns the families of the cluster IPs, to which spec.ipFamilies
// corresponds (v1, ServiceSpec.clusterIPs).
func (s serviceSpec) families() families {
	var f families
	for _, a := range s.clusterIPs {
		f.ipv4, f.ipv6 = f.ipv4 || a.Is4(), f.ipv6 || a.Is6()
	}
	return f
}

// readService reads a Service that is neither headless nor an external name.
func readService(s *corev1.Service, f *objectFaults) serviceSpec {
	if err := checkLabel(s.Namespace); err != nil {
		f.wrap("metadata.namespace", err)
	}
	if err := checkLabel(s.Name); err != nil {
		f.wrap("metadata.name", err)
	}
	spec := serviceSpec{name: s.Namespace + "/" + s.Name, allReady: s.Spec.PublishNotReadyAddresses}
	nodePorts, balanced := false, false
	switch s.Spec.Type {
	case corev1.ServiceTypeClusterIP, "":
	case corev1.ServiceTypeNodePort:
		nodePorts = true
	case corev1.ServiceTypeLoadBalancer:
		nodePorts, balanced = true, true
	default:
		f.add("spec.type", "%q, want ClusterIP, NodePort, LoadBalancer or ExternalName", s.Spec.Type)
	}
	spec.readPorts(s.Spec.Ports, nodePorts, f)
	spec.readAddresses(&s.Spec, f)
	if balanced {
		spec.readLoadBalancer(s, f)
	}
	spec.readPolicies(&s.Spec, f)
	if balanced {
		spec.readHealthCheck(&s.Spec, f)
	}
	spec.settings = readAnnotations(s.Annotations, false, f)
	spec.settings.check(&spec, s.Annotations, f)
	return spec
}

func (spec *serviceSpec) readPorts(ports []corev1.ServicePort, nodePorts bool, f *objectFaults) {
	if len(ports) == 0 {
		f.add("spec.ports", "empty")
	}
	named := make(map[string]int, len(ports))
	for i, p := range ports {
		path := func(within string) string { return field("spec.ports", i, within) }
		read := servicePort{name: p.Name}
		var err error
		if p.Name != "" {
			if err := checkLabel(p.Name); err != nil {
				f.wrap(path("name"), err)
			}
		}
		if j, ok := named[p.Name]; ok {
			f.add(path("name"), "%q is the name of spec.ports[%d] already", p.Name, j)
		}
		named[p.Name] = i
		if read.protocol, err = parseProtocol(p.Protocol); err != nil {
			f.wrap(path("protocol"), err)
		}
		if read.port, err = parsePort(p.Port); err != nil {
			f.wrap(path("port"), err)
		}
		if nodePorts && p.NodePort != 0 {
			if read.nodePort, err = parsePort(p.NodePort); err != nil {
				f.wrap(path("nodePort"), err)
			}
		}
		spec.ports = append(spec.ports, read)
	}
}

func (spec *serviceSpec) readAddresses(s *corev1.ServiceSpec, f *objectFaults) {
	switch {
	case len(s.ClusterIPs) == 0 && s.ClusterIP == "":
		f.add("spec.clusterIP", "empty: the API server has not given the Service an address")
	case len(s.ClusterIPs) == 0:
		if a, err := parseAddr(s.ClusterIP); err != nil {
			f.wrap("spec.clusterIP", err)
		} else {
			spec.clusterIPs = append(spec.clusterIPs, a)
		}
	case s.ClusterIP != "" && s.ClusterIP != s.ClusterIPs[0]:
		f.add("spec.clusterIPs[0]", "%q is not spec.clusterIP, %q", s.ClusterIPs[0], s.ClusterIP)
	}
	for i, ip := range s.ClusterIPs {
		a, err := parseAddr(ip)
		if err != nil {
			f.wrap(field("spec.clusterIPs", i), err)
			continue
		}
		spec.clusterIPs = append(spec.clusterIPs, a)
		if have := vipkit.FamilyOf(a).String(); i < len(s.IPFamilies) && string(s.IPFamilies[i]) != have {
			f.add(field("spec.ipFamilies", i), "%q, but spec.clusterIPs[%d], %v, is %s", s.IPFamilies[i], i, a, have)
		}
	}
	for i, ip := range s.ExternalIPs {
		a, err := parseAddr(ip)
		if err != nil {
			f.wrap(field("spec.externalIPs", i), err)
			continue
		}
		spec.externalIPs = append(spec.externalIPs, a)
	}
}

// readLoadBalancer reads what only type LoadBalancer has. A status that another
// type left behind would be open to clients whom the ranges kept out.
func (spec *serviceSpec) readLoadBalancer(s *corev1.Service, f *objectFaults) {
	for i, in := range s.Status.LoadBalancer.Ingress {
		const list = "status.loadBalancer.ingress"
		mode := corev1.LoadBalancerIPModeVIP
		if in.IPMode != nil {
			mode = *in.IPMode
		}
		if mode != corev1.LoadBalancerIPModeVIP && mode != corev1.LoadBalancerIPModeProxy {
			f.add(field(list, i, "ipMode"), "%q, want VIP or Proxy", mode)
		}
		if in.IP == "" {
			continue // a host name
		}
		a, err := parseAddr(in.IP)
		if err != nil {
			f.wrap(field(list, i, "ip"), err)
		} else if mode == corev1.LoadBalancerIPModeVIP {
			spec.loadBalancerIPs = append(spec.loadBalancerIPs, a)
		}
	}
	spec.readSourceRanges(s, f)
}

// readSourceRanges reads the field, and where it is empty the annotation that
// was there before it.
func (spec *serviceSpec) readSourceRanges(s *corev1.Service, f *objectFaults) {
	ranges := s.Spec.LoadBalancerSourceRanges
	path := func(i int) string { return field("spec.loadBalancerSourceRanges", i) }
	if old := s.Annotations[corev1.AnnotationLoadBalancerSourceRangesKey]; len(ranges) == 0 && strings.TrimSpace(old) != "" {
		ranges = strings.Split(old, ",")
		path = func(int) string { return "metadata.annotations[" + corev1.AnnotationLoadBalancerSourceRangesKey + "]" }
	}
	for i, r := range ranges {
		p, err := parsePrefix(r)
		if err != nil {
			f.wrap(path(i), err)
			continue
		}
		spec.sourceRanges = append(spec.sourceRanges, p)
	}
	spec.sourceRanges = unique(spec.sourceRanges)
}

// readHealthCheck reads the port of which the API says that it applies to
// external policy Local only. The API server has given none yet where it is zero.
func (spec *serviceSpec) readHealthCheck(s *corev1.ServiceSpec, f *objectFaults) {
	const path = "spec.healthCheckNodePort"
	if spec.external != proxier.Local || s.HealthCheckNodePort == 0 {
		return
	}
	var err error
	if spec.healthCheckPort, err = parsePort(s.HealthCheckNodePort); err != nil {
		f.wrap(path, err)
		return
	}
	for i, p := range spec.ports {
		if p.protocol == vipkit.TCP && p.port == spec.healthCheckPort {
			f.add(path, "%d is %s already", p.port, field("spec.ports", i, "port"))
		}
	}
}

func (spec *serviceSpec) readPolicies(s *corev1.ServiceSpec, f *objectFaults) {
	var err error
	if spec.external, err = parsePolicy(s.ExternalTrafficPolicy); err != nil {
		f.wrap("spec.externalTrafficPolicy", err)
	}
	if s.InternalTrafficPolicy != nil {
		if spec.internal, err = parsePolicy(*s.InternalTrafficPolicy); err != nil {
			f.wrap("spec.internalTrafficPolicy", err)
		}
	}
	switch s.SessionAffinity {
	case corev1.ServiceAffinityNone, "":
	case corev1.ServiceAffinityClientIP:
		seconds := corev1.DefaultClientIPServiceAffinitySeconds
		if c := s.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
			seconds = *c.ClientIP.TimeoutSeconds
		}
		if seconds < 1 || seconds > 86400 {
			f.add("spec.sessionAffinityConfig.clientIP.timeoutSeconds", "%d, want 1–86400", seconds)
		}
		spec.affinity.Timeout = time.Duration(seconds) * time.Second
	default:
		f.add("spec.sessionAffinity", "%q, want None or ClientIP", s.SessionAffinity)
	}
}

// parsePolicy reads either traffic policy; none is Cluster.
func parsePolicy[T ~string](p T) (proxier.Policy, error) {
	switch p {
	case "Cluster", "":
		return proxier.Cluster, nil
	case "Local":
		return proxier.Local, nil
	}
	return 0, fmt.Errorf("%q, want Cluster or Local", p)
}
