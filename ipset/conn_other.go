//go:build !linux

package ipset

import (
	"context"
	"errors"
	"iter"
)

// Conn is the kernel's IP sets; this system has none.
type Conn struct{}

var _ Client = (*Conn)(nil)

// Open fails with [errors.ErrUnsupported].
func Open(*Config) (*Conn, error) { return nil, errors.ErrUnsupported }

// Close does nothing.
func (*Conn) Close() error { return nil }

// Requests returns zeros.
func (*Conn) Requests() (messages, sends int64) { return 0, 0 }

// Sets implements [Client].
func (*Conn) Sets(context.Context) iter.Seq2[Set, error] {
	return func(yield func(Set, error) bool) { yield(Set{}, errors.ErrUnsupported) }
}

// Entries implements [Client].
func (*Conn) Entries(context.Context, string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) { yield(Entry{}, errors.ErrUnsupported) }
}

// Counters implements [Client].
func (*Conn) Counters(context.Context, string) iter.Seq2[CountedEntry, error] {
	return func(yield func(CountedEntry, error) bool) { yield(CountedEntry{}, errors.ErrUnsupported) }
}

// Test implements [Client].
func (*Conn) Test(context.Context, Set, EntryKey) (bool, error) { return false, errors.ErrUnsupported }

// Apply implements [Client].
func (*Conn) Apply(_ context.Context, changes []Change) []error {
	errs := make([]error, len(changes))
	for i, c := range changes {
		errs[i] = kindError(c, errors.ErrUnsupported, nil)
	}
	return errs
}
