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
	updateLink
	deleteLink
	list
	addAddress
	deleteAddress
	addRoute
	deleteRoute
)

// classify returns the kind of the kernel's answer to an operation, and what
// there is to say about it.
func classify(op operation, errno syscall.Errno) (detail string, kind error) {
	switch errno {
	case syscall.EPERM:
		return "", fs.ErrPermission
	case syscall.ENODEV:
		return "no such link", fs.ErrNotExist
	case syscall.EEXIST:
		return "", fs.ErrExist
	case syscall.EINVAL, syscall.ERANGE:
		return "", fs.ErrInvalid
	case syscall.EAFNOSUPPORT:
		return "the kernel has no such address family", errors.ErrUnsupported
	case syscall.EOPNOTSUPP:
		if op == createLink {
			return "the kernel has no dummy links: module dummy, CONFIG_DUMMY", errors.ErrUnsupported
		}
		return "", errors.ErrUnsupported
	case syscall.EACCES:
		// IPv6 only (ipv6_find_idev, ip6_route_info_create): who may not
		// change anything gets EPERM.
		return "IPv6 is disabled on the link (disable_ipv6)", errors.ErrUnsupported
	case syscall.ENETDOWN:
		return "the link is down", fs.ErrInvalid
	case syscall.EADDRNOTAVAIL:
		if op == deleteAddress {
			return "", fs.ErrNotExist
		}
		return "", fs.ErrInvalid
	case syscall.ESRCH:
		if op == deleteRoute {
			return "", fs.ErrNotExist
		}
	}
	return "", nil
}
