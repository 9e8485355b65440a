package ipset

import (
	"context"
	"errors"
	"io/fs"
)

// Resize gives the set, in one step for the rules that refer to it, the parameters
// of to: its MaxElem, or what entries can carry. It creates to under a temporary
// name, copies the entries, swaps the two and destroys the old one. The swap is not
// in one send with the copying, since it must not happen unless all was copied.
//
// Entries keep all that they carry: comments, the time left, marks, counters as
// they were read. What others add meanwhile, and what is counted meanwhile, is
// lost. If entries could not expire before and can now, they never do. A HashSize
// of zero is made to suit the entries. The temporary name is the set's with "~"
// appended, shortened to fit; a leftover of that name is destroyed first.
//
// It fails with fs.ErrNotExist without the set, vipkit.ErrFull if MaxElem is less
// than there are entries, and fs.ErrInvalid if entries carry what to cannot hold;
// the set is then as it was.
func Resize(ctx context.Context, c Client, to Set) error {
	if err := to.Validate(); err != nil {
		return kindError(Change{Op: CreateSet, Set: to}, fs.ErrInvalid, err)
	}
	entries, err := collect(c.Counters(ctx, to.Name))
	if err != nil {
		return err
	}
	temporary := to
	temporary.Name = to.Name[:min(len(to.Name), MaxNameLen-1)] + "~"
	if temporary.HashSize == 0 && len(entries) > 1024 && to.Type != BitmapPort {
		temporary.HashSize = uint32(len(entries))
	}
	if err := discard(ctx, c, temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	fill := make([]Change, 0, 1+len(entries))
	fill = append(fill, Change{Op: CreateSet, Set: temporary})
	for _, e := range entries {
		if to.Timeout != 0 && e.Timeout == 0 {
			e.Timeout = Forever
		}
		if !to.Counters {
			e.Counters = Counters{}
		}
		fill = append(fill, Change{Op: AddEntry, Set: temporary, Entry: e.Entry, Counters: e.Counters})
	}
	errs := c.Apply(ctx, fill)
	if err := errors.Join(errs...); err != nil {
		if errs[0] == nil {
			err = errors.Join(err, discard(context.WithoutCancel(ctx), c, temporary))
		}
		return err
	}
	errs = c.Apply(ctx, []Change{{Op: SwapSets, Set: to, Other: temporary.Name}, {Op: DestroySet, Set: temporary}})
	err = errors.Join(errs...)
	if errs != nil && errs[1] != nil {
		err = errors.Join(err, discard(context.WithoutCancel(ctx), c, temporary))
	}
	return err
}

func discard(ctx context.Context, c Client, s Set) error {
	return errors.Join(c.Apply(ctx, []Change{{Op: DestroySet, Set: s}})...)
}
