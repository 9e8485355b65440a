//go:build !linux

package realserver

import (
	"context"
	"errors"
)

// Prepare fails with errors.ErrUnsupported.
func Prepare(context.Context, string, Config) (Report, error) {
	return Report{}, errors.ErrUnsupported
}

// Undo fails with errors.ErrUnsupported.
func Undo(context.Context, string, string) (Report, error) {
	return Report{}, errors.ErrUnsupported
}
