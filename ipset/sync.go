package ipset

import (
	"context"
	"errors"
	"iter"
	"slices"
)

// Snapshot returns the entries of the named set, by [Entry.Compare].
func Snapshot(ctx context.Context, c Client, set string) ([]Entry, error) {
	entries, err := collect(c.Entries(ctx, set))
	slices.SortFunc(entries, Entry.Compare)
	return entries, err
}

// Find returns the named set's parameters, and ok false if there is none.
func Find(ctx context.Context, c Client, name string) (s Set, ok bool, err error) {
	for s, err := range c.Sets(ctx) {
		if err != nil {
			return Set{}, false, err
		}
		if s.Name == name {
			return s, true, nil
		}
	}
	return Set{}, false, nil
}

// Sync makes want the entries of the set, which must exist, and returns how
// many changes succeeded. Nothing is written if the entries cannot be read or
// are those wanted already.
func Sync(ctx context.Context, c Client, set Set, want []Entry) (int, error) {
	have, err := collect(c.Entries(ctx, set.Name))
	if err != nil {
		return 0, err
	}
	changes := Diff(set, ByKey(have...), ByKey(want...))
	if len(changes) == 0 {
		return 0, nil
	}
	done := len(changes)
	errs := c.Apply(ctx, changes)
	for _, err := range errs {
		if err != nil {
			done--
		}
	}
	return done, errors.Join(errs...)
}

// Resize gives the set, in one atomic step, the parameters of to (its MaxElem
// or what entries can carry): it creates to under a temporary name, copies the
// entries, swaps the two and destroys the old one. References from rules stay.
// What others add meanwhile is lost. A HashSize of zero is made to suit the
// entries. The temporary name is the set's with "~"
// appended, shortened to fit; a leftover of that name is destroyed first.
func Resize(ctx context.Context, c Client, to Set) error {
	entries, err := collect(c.Entries(ctx, to.Name))
	if err != nil {
		return err
	}
	temporary := to
	temporary.Name = to.Name[:min(len(to.Name), MaxNameLen-1)] + "~"
	if temporary.HashSize == 0 && len(entries) > 1024 && to.Type != BitmapPort {
		temporary.HashSize = uint32(len(entries))
	}
	if _, found, err := Find(ctx, c, temporary.Name); err != nil {
		return err
	} else if found {
		if err := errors.Join(c.Apply(ctx, []Change{{Op: DestroySet, Set: temporary}})...); err != nil {
			return err
		}
	}
	fill := make([]Change, 0, len(entries)+1)
	fill = append(fill, Change{Op: CreateSet, Set: temporary})
	for _, e := range entries {
		fill = append(fill, Change{Op: AddEntry, Set: temporary, Entry: e})
	}
	if err := errors.Join(c.Apply(ctx, fill)...); err != nil {
		return errors.Join(err, discard(ctx, c, temporary))
	}
	if err := errors.Join(c.Apply(ctx, []Change{{Op: SwapSets, Set: to, Other: temporary.Name}})...); err != nil {
		return errors.Join(err, discard(ctx, c, temporary))
	}
	return discard(ctx, c, temporary)
}

// discard destroys a set of ours, even when ctx is done.
func discard(ctx context.Context, c Client, s Set) error {
	return errors.Join(c.Apply(context.WithoutCancel(ctx), []Change{{Op: DestroySet, Set: s}})...)
}

func collect[T any](seq iter.Seq2[T, error]) ([]T, error) {
	var all []T
	for v, err := range seq {
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}
