//go:build !linux

package sysctl

import (
	"context"
	"errors"
)

// Conn is the parameters of a running kernel. There are none outside Linux.
type Conn struct{}

var _ Client = (*Conn)(nil)

// Open fails with errors.ErrUnsupported.
func Open(*Config) (*Conn, error) { return nil, errors.ErrUnsupported }

// Get implements [Client].
func (*Conn) Get(context.Context, string) (string, error) { return "", errors.ErrUnsupported }

// Set implements [Client].
func (*Conn) Set(context.Context, string, string) error { return errors.ErrUnsupported }
