package ports

// Config is what [Open] is told. Nil is the zero value.
type Config struct {
	// Namespace is the path of a network namespace ("/run/netns/blue"). Empty: the
	// one of the calling thread.
	Namespace string
}
