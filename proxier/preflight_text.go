package proxier

import (
	"fmt"
	"strings"
)

// String returns the report for a person: what was found, then a line for each
// thing that is missing, wrong or worth knowing. What is as it should be is said
// in few words.
func (p Preflight) String() string {
	var b strings.Builder
	for _, line := range p.Host {
		fmt.Fprintf(&b, "%s\n", line)
	}
	for _, err := range p.Missing {
		fmt.Fprintf(&b, "missing: %v\n", err)
	}
	for _, s := range p.Sysctls {
		fmt.Fprintf(&b, "%s\n", s)
	}
	if t := p.Timeouts; t.Err != nil || t != (Timeouts{}) {
		fmt.Fprintf(&b, "%s\n", t)
	}
	for _, o := range p.Obstacles {
		fmt.Fprintf(&b, "blocked: %s\n", o)
	}
	for _, w := range p.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	return b.String()
}

// String returns "net.ipv4.ip_forward = 1", and what is wanted, how much and why
// if that is not fine.
func (s Sysctl) String() string {
	switch {
	case s.Err != nil:
		return fmt.Sprintf("%s: %s: %v", s.Name, s.Need, s.Err)
	case s.Fine():
		return s.Name + " = " + s.Have
	}
	return fmt.Sprintf("%s = %s, %s %s: %s", s.Name, s.Have, s.Need, s.Want, s.Why)
}

// String returns the timeouts as ipvsadm's option, and those wanted if they
// differ.
func (t Timeouts) String() string {
	switch {
	case t.Err != nil:
		return fmt.Sprintf("IPVS's timeouts: %v", t.Err)
	case t.Fine():
		return "ipvsadm " + t.Have.String()
	}
	return fmt.Sprintf("ipvsadm %s, wanted %s", t.Have, t.Have.Merge(t.Want))
}
