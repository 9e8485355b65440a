//go:build !linux

package run

import (
	"errors"
	"fmt"
	"os/exec"
)

// startIn starts cmd. There are no network namespaces outside Linux.
func startIn(namespace string, cmd *exec.Cmd) error {
	if namespace == "" {
		return cmd.Start()
	}
	return InNamespace(namespace, cmd.Start)
}

// killGroup leaves cmd as it is: only the process itself dies with its context.
func killGroup(*exec.Cmd) {}

// InNamespace fails with errors.ErrUnsupported.
func InNamespace(path string, _ func() error) error {
	return fmt.Errorf("network namespace %s: %w", path, errors.ErrUnsupported)
}
