package ipsettest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math/bits"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipset"
)

// Fake is IP sets in memory. It refuses what the kernel refuses with the same
// kinds of error; entries expire by package time's clock; what it yields is in
// no order. It is stricter in two things. An entry whose [ipset.Change] names
// another type or family than its set has is fs.ErrInvalid, where the kernel
// takes the parts that it knows. A set never holds more than its MaxElem, where
// the kernel does not count an entry that takes a deleted one's slot in the hash,
// and takes a few too many in a hash of 2048 buckets or more, which it counts in
// parts (ip_set_hash_gen.h, mtype_add).
// Of counters that the kernel leaves behind it has those of bitmap:port; in a
// hash it is chance which entry they turn up with.
//
// Its zero value is empty and ready. It is safe for concurrent use; its fields
// are set before that.
type Fake struct {
	// InUse reports whether a rule or a list refers to the named set, which
	// cannot be destroyed or renamed then. Nil: none does.
	InUse func(set string) bool
	// Lacks reports whether the kernel has no such type. Nil: it has all.
	Lacks func(ipset.Type) bool
	// Fail is asked before each change; an error is its result, and the change
	// is not carried out.
	Fail func(ipset.Change) error
	// FailRead is asked before Sets (with ""), Entries, Counters and Test; an
	// error is all that they answer.
	FailRead func(set string) error

	mu   sync.Mutex
	sets map[string]*content
}

var _ ipset.Client = (*Fake)(nil)

// Sets implements [ipset.Client].
func (f *Fake) Sets(ctx context.Context) iter.Seq2[ipset.Set, error] {
	return func(yield func(ipset.Set, error) bool) {
		if err := f.readable(ctx, ""); err != nil {
			yield(ipset.Set{}, err)
			return
		}
		f.mu.Lock()
		sets := make([]ipset.Set, 0, len(f.sets))
		for _, c := range f.sets {
			sets = append(sets, c.set)
		}
		f.mu.Unlock()
		yieldShuffled(sets, yield)
	}
}

// Entries implements [ipset.Client].
func (f *Fake) Entries(ctx context.Context, set string) iter.Seq2[ipset.Entry, error] {
	return func(yield func(ipset.Entry, error) bool) {
		for e, err := range f.Counters(ctx, set) {
			if !yield(e.Entry, err) {
				return
			}
		}
	}
}

// Counters implements [ipset.Client].
func (f *Fake) Counters(ctx context.Context, set string) iter.Seq2[ipset.CountedEntry, error] {
	return func(yield func(ipset.CountedEntry, error) bool) {
		entries, err := f.list(ctx, set)
		if err != nil {
			yield(ipset.CountedEntry{}, err)
			return
		}
		yieldShuffled(entries, yield)
	}
}

// Test implements [ipset.Client].
func (f *Fake) Test(ctx context.Context, set ipset.Set, key ipset.EntryKey) (bool, error) {
	found, err := f.test(ctx, set, key)
	if err != nil {
		op := &vipkit.OpError{Op: "ipset test", Object: set.Name + " " + key.String(), Kind: err}
		var r *refusal
		if errors.As(err, &r) {
			op.Kind, op.Err = r.kind, r.why
		}
		err = op
	}
	return found, err
}

func (f *Fake) test(ctx context.Context, set ipset.Set, key ipset.EntryKey) (bool, error) {
	if err := f.asked(ctx, set.Name); err != nil {
		return false, err
	}
	c := ipset.Change{Op: ipset.DeleteEntry, Set: set, Entry: ipset.Entry{EntryKey: key}}
	if err := c.Validate(); err != nil {
		return false, &refusal{fs.ErrInvalid, err}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	have := f.sets[set.Name]
	if have == nil {
		return false, fs.ErrNotExist
	}
	if err := have.fits(set); err != nil {
		return false, err
	}
	have.expire(time.Now())
	return have.test(key), nil
}

func (f *Fake) list(ctx context.Context, set string) ([]ipset.CountedEntry, error) {
	if err := f.readable(ctx, set); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.sets[set]
	if c == nil {
		kind := fs.ErrNotExist
		if (ipset.Change{Op: ipset.FlushSet, Set: ipset.Set{Name: set}}).Validate() != nil {
			kind = fs.ErrInvalid
		}
		return nil, &vipkit.OpError{Op: "ipset list", Object: set, Kind: kind}
	}
	return c.list(time.Now()), nil
}

func (f *Fake) readable(ctx context.Context, set string) error {
	if err := f.asked(ctx, set); err != nil {
		return &vipkit.OpError{Op: "ipset list", Object: set, Kind: err}
	}
	return nil
}

// asked returns the error that a reading call ends with before it looks at anything.
func (f *Fake) asked(ctx context.Context, set string) error {
	err := ctx.Err()
	if err == nil && f.FailRead != nil {
		err = f.FailRead(set)
	}
	return err
}

func yieldShuffled[T any](all []T, yield func(T, error) bool) {
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, v := range all {
		if !yield(v, nil) {
			return
		}
	}
}

// Apply implements [ipset.Client].
func (f *Fake) Apply(ctx context.Context, changes []ipset.Change) []error {
	var errs []error
	for i, c := range changes {
		err := ctx.Err()
		if err == nil {
			err = f.apply(c)
		}
		if err == nil {
			continue
		}
		if errs == nil {
			errs = make([]error, len(changes))
		}
		errs[i] = opError(c, err)
	}
	return errs
}

func opError(c ipset.Change, err error) error {
	_, object, _ := strings.Cut(c.String(), " ")
	e := &vipkit.OpError{Op: "ipset " + c.Op.String(), Object: object, Kind: err}
	var r *refusal
	var injected *vipkit.OpError
	if errors.As(err, &r) {
		e.Kind, e.Err = r.kind, r.why
	} else if errors.As(err, &injected) {
		return injected
	}
	return e
}

// refusal is a kind and the reason for it.
type refusal struct{ kind, why error }

func (r *refusal) Error() string { return r.kind.Error() }

func invalid(format string, args ...any) error {
	return &refusal{fs.ErrInvalid, fmt.Errorf(format, args...)}
}

func (f *Fake) apply(c ipset.Change) error {
	if err := c.Validate(); err != nil {
		return &refusal{fs.ErrInvalid, err}
	}
	if f.Fail != nil {
		if err := f.Fail(c); err != nil {
			return err
		}
	}
	inUse := (c.Op == ipset.DestroySet || c.Op == ipset.RenameSet) && f.InUse != nil && f.InUse(c.Set.Name)
	f.mu.Lock()
	defer f.mu.Unlock()
	have := f.sets[c.Set.Name]
	if c.Op == ipset.CreateSet {
		return f.create(have, c.Set)
	}
	if have == nil {
		return fs.ErrNotExist
	}
	switch c.Op {
	case ipset.DestroySet:
		if inUse {
			return vipkit.ErrInUse
		}
		delete(f.sets, c.Set.Name)
	case ipset.RenameSet:
		return f.rename(have, c, inUse)
	case ipset.FlushSet:
		have.flush()
	case ipset.SwapSets:
		return f.swap(have, c)
	default:
		return have.change(c)
	}
	return nil
}

func (f *Fake) create(have *content, s ipset.Set) error {
	if f.Lacks != nil && f.Lacks(s.Type) {
		return errors.ErrUnsupported
	}
	if have != nil {
		return fs.ErrExist
	}
	if s.Type != ipset.BitmapPort {
		if s.HashSize == 0 {
			s.HashSize = 1024
		}
		s.HashSize = max(64, uint32(1)<<bits.Len32(s.HashSize-1)) // htable_bits
		if s.MaxElem == 0 {
			s.MaxElem = 65536
		}
	}
	if f.sets == nil {
		f.sets = map[string]*content{}
	}
	f.sets[s.Name] = newContent(s)
	return nil
}

func (f *Fake) rename(have *content, c ipset.Change, inUse bool) error {
	switch {
	case inUse:
		return vipkit.ErrInUse
	case f.sets[c.Other] != nil:
		return fs.ErrExist
	}
	delete(f.sets, c.Set.Name)
	have.set.Name = c.Other
	f.sets[c.Other] = have
	return nil
}

func (f *Fake) swap(have *content, c ipset.Change) error {
	other := f.sets[c.Other]
	if other == nil {
		return fs.ErrNotExist
	}
	if have.set.Type != other.set.Type || have.set.Family != other.set.Family {
		return invalid("the types of the sets differ")
	}
	have.set.Name, other.set.Name = c.Other, c.Set.Name
	f.sets[c.Set.Name], f.sets[c.Other] = other, have
	other.set.Name = c.Set.Name // last: a set may be swapped with itself
	return nil
}
