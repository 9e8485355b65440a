//go:build !linux

package oracle

import (
	"errors"
	"fmt"
)

// ReadNetwork fails with errors.ErrUnsupported: see the Linux build.
func ReadNetwork(_, _ string) (Network, error) {
	return Network{}, fmt.Errorf("oracle: read network: %w", errors.ErrUnsupported)
}
