package ipset

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
)

// Conn is the kernel's IP sets in one network namespace. It is safe for
// concurrent use.
type Conn struct {
	nl       *nl.Conn
	requests sync.Pool // of *nl.Batch

	mu        sync.Mutex
	protocol  uint8             // zero until negotiated
	revisions map[typeKey]uint8 // of each type that was created
}

type typeKey struct {
	typ    Type
	family vipkit.Family
}

var _ Client = (*Conn)(nil)

// Open opens a Conn. What the kernel lacks shows with the first request, not
// here.
func Open(cfg *Config) (*Conn, error) {
	if cfg == nil {
		cfg = &Config{}
	}
	c, err := nl.Open(nl.Config{Protocol: unix.NETLINK_NETFILTER, Namespace: cfg.Namespace, Echo: true})
	if err != nil {
		return nil, &vipkit.OpError{Op: "ipset open", Kind: classify(0, "", errnoOf(err)), Err: err}
	}
	conn := &Conn{nl: c, revisions: map[typeKey]uint8{}}
	conn.requests.New = func() any { return new(nl.Batch) }
	return conn, nil
}

// Close closes the Conn. Calls under way fail with [net.ErrClosed].
func (c *Conn) Close() error { return c.nl.Close() }

// Requests returns how many messages the Conn has sent, and in how many system
// calls.
func (c *Conn) Requests() (messages, sends int64) { return c.nl.Requests() }

func (c *Conn) batch() *nl.Batch {
	b := c.requests.Get().(*nl.Batch)
	b.Reset()
	return b
}

func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	errors.As(err, &errno)
	return errno
}

// negotiate returns the version of the protocol that both sides speak: 6, or 7
// from Linux 4.20 on.
func (c *Conn) negotiate(ctx context.Context) (uint8, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.protocol != 0 {
		return c.protocol, nil
	}
	b := c.batch()
	defer c.requests.Put(b)
	begin(b, cmdProtocol, 0, maxProtocol, "")
	b.End()
	var highest, lowest uint8
	for m, err := range c.nl.Query(ctx, b) {
		if err != nil {
			return 0, protocolError(err)
		}
		highest, lowest = decodeRange(m.Data, attrProtocol, attrProtocolMin)
	}
	if highest < minProtocol || lowest > maxProtocol {
		return 0, &vipkit.OpError{
			Op: "ipset protocol", Kind: errors.ErrUnsupported,
			Detail: fmt.Sprintf("the kernel speaks versions %d–%d, this package %d–%d", lowest, highest, minProtocol, maxProtocol),
		}
	}
	c.protocol = min(highest, maxProtocol)
	return c.protocol, nil
}

// protocolError says what it means that not even the version can be asked for.
func protocolError(err error) error {
	e := readError("protocol", "", err)
	// nfnetlink_rcv_msg: no such subsystem.
	if errno := errnoOf(err); errno == syscall.EINVAL || errno == syscall.EOPNOTSUPP {
		e.Kind, e.Detail = errors.ErrUnsupported, "needs the module ip_set (CONFIG_IP_SET)"
	}
	return e
}

// revision returns the highest revision of a type that both sides know.
func (c *Conn) revision(ctx context.Context, proto uint8, s Set) (uint8, error) {
	key := typeKey{s.Type, s.Family}
	c.mu.Lock()
	rev, ok := c.revisions[key]
	c.mu.Unlock()
	if ok {
		return rev, nil
	}
	b := c.batch()
	defer c.requests.Put(b)
	begin(b, cmdType, 0, proto, "")
	b.String(attrTypename, string(s.Type))
	b.U8(attrFamily, nfFamily(s.Family))
	b.End()
	var highest, lowest uint8
	for m, err := range c.nl.Query(ctx, b) {
		if err != nil {
			return 0, err
		}
		highest, lowest = decodeRange(m.Data, attrRevision, attrRevisionMin)
	}
	if rev = min(highest, knownRevision(s.Type)); rev < lowest {
		return 0, errFindType
	}
	c.mu.Lock()
	c.revisions[key] = rev
	c.mu.Unlock()
	return rev, nil
}
