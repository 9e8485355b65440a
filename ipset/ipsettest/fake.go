package ipsettest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
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
// the kernel does not count an entry that takes a deleted one's slot in the hash.
//
// Its zero value is empty and ready. It is safe for concurrent use; its fields
// are set before that.
type Fake struct {
	// InUse reports whether a rule or a list refers to the named set, which
	// cannot be destroyed then. Nil: none does.
	InUse func(set string) bool
	// Lacks reports whether the kernel has no such type. Nil: it has all.
	Lacks func(ipset.Type) bool
	// Fail is asked before each change; an error is its result, and the change
	// is not carried out.
	Fail func(ipset.Change) error
	// FailRead is asked before Sets (with "") and Entries; an error is the
	// only thing that they yield.
	FailRead func(set string) error

	mu   sync.Mutex
	sets map[string]*content
}

var _ ipset.Client = (*Fake)(nil)

// content is a set and its entries. Their Timeout is not kept but counted down
// from expires.
type content struct {
	set     ipset.Set
	entries map[ipset.EntryKey]held
}

type held struct {
	entry   ipset.Entry
	expires time.Time // zero: never
}

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
		entries, err := f.list(ctx, set)
		if err != nil {
			yield(ipset.Entry{}, err)
			return
		}
		yieldShuffled(entries, yield)
	}
}

func (f *Fake) list(ctx context.Context, set string) ([]ipset.Entry, error) {
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

func (c *content) list(now time.Time) []ipset.Entry {
	c.expire(now)
	entries := make([]ipset.Entry, 0, len(c.entries))
	for _, h := range c.entries {
		e := h.entry
		if c.set.Timeout != 0 {
			e.Timeout = ipset.Forever
			if !h.expires.IsZero() {
				e.Timeout = max(time.Second, h.expires.Sub(now).Truncate(time.Second))
			}
		}
		entries = append(entries, e)
	}
	return entries
}

func (c *content) expire(now time.Time) {
	if c.set.Timeout != 0 {
		maps.DeleteFunc(c.entries, func(_ ipset.EntryKey, h held) bool {
			return !h.expires.IsZero() && !now.Before(h.expires)
		})
	}
}

func (f *Fake) readable(ctx context.Context, set string) error {
	err := ctx.Err()
	if err == nil && f.FailRead != nil {
		err = f.FailRead(set)
	}
	if err == nil {
		return nil
	}
	return &vipkit.OpError{Op: "ipset list", Object: set, Kind: err}
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
	inUse := c.Op == ipset.DestroySet && f.InUse != nil && f.InUse(c.Set.Name)
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
	case ipset.FlushSet:
		clear(have.entries)
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
	f.sets[s.Name] = &content{set: s, entries: map[ipset.EntryKey]held{}}
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

// change adds, updates or deletes an entry.
func (c *content) change(ch ipset.Change) error {
	s, e, now := c.set, ch.Entry, time.Now()
	if ch.Set.Type != s.Type || ch.Set.Family != s.Family {
		return invalid("the set is %s %v, not %s %v", s.Type, s.Family, ch.Set.Type, ch.Set.Family)
	}
	if s.Type == ipset.BitmapPort && (e.Port < s.PortFrom || e.Port > s.PortTo) {
		return invalid("port %d is outside %d-%d", e.Port, s.PortFrom, s.PortTo)
	}
	c.expire(now)
	_, exists := c.entries[e.EntryKey]
	if ch.Op == ipset.DeleteEntry {
		if !exists {
			return fs.ErrNotExist
		}
		delete(c.entries, e.EntryKey)
		return nil
	}
	switch {
	case e.Comment != "" && !s.Comment:
		return invalid("the set was created without comment")
	case e.MarkMask != 0 && !s.SkbInfo:
		return invalid("the set was created without skbinfo")
	case e.Timeout != 0 && s.Timeout == 0:
		return invalid("the set was created without timeout")
	case exists && ch.Op == ipset.AddEntry:
		return fs.ErrExist
	case !exists && s.Type != ipset.BitmapPort && uint64(len(c.entries)) >= uint64(s.MaxElem):
		return vipkit.ErrFull
	}
	h := held{entry: e}
	if left := e.Timeout; s.Timeout != 0 && left != ipset.Forever {
		if left == 0 {
			left = s.Timeout
		}
		h.expires = now.Add(left)
	}
	h.entry.Timeout = 0
	c.entries[e.EntryKey] = h
	return nil
}
