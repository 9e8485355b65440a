package probe

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit/internal/nl"
)

// Conn asks a running kernel. It holds nothing open.
type Conn struct {
	cfg Config
}

var _ Client = (*Conn)(nil)

// Open returns a Conn.
func Open(cfg *Config) (*Conn, error) {
	c := &Conn{}
	if cfg != nil {
		c.cfg = *cfg
	}
	return c, nil
}

// Probe implements [Client].
func (c *Conn) Probe(ctx context.Context, f Facility) error {
	err := f.Validate()
	if err == nil {
		err = c.ask(ctx, f)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errLacks):
		return Missing(f)
	}
	return Unknown(f, err)
}

// errLacks means that the kernel has no such facility.
var errLacks = errors.New("not in this kernel")

// ask opens a socket for one question.
func (c *Conn) ask(ctx context.Context, f Facility) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	protocol := unix.NETLINK_NETFILTER
	switch f.Kind {
	case IPVS, Scheduler:
		protocol = unix.NETLINK_GENERIC
	case LinkKind:
		protocol = unix.NETLINK_ROUTE
	case SetType, Match, Target:
	}
	conn, err := nl.Open(nl.Config{Protocol: protocol, Namespace: c.cfg.Namespace})
	if err != nil {
		return err
	}
	defer conn.Close()
	var b nl.Batch
	switch f.Kind {
	case IPVS, Scheduler:
		family, err := conn.GenlFamily(ctx, "IPVS")
		if errors.Is(err, unix.ENOENT) {
			return errLacks
		}
		if err != nil {
			return err
		}
		appendServer(&b, family, f)
		return server(f, refusal(ctx, conn, &b))
	case SetType:
		appendSetType(&b, f)
		return setType(refusal(ctx, conn, &b))
	case Match, Target:
		appendExtension(&b, f)
		return xtables(f, refusal(ctx, conn, &b))
	case LinkKind:
		appendLink(&b, f)
		return link(refusal(ctx, conn, &b))
	}
	return nil
}

// refusal sends the one request in b and returns what the kernel has against it.
func refusal(ctx context.Context, c *nl.Conn, b *nl.Batch) error {
	for _, err := range c.Query(ctx, b) {
		return err
	}
	return nil
}

// server reads the answer to appendServer: the kernel looks for the family first,
// then for the scheduler, and then at the netmask.
func server(f Facility, err error) error {
	switch {
	case errors.Is(err, unix.EINVAL):
		return nil
	case errors.Is(err, unix.ENOENT):
		return errLacks
	case errors.Is(err, unix.EAFNOSUPPORT) && f.Kind == IPVS:
		return errLacks
	case errors.Is(err, unix.EAFNOSUPPORT):
		return errors.New("cannot be asked without IPVS's IPv6 (CONFIG_IP_VS_IPV6)")
	}
	return unexpected(err)
}

// setType reads the answer to appendSetType.
func setType(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errFindType), noSubsystem(err):
		return errLacks
	}
	return unexpected(err)
}

// xtables reads the answer to appendExtension. The kernel knows an extension
// whose revision it refuses (net/netfilter/x_tables.c, xt_find_revision).
func xtables(f Facility, err error) error {
	switch {
	case err == nil, errors.Is(err, unix.EPROTONOSUPPORT) && revision(f) == 0:
		return nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EPROTONOSUPPORT):
		return errLacks
	case noSubsystem(err):
		return errors.New("cannot be asked without nft_compat (CONFIG_NFT_COMPAT)")
	}
	return unexpected(err)
}

// noSubsystem reports whether nfnetlink knows no such subsystem
// (net/netfilter/nfnetlink.c, nfnetlink_rcv_msg).
func noSubsystem(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP)
}

// link reads the answer to appendLink: the kernel looks for the kind first, has
// it look at the address, and then looks for the namespace.
func link(err error) error {
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return errLacks
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EADDRNOTAVAIL):
		return nil
	}
	return unexpected(err)
}

// unexpected is about an answer that says nothing about the facility.
func unexpected(err error) error {
	if err == nil {
		return errors.New("the kernel answers what it cannot")
	}
	return fmt.Errorf("the kernel's answer: %w", err)
}
