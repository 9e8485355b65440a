package probe

// Config says where a [Conn] asks. Its zero value, and nil, are this network
// namespace.
type Config struct {
	// Namespace is the path of a network namespace ("/run/netns/blue"). Empty:
	// that of the calling thread at each call.
	Namespace string
}
