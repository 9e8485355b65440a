package vipkit

import (
	"errors"
	"strings"
	"syscall"
)

// Kinds of error for which the standard library has no word.
var (
	// ErrInUse means that something still refers to the object (EBUSY): a
	// set that a rule matches against, a chain that a rule jumps to.
	ErrInUse = errors.New("in use")
	// ErrFull means that the object can hold no more (an ipset at maxelem).
	ErrFull = errors.New("full")
	// ErrInterrupted means that the kernel's table changed while it was
	// being read, more often than the reader was willing to try again.
	ErrInterrupted = errors.New("dump interrupted")
	// ErrReplyLost means that a request was carried out, or perhaps not, and
	// its answer did not arrive: read the state again.
	ErrReplyLost = errors.New("reply lost")
)

// OpError is a failed operation on one kernel object.
type OpError struct {
	// Op is the facility and the operation: "ipvs add service".
	Op string
	// Object is the object in its tool's syntax: "-t 10.96.0.1:443 -s rr".
	// It is empty for operations on the whole facility.
	Object string
	// Kind is what callers compare with [errors.Is]. It may be nil where no
	// word fits; Err is then all there is.
	Kind error
	// Err is what the kernel or the tool answered, usually a syscall.Errno.
	Err error
	// Detail says what Kind and Err do not: the missing module, the line of
	// a refused restore, the kernel's extended acknowledgement.
	Detail string
}

// Error implements error: "ipvs add service -t 10.96.0.1:443 -s rr: file
// already exists (detail)".
func (e *OpError) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Object != "" {
		b.WriteString(" " + e.Object)
	}
	if why := e.why(); why != "" {
		b.WriteString(": " + why)
	}
	if e.Detail != "" {
		b.WriteString(" (" + e.Detail + ")")
	}
	return b.String()
}

// why joins the words of Kind and Err, as far as they do not say the same.
func (e *OpError) why() string {
	var errno syscall.Errno
	switch {
	case e.Kind == nil && e.Err == nil:
		return ""
	case e.Kind == nil:
		return e.Err.Error()
	case e.Err == nil:
		return e.Kind.Error()
	case strings.Contains(e.Err.Error(), e.Kind.Error()):
		return e.Err.Error()
	case errors.Is(e.Err, e.Kind) && errors.As(e.Err, &errno) && e.Err.Error() == errno.Error():
		return e.Kind.Error() // the number alone, in the system's words
	}
	return e.Kind.Error() + ": " + e.Err.Error()
}

// Unwrap returns Kind and Err, so that [errors.Is] finds either.
func (e *OpError) Unwrap() []error {
	var errs []error
	if e.Kind != nil {
		errs = append(errs, e.Kind)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}
