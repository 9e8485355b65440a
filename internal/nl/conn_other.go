//go:build !linux

package nl

import (
	"context"
	"errors"
	"iter"
)

// Conn is a netlink socket; this system has none.
type Conn struct{}

// Open fails with errors.ErrUnsupported.
func Open(Config) (*Conn, error) { return nil, errors.ErrUnsupported }

// Close does nothing.
func (*Conn) Close() error { return nil }

// Requests returns zeros.
func (*Conn) Requests() (messages, sends int64) { return 0, 0 }

// Exec fails with errors.ErrUnsupported.
func (*Conn) Exec(context.Context, *Batch, func(Failure)) error { return errors.ErrUnsupported }

// Query yields errors.ErrUnsupported.
func (*Conn) Query(context.Context, *Batch) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) { yield(Message{}, errors.ErrUnsupported) }
}

// Read fails with errors.ErrUnsupported.
func (*Conn) Read(context.Context, *Batch, func(Message) error) error { return errors.ErrUnsupported }

// GenlFamily fails with errors.ErrUnsupported.
func (*Conn) GenlFamily(context.Context, string) (uint16, error) { return 0, errors.ErrUnsupported }
