package iptables

import (
	"fmt"
	"strings"
)

// Elsewhere is what the back end holds that a [Conn] does not use. The kernel asks
// the rules of both, so a host where it is not empty is one where rules are in
// force that neither Save nor an operator's iptables-save shows.
type Elsewhere struct {
	// Backend is "nft" or "legacy".
	Backend string
	// Tables are those in use there, as Save returns them.
	Tables []Table
}

// Rules returns how many rules there are.
func (e Elsewhere) Rules() (n int) {
	for _, t := range e.Tables {
		for _, c := range t.Chains {
			n += len(c.Rules)
		}
	}
	return n
}

// String returns a line for operators, "legacy back end: 3 rules in nat, filter",
// and "" if nothing is there.
func (e Elsewhere) String() string {
	if len(e.Tables) == 0 {
		return ""
	}
	var names []string
	for _, t := range e.Tables {
		names = append(names, t.Name)
	}
	return fmt.Sprintf("%s back end: %d rules in %s", e.Backend, e.Rules(), strings.Join(names, ", "))
}
