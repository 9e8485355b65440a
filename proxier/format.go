package proxier

import (
	"fmt"
	"strings"

	"github.com/vipkit/vipkit/ipvs"
)

// String returns the service as [ParseServices] reads it: a line for what it
// is, and an indented one for each thing said about it.
//
//	service shop/web:http tcp
//	  frontend ClusterIP 10.96.0.1:80
//	  frontend NodePort 0.0.0.0:30080
//	  endpoint 10.244.0.5:8080 local
//	  endpoint 10.244.1.7:8080 weight 0 serving terminating
//	  external Local
//	  ranges 192.0.2.0/24
//	  affinity 3h0m0s bits4 24
//	  scheduler wrr
func (s Service) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "service %s %v\n", s.Name, s.Protocol)
	for _, f := range s.Frontends {
		fmt.Fprintf(&b, "  frontend %v %s\n", f.Kind, addrPort(f.Addr, f.Port))
	}
	for _, e := range s.Endpoints {
		fmt.Fprintf(&b, "  endpoint %v\n", e)
	}
	if s.Internal != Cluster {
		fmt.Fprintf(&b, "  internal %v\n", s.Internal)
	}
	if s.External != Cluster {
		fmt.Fprintf(&b, "  external %v\n", s.External)
	}
	if len(s.SourceRanges) > 0 {
		b.WriteString("  ranges")
		for _, r := range s.SourceRanges {
			fmt.Fprintf(&b, " %v", r)
		}
		b.WriteString("\n")
	}
	if a := s.Affinity; a != (Affinity{}) {
		fmt.Fprintf(&b, "  affinity %v", a.Timeout)
		word(&b, "bits4", uint32(a.Bits4))
		word(&b, "bits6", uint32(a.Bits6))
		b.WriteString("\n")
	}
	if s.Scheduler != "" {
		fmt.Fprintf(&b, "  scheduler %s\n", s.Scheduler)
	}
	if s.Flags != 0 {
		fmt.Fprintf(&b, "  flags %#x\n", uint32(s.Flags))
	}
	if s.Forward != Masquerade {
		fmt.Fprintf(&b, "  forward %v", s.Forward)
		if s.Tunnel != (ipvs.TunnelConfig{}) {
			fmt.Fprintf(&b, " %v", s.Tunnel.Type)
			word(&b, "port", uint32(s.Tunnel.Port))
			word(&b, "flags", uint32(s.Tunnel.Flags))
		}
		b.WriteString("\n")
	}
	if s.HealthCheckPort != 0 {
		fmt.Fprintf(&b, "  health-check %d\n", s.HealthCheckPort)
	}
	if s.WithoutEndpoints != Reject {
		fmt.Fprintf(&b, "  without-endpoints %v\n", s.WithoutEndpoints)
	}
	return b.String()
}

// String returns the endpoint's address and port, and what differs from
// [ReadyEndpoint]. Its conditions are "ready serving" where none is named, and
// "unready" where it has none.
func (e Endpoint) String() string {
	var b strings.Builder
	b.WriteString(addrPort(e.Addr, e.Port))
	if e.Weight != 1 {
		fmt.Fprintf(&b, " weight %d", e.Weight)
	}
	word(&b, "upper", e.Upper)
	word(&b, "lower", e.Lower)
	if e.Local {
		b.WriteString(" local")
	}
	if !e.Ready || !e.Serving || e.Terminating {
		conditions := ""
		for _, c := range []struct {
			name string
			set  bool
		}{{"ready", e.Ready}, {"serving", e.Serving}, {"terminating", e.Terminating}} {
			if c.set {
				conditions += " " + c.name
			}
		}
		if conditions == "" {
			conditions = " unready"
		}
		b.WriteString(conditions)
	}
	if e.Elsewhere {
		b.WriteString(" elsewhere")
	}
	return b.String()
}

func word(b *strings.Builder, name string, v uint32) {
	if v != 0 {
		fmt.Fprintf(b, " %s %d", name, v)
	}
}
