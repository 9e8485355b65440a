//go:build !linux

package dummy

import (
	"context"
	"errors"
	"iter"
)

// Conn is the links and addresses of a network namespace. There are none outside
// Linux.
type Conn struct{}

var (
	_ Client  = (*Conn)(nil)
	_ Watcher = (*Conn)(nil)
)

// Open fails with errors.ErrUnsupported.
func Open(*Config) (*Conn, error) { return nil, errors.ErrUnsupported }

// Close does nothing.
func (*Conn) Close() error { return nil }

// Requests returns zero.
func (*Conn) Requests() (messages, sends int64) { return 0, 0 }

// Link implements [Client].
func (*Conn) Link(context.Context, string) (Link, error) { return Link{}, errors.ErrUnsupported }

// CreateLink implements [Client].
func (*Conn) CreateLink(context.Context, Link) error { return errors.ErrUnsupported }

// UpdateLink implements [Client].
func (*Conn) UpdateLink(context.Context, Link) error { return errors.ErrUnsupported }

// DeleteLink implements [Client].
func (*Conn) DeleteLink(context.Context, string) error { return errors.ErrUnsupported }

// Addresses implements [Client].
func (*Conn) Addresses(context.Context, string) iter.Seq2[Address, error] {
	return func(yield func(Address, error) bool) { yield(Address{}, errors.ErrUnsupported) }
}

// Apply implements [Client].
func (*Conn) Apply(_ context.Context, _ string, changes []Change) []error {
	errs := make([]error, len(changes))
	for i := range errs {
		errs[i] = errors.ErrUnsupported
	}
	return errs
}

// Watch implements [Watcher].
func (*Conn) Watch(context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) { yield(Event{}, errors.ErrUnsupported) }
}
