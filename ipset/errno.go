package ipset

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/vipkit/vipkit"
)

// The kernel's own numbers (include/uapi/linux/netfilter/ipset/ip_set.h, enum
// ipset_errno). Those from errSpecific on mean one thing for hashes and another
// for bitmaps.
const (
	errProtocol        syscall.Errno = 4097
	errFindType        syscall.Errno = 4098
	errMaxSets         syscall.Errno = 4099
	errBusy            syscall.Errno = 4100
	errExistSetname2   syscall.Errno = 4101
	errTypeMismatch    syscall.Errno = 4102
	errExist           syscall.Errno = 4103
	errInvalidCIDR     syscall.Errno = 4104
	errInvalidNetmask  syscall.Errno = 4105
	errInvalidFamily   syscall.Errno = 4106
	errTimeout         syscall.Errno = 4107
	errReferenced      syscall.Errno = 4108
	errIPv4            syscall.Errno = 4109
	errIPv6            syscall.Errno = 4110
	errCounter         syscall.Errno = 4111
	errComment         syscall.Errno = 4112
	errInvalidMarkmask syscall.Errno = 4113
	errSkbinfo         syscall.Errno = 4114
	errSpecific        syscall.Errno = 4352 // hash: full; bitmap: out of range
	errHashElem        syscall.Errno = 4353 // bitmap: range too large
	errInvalidProto    syscall.Errno = 4354
	errMissingProto    syscall.Errno = 4355
)

// Errno is a number of the kernel's ipset code that no other facility has. It
// is the Err of a *vipkit.OpError.
type Errno uint32

// Error implements error in the words of the header.
func (e Errno) Error() string {
	switch syscall.Errno(e) {
	case errProtocol:
		return "ipset: protocol error"
	case errFindType:
		return "ipset: the kernel has no such set type"
	case errMaxSets:
		return "ipset: too many sets"
	case errBusy, errReferenced:
		return "ipset: the set is referenced"
	case errExistSetname2:
		return "ipset: the second set exists, or does not"
	case errTypeMismatch:
		return "ipset: the types of the sets differ"
	case errExist:
		return "ipset: the entry exists, or does not"
	case errInvalidCIDR:
		return "ipset: invalid prefix length"
	case errInvalidNetmask:
		return "ipset: invalid netmask"
	case errInvalidFamily, errIPv4, errIPv6:
		return "ipset: wrong address family"
	case errTimeout:
		return "ipset: the set was created without timeout"
	case errCounter:
		return "ipset: the set was created without counters"
	case errComment:
		return "ipset: the set was created without comment"
	case errSkbinfo:
		return "ipset: the set was created without skbinfo"
	case errInvalidMarkmask:
		return "ipset: invalid markmask"
	case errSpecific:
		return "ipset: the hash is full, or the element is out of the bitmap's range"
	case errHashElem:
		return "ipset: an element of zeros, or a range that is too large"
	case errInvalidProto, errMissingProto:
		return "ipset: invalid or missing protocol"
	}
	return fmt.Sprintf("ipset: error %d", uint32(e))
}

// classify is the one place that turns the kernel's answer into a kind.
func classify(op Op, t Type, errno syscall.Errno) error {
	switch errno {
	case syscall.EPERM, syscall.EACCES:
		return fs.ErrPermission
	case syscall.EINVAL, syscall.ERANGE, errProtocol, errInvalidCIDR, errInvalidNetmask, errInvalidFamily, errTypeMismatch,
		errTimeout, errIPv4, errIPv6, errCounter, errComment, errInvalidMarkmask, errSkbinfo, errHashElem,
		errInvalidProto, errMissingProto:
		return fs.ErrInvalid
	case syscall.EOPNOTSUPP, syscall.EPROTONOSUPPORT, errFindType:
		return errors.ErrUnsupported
	case syscall.EEXIST:
		return fs.ErrExist
	case syscall.ENOENT:
		return fs.ErrNotExist
	case errExistSetname2: // of rename that the second set exists, of swap that it does not
		if op == RenameSet {
			return fs.ErrExist
		}
		return fs.ErrNotExist
	case syscall.EBUSY, errBusy, errReferenced:
		return vipkit.ErrInUse
	case errMaxSets:
		return vipkit.ErrFull
	case errExist:
		if op == DeleteEntry {
			return fs.ErrNotExist
		}
		return fs.ErrExist
	case errSpecific:
		if t == BitmapPort {
			return fs.ErrInvalid
		}
		return vipkit.ErrFull
	}
	return nil
}

// failure returns the error of a change that the kernel refused.
func failure(c Change, errno syscall.Errno, message string) error {
	e := &vipkit.OpError{
		Op:     "ipset " + c.Op.String(),
		Object: c.object(),
		Kind:   classify(c.Op, c.Set.Type, errno),
		Err:    errno,
		Detail: message,
	}
	if errno > 4096 {
		e.Err = Errno(errno)
	}
	if errno == errFindType {
		e.Detail = c.Set.Type.needs()
	}
	return e
}

// needs names the module and the kernel option of a type.
func (t Type) needs() string {
	kind, rest, _ := strings.Cut(string(t), ":")
	name := kind + "_" + strings.ReplaceAll(rest, ",", "")
	return fmt.Sprintf("needs the module ip_set_%s (CONFIG_IP_SET_%s)", name, strings.ToUpper(name))
}

// object is the change without its word: the set or the entry.
func (c Change) object() string {
	s := c.String()
	_, rest, _ := strings.Cut(s, " ")
	return rest
}

// kindError returns the error of a change that failed before the kernel saw it.
func kindError(c Change, kind, err error) error {
	return &vipkit.OpError{Op: "ipset " + c.Op.String(), Object: c.object(), Kind: kind, Err: err}
}
