package iptables

import (
	"slices"
	"strings"
)

// MaxChainNameLen is the longest name that a chain can have, in bytes
// (XT_EXTENSION_MAXNAMELEN less the terminator).
const MaxChainNameLen = 28

// tableNames are the tables that the kernel has, in the order in which Save
// returns them: the one that sees a packet first comes first.
var tableNames = []string{"raw", "mangle", "nat", "filter", "security"}

// BuiltinChains returns the names of a table's built-in chains in the order of
// iptables-save, and nil for a table that the kernel does not have.
func BuiltinChains(table string) []string {
	switch table {
	case "raw":
		return []string{"PREROUTING", "OUTPUT"}
	case "mangle":
		return []string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}
	case "nat":
		return []string{"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"}
	case "filter", "security":
		return []string{"INPUT", "FORWARD", "OUTPUT"}
	}
	return nil
}

// isHook reports whether a chain name is that of a built-in chain of any table.
func isHook(chain string) bool { return slices.Contains(BuiltinChains("mangle"), chain) }

// unused reports whether a table is as the kernel makes it.
func (t Table) unused() bool {
	for _, c := range t.Chains {
		if len(c.Rules) > 0 || c.Policy != "ACCEPT" {
			return false
		}
	}
	return true
}

// compareTables orders tables as tableNames does, others behind by name.
func compareTables(a, b Table) int {
	rank := func(name string) int {
		if i := slices.Index(tableNames, name); i >= 0 {
			return i
		}
		return len(tableNames)
	}
	if d := rank(a.Name) - rank(b.Name); d != 0 {
		return d
	}
	return strings.Compare(a.Name, b.Name)
}
