package ipvs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/vipkit/vipkit"
)

// ChangeError returns the error that [Client.Apply] gives for a change that
// failed with err: a syscall.Errno of the kernel (ENOBUFS stands for a lost
// reply), what Change.Validate returned, or a context's error. It is for fakes
// and fault injectors, which have to say what a Conn would say.
func ChangeError(c Change, err error) *vipkit.OpError {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return refusal(c, errno, "")
	}
	return ReadError("ipvs "+c.Op.String(), c.object(), err)
}

// refusal returns the error for a change that the kernel refused with errno and
// perhaps a message.
func refusal(c Change, errno syscall.Errno, message string) *vipkit.OpError {
	e := &vipkit.OpError{Op: "ipvs " + c.Op.String(), Object: c.object(), Err: errno}
	var detail string
	detail, e.Kind = classify(&c, errno)
	if errors.Is(errno, fs.ErrNotExist) && !errors.Is(e.Kind, fs.ErrNotExist) {
		e.Err = nil // syscall says that ENOENT means fs.ErrNotExist
	}
	e.Detail = joinDetail(detail, message)
	return e
}

// classify is the one place where a number gets its meaning, which depends on
// the operation (net/netfilter/ipvs/ip_vs_ctl.c, ip_vs_genl_set_cmd).
func classify(c *Change, errno syscall.Errno) (detail string, kind error) {
	switch errno {
	case syscall.ESRCH:
		return "no such virtual server", fs.ErrNotExist
	case syscall.EEXIST:
		return "", fs.ErrExist
	case syscall.ENOENT:
		if c.Op.ofDestination() {
			return "", fs.ErrNotExist
		}
		return missingModule(&c.Service), errors.ErrUnsupported
	case syscall.EINVAL:
		if c.Op == AddDestination || c.Op == UpdateDestination {
			return "no unicast address here, or lo was never up, or of the other family while a synchronisation daemon runs", fs.ErrInvalid
		}
		return "", fs.ErrInvalid
	case syscall.ERANGE, syscall.EMSGSIZE:
		return "", fs.ErrInvalid
	case syscall.EPERM, syscall.EACCES:
		return needsPrivilege, fs.ErrPermission
	case syscall.EOPNOTSUPP, syscall.EAFNOSUPPORT, syscall.EPROTONOSUPPORT:
		return "", errors.ErrUnsupported
	case syscall.ENOBUFS:
		return "", vipkit.ErrReplyLost
	}
	return "", nil
}

const (
	needsPrivilege = "IPVS wants CAP_NET_ADMIN in the initial user namespace"
	needsModule    = "the kernel has no IPVS: module ip_vs, option CONFIG_IP_VS"
)

// missingModule says what the kernel looked for in vain. It does not say
// whether it was the scheduler or the engine.
func missingModule(s *Service) string {
	detail := fmt.Sprintf("scheduler %s: module ip_vs_%s", s.Scheduler, s.Scheduler)
	if s.PersistenceEngine != "" {
		detail += fmt.Sprintf("; or persistence engine %s: module ip_vs_pe_%s", s.PersistenceEngine, s.PersistenceEngine)
	}
	return detail
}

func joinDetail(a, b string) string {
	if a != "" && b != "" {
		return a + "; " + b
	}
	return a + b
}

// errMalformed means that a reply of the kernel cannot be understood.
var errMalformed = errors.New("malformed reply")

// errNoFamily means that the kernel does not know the IPVS family.
var errNoFamily = errors.New("no generic netlink family IPVS")

// Operations that are no changes, and fail with numbers of their own.
const (
	opStartDaemon = "ipvs start daemon"
	opStopDaemon  = "ipvs stop daemon"
)

// classifyDaemon gives the numbers of start_sync_thread and stop_sync_thread
// (net/netfilter/ipvs/ip_vs_sync.c) their meaning.
func classifyDaemon(errno syscall.Errno) (detail string, kind error) {
	switch errno {
	case syscall.ENODEV:
		return "no such interface", fs.ErrNotExist
	case syscall.ESRCH:
		return "no such daemon runs", fs.ErrNotExist
	case syscall.EEXIST:
		return "one runs", fs.ErrExist
	case syscall.EINVAL:
		return "there are destinations of another family than their virtual server's", fs.ErrInvalid
	}
	return "", nil
}

// ReadError returns the error of an operation that failed with err, which is not
// the kernel's answer to a change: "ipvs list services", "ipvs start daemon". It is
// for fakes and fault injectors too.
func ReadError(op, object string, err error) *vipkit.OpError {
	e := &vipkit.OpError{Op: op, Object: object, Err: err}
	var bad *invalidError
	if errors.As(err, &bad) {
		e.Kind, e.Err = fs.ErrInvalid, bad.faults
		return e
	}
	var errno syscall.Errno
	if (op == opStartDaemon || op == opStopDaemon) && errors.As(err, &errno) {
		if e.Detail, e.Kind = classifyDaemon(errno); e.Kind != nil {
			return e
		}
	}
	switch {
	case errors.Is(err, errNoFamily):
		e.Kind, e.Err, e.Detail = errors.ErrUnsupported, nil, needsModule
	case errors.Is(err, fs.ErrPermission):
		e.Kind, e.Detail = fs.ErrPermission, needsPrivilege
	default:
		for _, kind := range []error{
			context.Canceled, context.DeadlineExceeded, vipkit.ErrReplyLost, vipkit.ErrInterrupted, errors.ErrUnsupported,
		} {
			if errors.Is(err, kind) {
				e.Kind = kind
			}
		}
	}
	return e
}
