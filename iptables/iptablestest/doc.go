// Package iptablestest has a fake of package iptables, and the contract that the
// fake and the real thing must both pass.
package iptablestest
