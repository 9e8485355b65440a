package iptables

import "fmt"

// Config says where a [Conn] works. Its zero value, and nil, are this network
// namespace and the tools that the host calls iptables.
type Config struct {
	// Namespace is the path of a network namespace ("/run/netns/blue"). Empty:
	// that of the calling thread at each call.
	Namespace string
	// Backend is "nft" or "legacy" for the tools of that back end, whatever
	// the host calls iptables. Empty: iptables, ip6tables and theirs.
	Backend string
	// Counters has Save return the counters of chains and rules too.
	Counters bool
}

// Validate reports a back end that does not exist.
func (c Config) Validate() error {
	switch c.Backend {
	case "", "nft", "legacy":
		return nil
	}
	return fmt.Errorf("iptables back end %q: want nft, legacy or none", c.Backend)
}
