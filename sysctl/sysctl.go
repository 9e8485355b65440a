package sysctl

import "context"

// Client is the kernel's parameters under /proc/sys, or something that answers
// alike. Names are with dots ("net.ipv4.vs.conntrack") or, where a part of the
// name holds a dot, with slashes. All methods are safe for concurrent use.
type Client interface {
	// Get returns a parameter's value without the trailing newline. It fails
	// with fs.ErrNotExist where the kernel has no such parameter (its module
	// may not be loaded).
	Get(ctx context.Context, name string) (string, error)

	// Set sets a parameter. It fails with fs.ErrNotExist, fs.ErrPermission,
	// or fs.ErrInvalid for a value that the kernel refuses. Of a value of
	// several numbers the kernel has then taken those before the one that it
	// refused. It does not look at what is behind the last that it expects:
	// "1 x" is 1 to a parameter of one number.
	Set(ctx context.Context, name, value string) error
}
