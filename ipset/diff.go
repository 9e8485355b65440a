package ipset

import (
	"cmp"
	"slices"
)

// Compare orders keys: by first address or network, protocol, port, second
// address or network. It is a total order.
func (k EntryKey) Compare(o EntryKey) int {
	return cmp.Or(
		k.Net.Compare(o.Net),
		cmp.Compare(k.Protocol, o.Protocol),
		cmp.Compare(k.Port, o.Port),
		k.Net2.Compare(o.Net2),
	)
}

// Compare orders entries by their keys.
func (e Entry) Compare(o Entry) int { return e.EntryKey.Compare(o.EntryKey) }

// Diff returns the changes that make the entries of set, which are have, those
// in want: first what is added or updated, then what is deleted, each by
// [EntryKey.Compare]. A key that want has twice counts as its last entry.
//
// The time left is not compared, only whether there is an end to it: an entry
// that expires stays if want has one that does. Additions come first, so that
// nothing that want has is missing in between: the set must have room for both.
func Diff(set Set, have, want []Entry) []Change {
	set = Set{Name: set.Name, Type: set.Type, Family: set.Family}
	old := make(map[EntryKey]Entry, len(have))
	for _, e := range have {
		old[e.EntryKey] = e
	}
	wanted := make(map[EntryKey]Entry, len(want))
	for _, e := range want {
		wanted[e.EntryKey] = e
	}
	var writes, deletes []Change
	for k, e := range wanted {
		h, ok := old[k]
		switch {
		case !ok:
			writes = append(writes, Change{Op: AddEntry, Set: set, Entry: e})
		case !sameButTime(h, e):
			writes = append(writes, Change{Op: UpdateEntry, Set: set, Entry: e})
		}
	}
	for k := range old {
		if _, ok := wanted[k]; !ok {
			deletes = append(deletes, Change{Op: DeleteEntry, Set: set, Entry: Entry{EntryKey: k}})
		}
	}
	order := func(a, b Change) int { return a.Entry.Compare(b.Entry) }
	slices.SortFunc(writes, order)
	slices.SortFunc(deletes, order)
	return append(writes, deletes...)
}

// sameButTime reports whether the entry in the kernel serves as the wanted one.
// A wanted timeout of zero is the set's default, whatever that is.
func sameButTime(have, want Entry) bool {
	if want.Timeout != 0 && (have.Timeout == Forever) != (want.Timeout == Forever) {
		return false
	}
	have.Timeout, want.Timeout = 0, 0
	return have == want
}
