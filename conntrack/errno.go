package conntrack

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/vipkit/vipkit"
)

// opError is the one place that turns what went wrong into an error with a kind.
func opError(op, object string, err error) error {
	e := &vipkit.OpError{Op: "conntrack " + op, Object: object, Err: err}
	var errno syscall.Errno
	switch {
	case errors.Is(err, vipkit.ErrReplyLost), errors.Is(err, vipkit.ErrInterrupted),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Kind, e.Err = err, nil
	case errors.As(err, &errno):
		e.Kind = classify(errno)
		if errno == syscall.EINVAL || errno == syscall.EOPNOTSUPP {
			e.Detail = "needs the module nf_conntrack_netlink (CONFIG_NF_CT_NETLINK)"
		}
	}
	return e
}

// classify returns the kind of an errno. The requests of this package are always
// well formed, so EINVAL means that nfnetlink knows no such subsystem
// (net/netfilter/nfnetlink.c, nfnetlink_rcv_msg).
func classify(errno syscall.Errno) error {
	switch errno {
	case syscall.EPERM, syscall.EACCES:
		return fs.ErrPermission
	case syscall.EINVAL, syscall.EOPNOTSUPP:
		return errors.ErrUnsupported
	case syscall.ENOENT:
		return fs.ErrNotExist
	case syscall.EEXIST:
		return fs.ErrExist
	case syscall.EBUSY:
		return vipkit.ErrInUse
	}
	return nil
}
