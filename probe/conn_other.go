//go:build !linux

package probe

import (
	"context"
	"errors"
)

// Conn asks a running kernel. There is none outside Linux.
type Conn struct{}

var _ Client = (*Conn)(nil)

// Open fails with errors.ErrUnsupported.
func Open(*Config) (*Conn, error) { return nil, errors.ErrUnsupported }

// Probe implements [Client].
func (*Conn) Probe(context.Context, Facility) error { return errors.ErrUnsupported }
