// Package run is the one place of vipkit that starts a process.
package run

import (
	"context"
	"sync/atomic"
)

// started counts the processes that this program has started through Run.
var started atomic.Int64

// Started returns how many processes Run has started since the program began.
func Started() int64 { return started.Load() }

// Result is what a process left behind.
type Result struct {
	Stdout, Stderr []byte
	// Code is the exit status.
	Code int
}

// Runner runs a program to its end.
type Runner interface {
	// Run starts name with args, stdin as its input, and LC_ALL=C. An exit
	// status other than 0 is no error; that the program could not be started
	// (errors.ErrUnsupported where it is missing) or was killed because ctx
	// is done is.
	Run(ctx context.Context, stdin []byte, name string, args ...string) (Result, error)
}
