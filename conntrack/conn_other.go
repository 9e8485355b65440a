//go:build !linux

package conntrack

import (
	"context"
	"errors"
	"iter"
)

// Conn is the kernel's connection tracking; this system has none.
type Conn struct{}

var _ Client = (*Conn)(nil)

// Open fails with [errors.ErrUnsupported].
func Open(*Config) (*Conn, error) { return nil, errors.ErrUnsupported }

// Close does nothing.
func (*Conn) Close() error { return nil }

// Requests returns zeros.
func (*Conn) Requests() (messages, sends int64) { return 0, 0 }

// Flows implements [Client].
func (*Conn) Flows(context.Context, Filter) iter.Seq2[FlowInfo, error] {
	return func(yield func(FlowInfo, error) bool) { yield(FlowInfo{}, errors.ErrUnsupported) }
}

// Count implements [Client].
func (*Conn) Count(context.Context) (n, limit int, err error) { return 0, 0, errors.ErrUnsupported }

// Delete implements [Client].
func (*Conn) Delete(context.Context, []Flow) (int, error) { return 0, errors.ErrUnsupported }

// DeleteMatching implements [Client].
func (*Conn) DeleteMatching(context.Context, []Match) (int, error) {
	return 0, errors.ErrUnsupported
}
