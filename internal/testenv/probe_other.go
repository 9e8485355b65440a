//go:build !linux

package testenv

import "errors"

func probeFacility(string) error { return errors.ErrUnsupported }
