package realserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/internal/nl"
	"github.com/vipkit/vipkit/sysctl"
)

// host is a network namespace, open.
type host struct {
	link   string // the dummy link's name
	ns     netns.NsHandle
	dummy  *dummy.Conn
	params *sysctl.Conn
	fou    fou
	handle *netlink.Handle
}

// openHost opens the namespace at a path. All that works in it opens it through
// one descriptor, so that an empty path means the same to all.
func openHost(path, link string) (_ *host, err error) {
	h := &host{link: link, ns: netns.None()}
	defer func() {
		if err != nil {
			err = errors.Join(openError(path, err), h.close())
		}
	}()
	if path == "" {
		h.ns, err = netns.Get()
	} else {
		h.ns, err = netns.GetFromPath(path)
	}
	if err != nil {
		return nil, err
	}
	namespace := fmt.Sprintf("/proc/self/fd/%d", int(h.ns))
	if h.dummy, err = dummy.Open(&dummy.Config{Namespace: namespace}); err != nil {
		return nil, err
	}
	if h.params, err = sysctl.Open(&sysctl.Config{Namespace: namespace}); err != nil {
		return nil, err
	}
	if h.fou, err = openFou(namespace); err != nil {
		return nil, err
	}
	h.handle, err = netlink.NewHandleAt(h.ns, unix.NETLINK_ROUTE)
	return h, err
}

func openError(path string, err error) error {
	e := &vipkit.OpError{Op: "realserver open", Object: path, Err: err}
	for _, kind := range []error{fs.ErrNotExist, fs.ErrPermission, errors.ErrUnsupported} {
		if errors.Is(err, kind) {
			e.Kind = kind
		}
	}
	if errors.Is(err, unix.EINVAL) {
		e.Kind, e.Detail = fs.ErrInvalid, "not a network namespace"
	}
	return e
}

func (h *host) close() (err error) {
	if h.handle != nil {
		h.handle.Close()
	}
	if h.fou.conn != nil {
		err = h.fou.conn.Close()
	}
	if h.dummy != nil {
		err = errors.Join(err, h.dummy.Close())
	}
	if h.ns.IsOpen() {
		err = errors.Join(err, h.ns.Close())
	}
	return err
}

// observe reads what diff wants to know. It asks for GUE ports only where ports are
// wanted or were ever ours: the question makes the kernel load a module.
func (h *host) observe(ctx context.Context, ports bool) (state, error) {
	have := state{links: make(map[string]bool), record: newRecord(), tunnels: make(map[tunnel]tunnelState), params: make(map[string]string)}
	var links []netlink.Link
	err := nl.Retry(func() (err error) {
		links, err = h.handle.LinkList()
		if errors.Is(err, netlink.ErrDumpInterrupted) {
			err = vipkit.ErrInterrupted
		}
		return err
	})
	if err != nil {
		return state{}, linkError("realserver list links", "ip -d link show", "", err)
	}
	conf := []string{"all", "default"}
	for _, link := range links {
		attrs := link.Attrs()
		have.links[attrs.Name] = true
		switch {
		case attrs.Name == h.link:
			if err := have.readLink(link); err != nil {
				return state{}, err
			}
		case attrs.Group == group(h.link):
			if err := h.readTunnel(ctx, &have, link); err != nil {
				return state{}, err
			}
			continue
		}
		conf = append(conf, attrs.Name)
	}
	if have.there {
		if have.addrs, err = h.addresses(ctx, h.link); err != nil {
			return state{}, err
		}
	}
	if ports || len(have.record.ports) > 0 {
		have.ports, err = h.fou.list(ctx)
		if noFou(err) && !ports {
			err = nil // gone with the module
		}
		if err != nil {
			return state{}, portError("realserver list GUE ports", "ip fou show", err)
		}
	}
	return have, h.readParams(ctx, &have, conf)
}

// readLink reads the link of the dummy link's name.
func (have *state) readLink(link netlink.Link) (err error) {
	attrs := link.Attrs()
	have.there, have.up = true, attrs.RawFlags&unix.IFF_UP != 0
	switch {
	case link.Type() != dummy.Kind:
		have.foreign = fmt.Sprintf("somebody else's link of kind %q", link.Type())
	case attrs.Group != group(attrs.Name):
		have.foreign = fmt.Sprintf("somebody else's link, in group %d", attrs.Group)
	default:
		have.record, err = parseRecord(attrs.Alias)
	}
	if have.foreign != "" {
		have.there = false
	}
	if err != nil {
		return &vipkit.OpError{Op: "realserver read record", Object: "ip link show " + attrs.Name, Kind: fs.ErrInvalid, Err: err}
	}
	return nil
}

// readTunnel reads a tunnel link of ours. One that we would not make counts with
// what it has, and is not wanted.
func (h *host) readTunnel(ctx context.Context, have *state, link netlink.Link) error {
	attrs := link.Attrs()
	t := tunnelOf(link)
	s := tunnelState{link: attrs.Name, up: attrs.RawFlags&unix.IFF_UP != 0}
	if t.takes4() {
		addrs, err := h.addresses(ctx, attrs.Name)
		if err != nil {
			return err
		}
		for a := range addrs {
			s.addrs = append(s.addrs, a)
		}
		s.pathFilter, err = h.params.Get(ctx, confDir+attrs.Name+"/rp_filter")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	have.tunnels[t] = s
	return nil
}

// addresses returns the addresses of full prefix length on a link.
func (h *host) addresses(ctx context.Context, link string) (map[netip.Addr]bool, error) {
	addrs := make(map[netip.Addr]bool)
	for a, err := range h.dummy.Addresses(ctx, link) {
		if err != nil {
			return nil, err
		}
		if a.Means == dummy.ByAddress {
			addrs[a.Addr] = true
		}
	}
	return addrs, nil
}

// readParams reads the parameters of links. Those of a link that has gone in the
// meantime are none.
func (h *host) readParams(ctx context.Context, have *state, links []string) error {
	for _, link := range links {
		if link == h.link && have.foreign == "" {
			continue // they go with it
		}
		for _, q := range quietParams {
			name := confDir + link + "/" + q.name
			value, err := h.params.Get(ctx, name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			have.params[name] = strings.TrimSpace(value)
		}
	}
	return nil
}
