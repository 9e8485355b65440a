package proxier

import (
	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipset"
)

// setID tells our sets apart. Their order is the order in which entries are
// added; they are deleted in the reverse order.
type setID uint8

const (
	setPods        setID = iota // where this node's pods have addresses
	setClusterNets              // where the cluster's pods have addresses
	setLedger                   // virtual servers that are ours, with the service's name
	setAddresses                // virtual addresses that are ours
	setRanges                   // tuple and client network that may use it
	setRanged                   // tuples that only setRanges may use: after it, so that nobody is shut out between
	setDrop                     // tuples whose packets vanish
	setAbsent                   // tuples with external policy Local and no endpoint here: clients from outside are dropped
	setLocal                    // tuples with external policy Local, and the mark for clients from outside
	setHairpin                  // endpoints that may meet themselves
	setCluster                  // tuples with source NAT for clients that are no pods
	setExternal                 // tuples with source NAT for everybody
	setHealth                   // where load balancers ask a listener of the host for its health
	setOpen                     // tuples that take new connections: in a phase of its own
	numSets
)

// maxElem is far above what any host was seen to hold; it costs nothing.
const maxElem = 1 << 20

// setSpecs is what each set is made of.
var setSpecs = [numSets]struct {
	word string
	ipset.Set
}{
	setPods:        {"PODS", ipset.Set{Type: ipset.HashNet}},
	setClusterNets: {"CLUSTERNETS", ipset.Set{Type: ipset.HashNet}},
	setLedger:      {"LEDGER", ipset.Set{Type: ipset.HashIPPort, Comment: true}},
	setAddresses:   {"ADDRESSES", ipset.Set{Type: ipset.HashIP}},
	setRanges:      {"RANGES", ipset.Set{Type: ipset.HashIPPortNet}},
	setRanged:      {"RANGED", ipset.Set{Type: ipset.HashIPPort}},
	setDrop:        {"DROP", ipset.Set{Type: ipset.HashIPPort}},
	setAbsent:      {"ABSENT", ipset.Set{Type: ipset.HashIPPort}},
	setLocal:       {"LOCAL", ipset.Set{Type: ipset.HashIPPort, SkbInfo: true}},
	setHairpin:     {"HAIRPIN", ipset.Set{Type: ipset.HashIPPortIP}},
	setCluster:     {"CLUSTER", ipset.Set{Type: ipset.HashIPPort}},
	setExternal:    {"EXTERNAL", ipset.Set{Type: ipset.HashIPPort}},
	setHealth:      {"HEALTH", ipset.Set{Type: ipset.HashIPPort}},
	setOpen:        {"OPEN", ipset.Set{Type: ipset.HashIPPort}},
}

var families = [...]vipkit.Family{vipkit.IPv4, vipkit.IPv6}

// familyIndex is 0 for IPv4 and 1 for IPv6.
func familyIndex(f vipkit.Family) int {
	if f == vipkit.IPv6 {
		return 1
	}
	return 0
}

// setName returns the kernel's name for a set of ours: "VIPKIT-LEDGER-4".
func (c *config) setName(id setID, f vipkit.Family) string {
	return c.Prefix + "-" + setSpecs[id].word + "-" + string('0'+byte(f))
}

// set returns a set of ours as it is to be created.
func (c *config) set(id setID, f vipkit.Family) ipset.Set {
	s := setSpecs[id].Set
	s.Name, s.Family, s.MaxElem = c.setName(id, f), f, maxElem
	return s
}
