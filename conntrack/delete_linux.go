package conntrack

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
)

// DeleteMatching implements [Client].
func (c *Conn) DeleteMatching(ctx context.Context, matches []Match) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, opError("delete", "", err)
	}
	selected, invalid := newSelector(matches)
	if len(selected) == 0 {
		return 0, invalid
	}
	if n, _, err := c.Count(ctx); err == nil && n == 0 {
		return 0, invalid
	}
	unknown, err := c.kernelDeletes(ctx, selected)
	if err != nil {
		return 0, errors.Join(invalid, err)
	}
	var flows []Flow
	for _, filter := range selected.filters() {
		err := c.dump(ctx, &filter, selected.wants, func(f *FlowInfo) bool {
			if selected.selects(&f.Flow) {
				flows = append(flows, f.Flow)
			}
			return true
		})
		if err != nil {
			return 0, errors.Join(invalid, opError("delete", "", err))
		}
	}
	n := 0
	if len(flows) > 0 {
		n, err = c.Delete(ctx, flows)
	}
	if unknown {
		n = -1
	}
	return n, errors.Join(invalid, err)
}

// fewKernelDeletes is up to how many matches the kernel goes through its table
// for once each: past that, one dump is cheaper.
const fewKernelDeletes = 8

// kernelDeletes deletes what the kernel can select itself, if it may, and takes it
// out of what is selected. done says that there was something.
func (c *Conn) kernelDeletes(ctx context.Context, selected selector) (done bool, err error) {
	matches := slices.DeleteFunc(selected.matches(), func(m Match) bool { return !kernelSelects(&m) })
	if !c.uncounted || len(matches) == 0 || len(matches) > fewKernelDeletes || c.oneByOne.Load() {
		return false, nil
	}
	b := c.batch()
	defer c.requests.Put(b)
	for i := range matches {
		appendDeleteMatching(b, &matches[i])
	}
	refused := make([]bool, len(matches))
	var errs []error
	err = c.nl.Exec(ctx, b, func(f nl.Failure) {
		refused[f.Index] = true
		switch {
		case f.Errno == unix.EINVAL, f.Errno == unix.EOPNOTSUPP:
			c.oneByOne.Store(true)
		case f.Errno == unix.ECANCELED, f.Lost: // the dump tells what is left
		default:
			errs = append(errs, opError("delete", matches[f.Index].String(), f.Errno))
		}
	})
	if err != nil {
		return false, opError("delete", "", err)
	}
	for i, m := range matches {
		if !refused[i] {
			done = true
			selected.remove(m)
		}
	}
	return done, errors.Join(errs...)
}

// Delete implements [Client].
func (c *Conn) Delete(ctx context.Context, flows []Flow) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, opError("delete", "", err)
	}
	var errs []error
	valid := make([]*Flow, 0, len(flows))
	for i := range flows {
		if !flows[i].valid() {
			err := flows[i].Validate()
			errs = append(errs, &vipkit.OpError{Op: "conntrack delete", Object: flows[i].String(), Kind: fs.ErrInvalid, Err: err})
			continue
		}
		valid = append(valid, &flows[i])
	}
	deleted := 0
	b := c.batch()
	defer c.requests.Put(b)
	const most = 4096 // messages in memory at a time
	for part := range slices.Chunk(valid, most) {
		n, err := c.deletePart(ctx, b, part)
		deleted += n
		if err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return deleted, errors.Join(errs...)
}

// deletePart deletes flows, and those whose answer was lost a second time: a
// flow that is gone then counts as deleted.
func (c *Conn) deletePart(ctx context.Context, b *nl.Batch, flows []*Flow) (int, error) {
	deleted, lost, errs, err := c.exec(ctx, b, flows)
	if len(lost) > 0 && err == nil {
		second, stillLost, again, err2 := c.exec(ctx, b, lost)
		if err2 == nil {
			second = len(lost) - len(stillLost) - len(again)
		}
		deleted += second
		lost, errs, err = stillLost, append(errs, again...), err2
		for _, f := range lost {
			errs = append(errs, opError("delete", f.String(), vipkit.ErrReplyLost))
		}
	}
	if err != nil {
		errs = append(errs, opError("delete", "", err))
	}
	return deleted, errors.Join(errs...)
}

// exec sends one deletion a flow. err is why not all were sent.
func (c *Conn) exec(ctx context.Context, b *nl.Batch, flows []*Flow) (deleted int, lost []*Flow, errs []error, err error) {
	b.Reset()
	appendDeletes(b, flows)
	deleted = len(flows)
	err = c.nl.Exec(ctx, b, func(f nl.Failure) {
		deleted--
		switch {
		case f.Lost:
			lost = append(lost, flows[f.Index])
		case f.Errno == unix.ENOENT, f.Errno == unix.ECANCELED:
		default:
			errs = append(errs, opError("delete", flows[f.Index].String(), f.Errno))
		}
	})
	return deleted, lost, errs, err
}
