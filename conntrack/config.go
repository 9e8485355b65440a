package conntrack

// Config says where a Conn is opened.
type Config struct {
	// Namespace is the path of a network namespace ("/run/netns/blue"). Empty:
	// that of the calling thread.
	Namespace string
}
