package dummy

import (
	"errors"
	"io/fs"
	"syscall"
)

// operation is what was asked of the kernel.
type operation uint8

const (
	getLink operation = iota
	createLink
	deleteLink
	list
	addAddress
	deleteAddress
	addRoute
	deleteRoute
)

// classify returns the kind of the kernel's answer to an operation, and what
// there is to say about it.
func classify(op operation, errno syscall.Errno) (kind error, detail string) {
	switch errno {
	case syscall.EPERM:
		return fs.ErrPermission, ""
	case syscall.ENODEV:
		return fs.ErrNotExist, "no such link"
	case syscall.EEXIST:
		return fs.ErrExist, ""
	case syscall.EINVAL, syscall.ERANGE:
		return fs.ErrInvalid, ""
	case syscall.EAFNOSUPPORT:
		return errors.ErrUnsupported, "the kernel has no such address family"
	case syscall.EOPNOTSUPP:
		if op == createLink {
			return errors.ErrUnsupported, "the kernel has no dummy links: module dummy, CONFIG_DUMMY"
		}
		return errors.ErrUnsupported, ""
	case syscall.EACCES:
		// IPv6 only (ipv6_find_idev, ip6_route_info_create): who may not
		// change anything gets EPERM.
		return errors.ErrUnsupported, "IPv6 is disabled on the link (disable_ipv6)"
	case syscall.ENETDOWN:
		return fs.ErrInvalid, "the link is down"
	case syscall.EADDRNOTAVAIL:
		if op == deleteAddress {
			return fs.ErrNotExist, ""
		}
		return fs.ErrInvalid, ""
	case syscall.ESRCH:
		if op == deleteRoute {
			return fs.ErrNotExist, ""
		}
	}
	return nil, ""
}
