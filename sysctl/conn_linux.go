package sysctl

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/run"
)

// root is where the kernel shows its parameters.
const root = "/proc/sys"

// Conn is the parameters of a running kernel. It holds nothing open.
type Conn struct {
	cfg Config
}

var _ Client = (*Conn)(nil)

// Open returns a Conn.
func Open(cfg *Config) (*Conn, error) {
	c := &Conn{}
	if cfg != nil {
		c.cfg = *cfg
	}
	return c, nil
}

// Get implements [Client].
func (c *Conn) Get(ctx context.Context, name string) (string, error) {
	var value []byte
	err := c.do(ctx, name, func(path string) (err error) {
		value, err = os.ReadFile(path)
		return err
	})
	if err != nil {
		return "", opError("sysctl get", name, err)
	}
	return strings.TrimSuffix(string(value), "\n"), nil
}

// Set implements [Client].
func (c *Conn) Set(ctx context.Context, name, value string) error {
	err := CheckValue(value)
	if err == nil {
		err = c.do(ctx, name, func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			// One write: the kernel takes each for a whole value.
			_, err = f.WriteString(value)
			return errors.Join(err, f.Close())
		})
	} else {
		err = &vipkit.OpError{Kind: fs.ErrInvalid, Err: err}
	}
	if err != nil {
		return opError("sysctl set", name+" = "+value, err)
	}
	return nil
}

// do calls f with the path of a parameter, in the namespace.
func (c *Conn) do(ctx context.Context, name string, f func(path string) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path, err := Path(name)
	if err != nil {
		return &vipkit.OpError{Kind: fs.ErrInvalid, Err: err}
	}
	path = filepath.Join(root, path)
	if c.cfg.Namespace == "" {
		return f(path)
	}
	return run.InNamespace(c.cfg.Namespace, func() error { return f(path) })
}

// opError gives an error its kind. The context's own stays as it is.
func opError(op, object string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	e := &vipkit.OpError{Op: op, Object: object, Err: err}
	if inner := (*vipkit.OpError)(nil); errors.As(err, &inner) {
		e.Kind, e.Err = inner.Kind, inner.Err
		return e
	}
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		e.Err, e.Kind = errno, classify(errno)
		return e
	}
	return e
}

// classify returns the kind of what the kernel answered to opening, reading or
// writing a parameter.
func classify(errno syscall.Errno) error {
	switch errno {
	case syscall.ENOENT, syscall.ENOTDIR, syscall.EISDIR:
		return fs.ErrNotExist
	case syscall.EACCES, syscall.EPERM, syscall.EROFS:
		return fs.ErrPermission
	case syscall.EINVAL, syscall.ERANGE, syscall.EOVERFLOW:
		return fs.ErrInvalid
	}
	return nil
}
