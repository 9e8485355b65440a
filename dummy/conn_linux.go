package dummy

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit/internal/nl"
)

// Conn is the links and addresses of a network namespace.
type Conn struct {
	nl        *nl.Conn
	namespace *os.File  // of which they are
	requests  sync.Pool // of *nl.Batch
}

var _ Client = (*Conn)(nil)

// Open opens a Conn. What the kernel lacks shows with the first request.
func Open(cfg *Config) (*Conn, error) {
	if cfg == nil {
		cfg = &Config{}
	}
	path := cfg.Namespace
	if path == "" {
		path = "/proc/thread-self/ns/net"
	}
	namespace, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	conn, err := nl.Open(nl.Config{Protocol: unix.NETLINK_ROUTE, Namespace: cfg.Namespace})
	if err != nil {
		return nil, errors.Join(opError("dummy open", "", getLink, err), namespace.Close())
	}
	c := &Conn{nl: conn, namespace: namespace}
	c.requests.New = func() any { return new(nl.Batch) }
	return c, nil
}

// Close closes the Conn. Calls under way fail, but for loops over Watch.
func (c *Conn) Close() error { return errors.Join(c.namespace.Close(), c.nl.Close()) }

// Requests returns how many messages the Conn has sent, and in how many system
// calls.
func (c *Conn) Requests() (messages, sends int64) { return c.nl.Requests() }
