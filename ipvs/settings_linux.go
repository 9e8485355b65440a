package ipvs

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
)

// Info implements [Client].
func (c *Conn) Info(ctx context.Context) (Info, error) {
	return ask(ctx, c, "ipvs info", cmdGetInfo, decodeInfo)
}

// Timeouts implements [Client].
func (c *Conn) Timeouts(ctx context.Context) (Timeouts, error) {
	return ask(ctx, c, "ipvs get timeouts", cmdGetConfig, decodeTimeouts)
}

// SetTimeouts implements [Client].
func (c *Conn) SetTimeouts(ctx context.Context, t Timeouts) error {
	const op = "ipvs set timeouts"
	if err := t.Validate(); err != nil {
		return ReadError(op, t.String(), err)
	}
	family, err := c.familyID(ctx)
	if err != nil {
		return ReadError(op, t.String(), err)
	}
	var b nl.Batch
	appendTimeouts(&b, family, t)
	if err := c.execOne(ctx, &b); err != nil {
		return ReadError(op, t.String(), err)
	}
	return nil
}

// execOne sends the one request in b.
func (c *Conn) execOne(ctx context.Context, b *nl.Batch) error {
	var refused error
	err := c.nl.Exec(ctx, b, func(f nl.Failure) {
		if refused = f.Errno; f.Lost {
			refused = vipkit.ErrReplyLost
		}
	})
	if err == nil {
		err = refused
	}
	return err
}

// StartDaemon implements [Client].
func (c *Conn) StartDaemon(ctx context.Context, d Daemon) error {
	if err := c.daemon(ctx, cmdNewDaemon, d, d.Validate()); err != nil {
		return ReadError(opStartDaemon, d.String(), err)
	}
	return nil
}

// StopDaemon implements [Client].
func (c *Conn) StopDaemon(ctx context.Context, state DaemonState) error {
	err := c.daemon(ctx, cmdDelDaemon, Daemon{State: state}, state.Validate())
	if errors.Is(err, vipkit.ErrReplyLost) {
		// A thread that is stopped before it first ran ends with EINTR (kernel/kthread.c),
		// for which the kernel sends no answer.
		all, listed := c.Daemons(ctx)
		if listed == nil && !slices.ContainsFunc(all, func(d Daemon) bool { return d.State == state }) {
			return nil
		}
	}
	if err != nil {
		return ReadError(opStopDaemon, "--stop-daemon "+state.String(), err)
	}
	return nil
}

// daemon sends a request about a daemon, unless it is invalid.
func (c *Conn) daemon(ctx context.Context, cmd uint8, d Daemon, invalid error) error {
	if invalid != nil {
		return invalid
	}
	family, err := c.familyID(ctx)
	if err != nil {
		return err
	}
	var b nl.Batch
	appendDaemon(&b, family, cmd, &d)
	return c.execOne(ctx, &b)
}

// Daemons implements [Client].
func (c *Conn) Daemons(ctx context.Context) ([]Daemon, error) {
	const op = "ipvs list daemons"
	all, err := dump(ctx, c, cmdGetDaemon, decodeDaemon)
	if err != nil {
		return nil, ReadError(op, "", err)
	}
	return all, nil
}

// ask sends a request that has one answer.
func ask[T any](ctx context.Context, c *Conn, op string, cmd uint8, decode func(nl.Message) (T, bool)) (T, error) {
	var answer, none T
	ok := false
	family, err := c.familyID(ctx)
	if err == nil {
		var b nl.Batch
		b.Begin(family, 0)
		b.Genl(cmd, genlVersion)
		b.End()
		err = c.nl.Read(ctx, &b, func(m nl.Message) error {
			answer, ok = decode(m)
			return nil
		})
	}
	if err == nil && !ok {
		err = errMalformed
	}
	if err != nil {
		return none, ReadError(op, "", err)
	}
	return answer, nil
}

// dump sends a request for all objects of a kind.
func dump[T any](ctx context.Context, c *Conn, cmd uint8, decode func(nl.Message) (T, bool)) ([]T, error) {
	family, err := c.familyID(ctx)
	if err != nil {
		return nil, err
	}
	w := c.writers.Get().(*writer)
	defer c.writers.Put(w)
	w.batch.Reset()
	w.batch.Begin(family, unix.NLM_F_DUMP)
	w.batch.Genl(cmd, genlVersion)
	w.batch.End()
	var all []T
	if cmd == cmdGetService {
		all = make([]T, 0, c.listed.Load())
	}
	err = nl.Retry(func() error {
		all = all[:0]
		return c.nl.Read(ctx, &w.batch, func(m nl.Message) error {
			v, ok := decode(m)
			if !ok {
				return errMalformed
			}
			all = append(all, v)
			return nil
		})
	})
	if cmd == cmdGetService {
		c.listed.Store(int64(len(all)))
	}
	return all, err
}
