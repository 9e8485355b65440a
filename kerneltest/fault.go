package kerneltest

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"github.com/vipkit/vipkit"
)

// Fault is what becomes of one operation on a recorded kernel. It is a value, and
// its zero value lets the operation pass.
//
//	Fault{Before: err}                 it fails and was not carried out
//	Fault{After: err}                  it was carried out, and its answer was lost
//	Fault{Before: err, Crash: true}    the process died before it
//	Fault{Crash: true}                 the process died after it
//	Fault{Delay: time.Minute}          it is slow
//	Fault{Partial: true, After: err}   a listing that was cut, and says so
//	Fault{Partial: true}               a listing that was cut, and does not
type Fault struct {
	// Before fails the operation instead of carrying it out.
	Before error
	// After fails it after it was carried out. A read that yields yields, and
	// then fails; any other returns nothing.
	After error
	// Crash makes this the last operation that reaches the kernel: later ones
	// fail with [ErrCrashed] and are not recorded. Start anew with another
	// Recorder on the same kernel. The operation itself fails with Before or
	// After, or with ErrCrashed after it was carried out.
	Crash bool
	// Partial makes a read that yields stop halfway, rounded down. IPVS, ip sets
	// and conntrack do not tell of a listing that changed while it was read.
	Partial bool
	// Delay is how long the operation takes to begin. It ends early with the
	// context: the kernel is then asked with a context that is done, which
	// changes nothing. Tests in package testing/synctest do not wait for it.
	Delay time.Duration
}

// ErrCrashed is the error of every operation after a [Fault] with Crash.
var ErrCrashed = errors.New("crashed")

// Faults tells what becomes of the operation with number n, from 0, and its text
// in the syntax of the operator's tools. Reads and writes are counted apart.
type Faults func(n int, operation string) Fault

// At returns f for the operation with number k alone.
func At(k int, f Fault) Faults {
	return func(n int, _ string) Fault {
		if n == k {
			return f
		}
		return Fault{}
	}
}

// Random returns one of from for about one in every operations (1 or more), as the
// seed and the operation's number have it: the same seed, the same faults. Let the
// test print the seed when it fails.
func Random(seed uint64, every int, from ...Fault) Faults {
	from = slices.Clone(from)
	return func(n int, _ string) Fault {
		r := rand.New(rand.NewPCG(seed, uint64(n)))
		if len(from) == 0 || r.IntN(every) != 0 {
			return Fault{}
		}
		return from[r.IntN(len(from))]
	}
}

// injected is a fault's error with its kind and the kernel's number.
func injected(kind error, errno syscall.Errno) error {
	return &vipkit.OpError{Op: "injected fault", Kind: kind, Err: errno}
}

// WriteFaults returns what a write can meet: busy objects (EBUSY), calls that were
// interrupted (EINTR), and answers that were lost (ENOBUFS) though the write was
// carried out, or was not.
func WriteFaults() []Fault {
	return []Fault{
		{Before: injected(vipkit.ErrInUse, syscall.EBUSY)},
		{Before: injected(nil, syscall.EINTR)},
		{Before: injected(vipkit.ErrReplyLost, syscall.ENOBUFS)},
		{After: injected(vipkit.ErrReplyLost, syscall.ENOBUFS)},
	}
}

// ReadFaults returns what a read can meet and is told of: another listing under way
// (EBUSY), a call that was interrupted (EINTR), answers that were lost on the way
// (ENOBUFS), and a table that changed too often.
func ReadFaults() []Fault {
	return []Fault{
		{Before: injected(vipkit.ErrInUse, syscall.EBUSY)},
		{Before: injected(nil, syscall.EINTR)},
		{Partial: true, After: injected(vipkit.ErrReplyLost, syscall.ENOBUFS)},
		{Partial: true, After: injected(vipkit.ErrInterrupted, syscall.EINTR)},
	}
}

// wait waits out the fault's delay, as long as ctx lasts.
func (f Fault) wait(ctx context.Context) {
	if f.Delay <= 0 {
		return
	}
	timer := time.NewTimer(f.Delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
