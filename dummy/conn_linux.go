package dummy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
)

// linkTimeout bounds how long the kernel may take over one link, in which no
// context can interrupt it.
const linkTimeout = 10 * time.Second

// addrGenModeNone is IN6_ADDR_GEN_MODE_NONE (include/uapi/linux/if_link.h).
const addrGenModeNone = 1

// Conn is the links and addresses of a network namespace.
type Conn struct {
	links    *netlink.Handle
	nl       *nl.Conn
	requests sync.Pool // of *nl.Batch
}

var _ Client = (*Conn)(nil)

// Open opens a Conn. What the kernel lacks shows with the first request.
func Open(cfg *Config) (*Conn, error) {
	if cfg == nil {
		cfg = &Config{}
	}
	ns := netns.None()
	if cfg.Namespace != "" {
		var err error
		if ns, err = netns.GetFromPath(cfg.Namespace); err != nil {
			return nil, fmt.Errorf("network namespace %s: %w", cfg.Namespace, err)
		}
		defer ns.Close()
	}
	links, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, opError("dummy open", "", getLink, err)
	}
	if err := links.SetSocketTimeout(linkTimeout); err != nil {
		links.Close()
		return nil, opError("dummy open", "", getLink, err)
	}
	conn, err := nl.Open(nl.Config{Protocol: unix.NETLINK_ROUTE, Namespace: cfg.Namespace})
	if err != nil {
		links.Close()
		return nil, opError("dummy open", "", getLink, err)
	}
	c := &Conn{links: links, nl: conn}
	c.requests.New = func() any { return new(nl.Batch) }
	return c, nil
}

// Close closes the Conn. Calls under way fail.
func (c *Conn) Close() error {
	c.links.Close()
	return c.nl.Close()
}

// Requests returns how many messages about addresses the Conn has sent, and in
// how many system calls.
func (c *Conn) Requests() (messages, sends int64) { return c.nl.Requests() }

// Link implements [Client].
func (c *Conn) Link(ctx context.Context, name string) (Link, error) {
	link, err := c.find(ctx, "dummy link", name)
	if err != nil {
		return Link{}, err
	}
	attrs := link.Attrs()
	l := Link{Name: name, Kind: link.Type(), Up: attrs.Flags&net.FlagUp != 0, MTU: attrs.MTU}
	if _, plain := link.(*netlink.Device); plain {
		l.Kind = "" // the library's word for a link of no kind
	}
	return l, nil
}

// find looks a link up.
func (c *Conn) find(ctx context.Context, op, name string) (netlink.Link, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	object := "ip link show " + name
	if err := CheckName(name); err != nil {
		return nil, &vipkit.OpError{Op: op, Object: object, Kind: fs.ErrInvalid, Err: err}
	}
	link, err := c.links.LinkByName(name)
	if err != nil {
		return nil, opError(op, object, getLink, err)
	}
	return link, nil
}

// CreateLink implements [Client]. The link generates no link-local address. One
// that cannot be set up whole is deleted again.
func (c *Conn) CreateLink(ctx context.Context, l Link) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.Validate(); err != nil {
		return &vipkit.OpError{Op: "dummy create link", Object: l.String(), Kind: fs.ErrInvalid, Err: err}
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = l.Name, l.MTU
	link := &netlink.Dummy{LinkAttrs: attrs}
	if err := c.links.LinkAdd(link); err != nil {
		return opError("dummy create link", l.String(), createLink, err)
	}
	if err := c.setUp(link, l.Up); err != nil {
		return errors.Join(opError("dummy create link", l.String(), createLink, err), c.links.LinkDel(link))
	}
	return nil
}

// setUp does what a new link needs.
func (c *Conn) setUp(link netlink.Link, up bool) error {
	err := c.links.LinkSetIP6AddrGenMode(link, addrGenModeNone)
	if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, unix.EOPNOTSUPP) { // no IPv6, no address
		return err
	}
	if !up {
		return nil
	}
	return c.links.LinkSetUp(link)
}

// SetLinkUp implements [Client].
func (c *Conn) SetLinkUp(ctx context.Context, name string) error {
	const op = "dummy set link up"
	link, err := c.find(ctx, op, name)
	if err != nil {
		return err
	}
	object := "ip link set " + name + " up"
	if link.Type() != Kind {
		return &vipkit.OpError{Op: op, Object: object, Kind: fs.ErrInvalid, Detail: "a link of kind " + link.Type()}
	}
	if err := c.links.LinkSetUp(link); err != nil {
		return opError(op, object, createLink, err)
	}
	return nil
}

// DeleteLink implements [Client].
func (c *Conn) DeleteLink(ctx context.Context, name string) error {
	link, err := c.find(ctx, "dummy delete link", name)
	if err != nil {
		return err
	}
	if link.Type() != Kind {
		return &vipkit.OpError{
			Op: "dummy delete link", Object: "ip link del " + name, Kind: fs.ErrInvalid, Detail: "a link of kind " + link.Type(),
		}
	}
	if err := c.links.LinkDel(link); err != nil {
		return opError("dummy delete link", "ip link del "+name, deleteLink, err)
	}
	return nil
}

// opError gives an error its kind.
func opError(op, object string, what operation, err error) error {
	e := &vipkit.OpError{Op: op, Object: object, Err: err}
	var errno syscall.Errno
	var missing netlink.LinkNotFoundError
	switch {
	case errors.As(err, &missing):
		e.Kind, e.Err = fs.ErrNotExist, nil
	case errors.As(err, &errno):
		e.Detail, e.Kind = classify(what, errno)
	}
	return e
}
