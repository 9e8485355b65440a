package ipvs

// Config says which IPVS [Open] opens. A nil Config is the zero Config.
type Config struct {
	// Namespace is the path of a network namespace ("/run/netns/blue"). Empty:
	// that of the calling thread.
	Namespace string
}
