//go:build !linux

package iptables

import (
	"context"
	"errors"

	"github.com/vipkit/vipkit"
)

// Conn is the iptables of a network namespace. There is none outside Linux.
type Conn struct{}

var _ Client = (*Conn)(nil)

// Open fails with errors.ErrUnsupported.
func Open(*Config) (*Conn, error) { return nil, errors.ErrUnsupported }

// Info implements [Client].
func (*Conn) Info(context.Context, vipkit.Family) (Info, error) {
	return Info{}, errors.ErrUnsupported
}

// Save implements [Client].
func (*Conn) Save(context.Context, vipkit.Family, ...string) ([]Table, error) {
	return nil, errors.ErrUnsupported
}

// Restore implements [Client].
func (*Conn) Restore(context.Context, vipkit.Family, []Edit) error { return errors.ErrUnsupported }

// Elsewhere fails with errors.ErrUnsupported.
func (*Conn) Elsewhere(context.Context, vipkit.Family) (Elsewhere, error) {
	return Elsewhere{}, errors.ErrUnsupported
}
