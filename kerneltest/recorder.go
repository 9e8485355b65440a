package kerneltest

import (
	"context"
	"iter"
	"slices"
	"sync"

	"github.com/vipkit/vipkit/proxier"
)

// Recorder stands between a proxier and a kernel, in memory or real. It writes
// down every write in the syntax of the operator's tools, counts reads, and does
// to single operations what a [Fault] says. It is safe for concurrent use.
type Recorder struct {
	// Fault, if set, is asked before every write. A change of a batch is one
	// write, and with faults travels alone; so is a whole restore of iptables.
	// Set it before the recorder is used.
	Fault Faults
	// ReadFault, if set, is asked before every read: a listing, or a question
	// after one thing. Set it before the recorder is used.
	ReadFault Faults

	kernel  proxier.Kernel
	mu      sync.Mutex
	writes  []string
	reads   int
	crashed bool
}

// Record returns a recorder in front of k.
func Record(k proxier.Kernel) *Recorder { return &Recorder{kernel: k} }

// Kernel returns the recorded kernel.
func (r *Recorder) Kernel() proxier.Kernel {
	return proxier.Kernel{
		IPVS:      recordedIPVS{r.kernel.IPVS, r},
		IPSet:     recordedIPSet{r.kernel.IPSet, r},
		IPTables:  recordedIPTables{r.kernel.IPTables, r},
		Dummy:     recordedDummy{r.kernel.Dummy, r},
		Conntrack: recordedConntrack{r.kernel.Conntrack, r},
		Sysctl:    recordedSysctl{r.kernel.Sysctl, r},
		Probe:     r.kernel.Probe, // it changes nothing
	}
}

// Writes returns the writes so far, failed ones included. Each restore is one,
// of as many lines as it has edits.
func (r *Recorder) Writes() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.writes)
}

// Reads returns how many calls have read something.
func (r *Recorder) Reads() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reads
}

// Reset forgets what was recorded, but for a crash.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes, r.reads = nil, 0
}

// read records one read and returns what is to become of it, after its delay.
func (r *Recorder) read(ctx context.Context, text string) Fault {
	return r.operation(ctx, r.ReadFault, text, func() int {
		r.reads++
		return r.reads - 1
	})
}

// write records one write and returns what is to become of it, after its delay.
func (r *Recorder) write(ctx context.Context, text string) Fault {
	return r.operation(ctx, r.Fault, text, func() int {
		r.writes = append(r.writes, text)
		return len(r.writes) - 1
	})
}

func (r *Recorder) operation(ctx context.Context, faults Faults, text string, record func() int) Fault {
	r.mu.Lock()
	if r.crashed {
		r.mu.Unlock()
		return Fault{Before: ErrCrashed}
	}
	n := record()
	r.mu.Unlock()
	if faults == nil {
		return Fault{}
	}
	f := faults(n, text)
	if f.Crash {
		r.mu.Lock()
		r.crashed = true
		r.mu.Unlock()
		if f.Before == nil && f.After == nil {
			f.After = ErrCrashed
		}
	}
	f.wait(ctx)
	return f
}

// recordAll records a whole batch, unless the process has crashed.
func recordAll[C any](r *Recorder, changes []C, text func(C) string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.crashed {
		return false
	}
	for _, c := range changes {
		r.writes = append(r.writes, text(c))
	}
	return true
}

// apply records a batch. Without faults it passes on whole.
func apply[C any](ctx context.Context, r *Recorder, changes []C, text func(C) string, write func([]C) []error) []error {
	if r.Fault == nil && recordAll(r, changes, text) {
		return write(changes)
	}
	var errs []error
	for i, c := range changes {
		_, err := carryOut(r.write(ctx, text(c)), func() (none struct{}, err error) {
			if e := write([]C{c}); e != nil {
				err = e[0]
			}
			return none, err
		})
		if err != nil && errs == nil {
			errs = make([]error, len(changes))
		}
		if err != nil {
			errs[i] = err
		}
	}
	return errs
}

// writeOne records a write that is no batch.
func writeOne[T any](ctx context.Context, r *Recorder, text string, write func() (T, error)) (T, error) {
	return carryOut(r.write(ctx, text), write)
}

// one records a write that answers with an error alone.
func (r *Recorder) one(ctx context.Context, text string, write func() error) error {
	_, err := writeOne(ctx, r, text, func() (struct{}, error) { return struct{}{}, write() })
	return err
}

// readOne records a read of one thing.
func readOne[T any](ctx context.Context, r *Recorder, text string, read func() (T, error)) (T, error) {
	return carryOut(r.read(ctx, text), read)
}

func carryOut[T any](f Fault, do func() (T, error)) (T, error) {
	var none T
	if f.Before != nil {
		return none, f.Before
	}
	v, err := do()
	if err == nil && f.After != nil {
		return none, f.After
	}
	return v, err
}

// readAll records a read that yields.
func readAll[T any](ctx context.Context, r *Recorder, text string, from iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		f := r.read(ctx, text)
		switch {
		case f.Before != nil:
			yield(none, f.Before)
			return
		case f.After == nil && !f.Partial:
			from(yield)
			return
		}
		var all []T
		for v, err := range from {
			if err != nil {
				yield(none, err)
				return
			}
			all = append(all, v)
		}
		if f.Partial {
			all = all[:len(all)/2]
		}
		for _, v := range all {
			if !yield(v, nil) {
				return
			}
		}
		if f.After != nil {
			yield(none, f.After)
		}
	}
}
