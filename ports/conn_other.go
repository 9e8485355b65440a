//go:build !linux

package ports

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Conn is for Linux only.
type Conn struct{}

var _ Client = (*Conn)(nil)

// Open fails with errors.ErrUnsupported: see the Linux build.
func Open(*Config) (*Conn, error) {
	return nil, fmt.Errorf("ports: %w", errors.ErrUnsupported)
}

// Hold implements [Client].
func (*Conn) Hold(context.Context, Key) (io.Closer, error) {
	return nil, fmt.Errorf("ports: %w", errors.ErrUnsupported)
}
