package proxier

import (
	"fmt"
	"slices"
)

var (
	kindNames    = []string{ClusterIP: "ClusterIP", ExternalIP: "ExternalIP", LoadBalancerIP: "LoadBalancerIP", NodePort: "NodePort", HostPort: "HostPort"}
	policyNames  = []string{Cluster: "Cluster", Local: "Local"}
	forwardNames = []string{Masquerade: "Masquerade", FullNAT: "FullNAT", Direct: "Direct", Tunnel: "Tunnel"}
	verdictNames = []string{Reject: "Reject", Drop: "Drop"}
)

// String returns "ClusterIP", "ExternalIP", "LoadBalancerIP", "NodePort" or
// "HostPort".
func (k FrontendKind) String() string { return enumString(kindNames, k) }

// MarshalText implements [encoding.TextMarshaler].
func (k FrontendKind) MarshalText() ([]byte, error) { return enumText(kindNames, k) }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (k *FrontendKind) UnmarshalText(b []byte) (err error) {
	*k, err = parseEnum[FrontendKind]("kind of frontend", kindNames, b)
	return err
}

// String returns "Cluster" or "Local".
func (p Policy) String() string { return enumString(policyNames, p) }

// MarshalText implements [encoding.TextMarshaler].
func (p Policy) MarshalText() ([]byte, error) { return enumText(policyNames, p) }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (p *Policy) UnmarshalText(b []byte) (err error) {
	*p, err = parseEnum[Policy]("policy", policyNames, b)
	return err
}

// String returns "Masquerade", "FullNAT", "Direct" or "Tunnel".
func (f Forward) String() string { return enumString(forwardNames, f) }

// MarshalText implements [encoding.TextMarshaler].
func (f Forward) MarshalText() ([]byte, error) { return enumText(forwardNames, f) }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (f *Forward) UnmarshalText(b []byte) (err error) {
	*f, err = parseEnum[Forward]("way of forwarding", forwardNames, b)
	return err
}

// String returns "Reject" or "Drop".
func (v Verdict) String() string { return enumString(verdictNames, v) }

// MarshalText implements [encoding.TextMarshaler].
func (v Verdict) MarshalText() ([]byte, error) { return enumText(verdictNames, v) }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (v *Verdict) UnmarshalText(b []byte) (err error) {
	*v, err = parseEnum[Verdict]("verdict", verdictNames, b)
	return err
}

func enumString[E ~uint8](names []string, v E) string {
	if int(v) >= len(names) || names[v] == "" {
		return fmt.Sprintf("%T(%d)", v, uint8(v))
	}
	return names[v]
}

func enumText[E ~uint8](names []string, v E) ([]byte, error) {
	if int(v) >= len(names) || names[v] == "" {
		return nil, fmt.Errorf("%T %d has no name", v, uint8(v))
	}
	return []byte(names[v]), nil
}

func parseEnum[E ~uint8](what string, names []string, b []byte) (E, error) {
	if i := slices.Index(names, string(b)); i >= 0 && len(b) > 0 {
		return E(i), nil
	}
	return 0, fmt.Errorf("unknown %s %q: want one of %q", what, b, slices.DeleteFunc(slices.Clone(names), func(s string) bool { return s == "" }))
}
