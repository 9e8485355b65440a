package dummy

// Config says where a [Conn] works. Its zero value, and nil, are this network
// namespace.
type Config struct {
	// Namespace is the path of a network namespace ("/run/netns/blue"). Empty:
	// that of the thread that calls Open.
	Namespace string
}
