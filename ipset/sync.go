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
	if err != nil {
		return nil, err
	}
	// Pointers are sorted, and not the entries, which are large.
	order := make([]*Entry, len(entries))
	for i := range entries {
		order[i] = &entries[i]
	}
	slices.SortFunc(order, func(a, b *Entry) int { return a.EntryKey.compare(&b.EntryKey) })
	sorted := make([]Entry, len(entries))
	for i, e := range order {
		sorted[i] = *e
	}
	return sorted, nil
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
