package conntrack

// Config says where a Conn is opened, and how it deletes.
type Config struct {
	// Namespace is the path of a network namespace ("/run/netns/blue"). Empty:
	// that of the calling thread.
	Namespace string
	// Uncounted lets [Conn.DeleteMatching] leave it to the kernel which flows it
	// deletes: it returns −1 then, for the kernel does not say how many those
	// were. It saves from a third of the time, with few flows to delete, to more
	// than half of it, with many. It takes Linux 6.11 or later, and IPv4 with TCP
	// or UDP; with all else the flows are read and deleted one by one, and
	// counted, as without it.
	Uncounted bool
}
