// Package portstest has a fake of package ports.
package portstest

import (
	"context"
	"io"
	"io/fs"
	"maps"
	"sync"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ports"
)

// Fake is ports in memory. Every address counts as one of the host. Its zero
// value is ready, and it is safe for concurrent use.
type Fake struct {
	mu    sync.Mutex
	held  map[ports.Key]bool
	taken map[ports.Key]string
}

var _ ports.Client = (*Fake)(nil)

// Take makes a program have a port; with an empty name nobody has it.
func (f *Fake) Take(k ports.Key, program string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.taken == nil {
		f.taken = make(map[ports.Key]string)
	}
	if f.taken[k] = program; program == "" {
		delete(f.taken, k)
	}
}

// Held returns the ports that are held.
func (f *Fake) Held() map[ports.Key]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.held)
}

// Hold implements [ports.Client].
func (f *Fake) Hold(ctx context.Context, k ports.Key) (io.Closer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := k.Validate(); err != nil {
		return nil, &vipkit.OpError{Op: "hold port", Object: k.String(), Kind: fs.ErrInvalid, Err: err}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if program, taken := f.taken[k]; taken || f.held[k] {
		return nil, &vipkit.OpError{Op: "hold port", Object: k.String(), Kind: vipkit.ErrInUse, Detail: program}
	}
	if f.held == nil {
		f.held = make(map[ports.Key]bool)
	}
	f.held[k] = true
	return closer(sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.held, k)
	})), nil
}

// closer is a function to be called once.
type closer func()

// Close implements [io.Closer].
func (c closer) Close() error {
	c()
	return nil
}
