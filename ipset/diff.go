package ipset

import (
	"cmp"
	"net/netip"
	"slices"
)

// Compare orders keys: by first address or network, protocol, port, second
// address or network. It is a total order.
func (k EntryKey) Compare(o EntryKey) int { return k.compare(&o) }

func (k *EntryKey) compare(o *EntryKey) int {
	if c := compareNets(k.Net, o.Net); c != 0 {
		return c
	}
	if c := cmp.Compare(k.Protocol, o.Protocol); c != 0 {
		return c
	}
	if c := cmp.Compare(k.Port, o.Port); c != 0 {
		return c
	}
	return compareNets(k.Net2, o.Net2)
}

// compareNets orders networks by address and length. Unlike
// [netip.Prefix.Compare] it does not mask them, which allocates.
func compareNets(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return cmp.Compare(a.Bits(), b.Bits())
}

// Compare orders entries by their keys.
func (e Entry) Compare(o Entry) int { return e.EntryKey.Compare(o.EntryKey) }

// Diff returns the changes that make the entries of set, which are have, those
// in want: first what is added or updated, then what is deleted, each by
// [EntryKey.Compare]. Each entry is at its own key.
//
// The time left is not compared, only whether there is an end to it: an entry
// that expires stays if want has one that does. Additions come first, so that
// nothing that want has is missing in between: the set must have room for both.
func Diff(set Set, have, want map[EntryKey]Entry) []Change {
	set = Set{Name: set.Name, Type: set.Type, Family: set.Family}
	var writes, deletes []EntryKey
	for k, e := range want {
		if h, ok := have[k]; !ok || !sameButTime(h, e) {
			writes = append(writes, k)
		}
	}
	for k := range have {
		if _, ok := want[k]; !ok {
			deletes = append(deletes, k)
		}
	}
	if len(writes)+len(deletes) == 0 {
		return nil
	}
	slices.SortFunc(writes, EntryKey.Compare)
	slices.SortFunc(deletes, EntryKey.Compare)
	changes := make([]Change, 0, len(writes)+len(deletes))
	for _, k := range writes {
		op := AddEntry
		if _, there := have[k]; there {
			op = UpdateEntry
		}
		changes = append(changes, Change{Op: op, Set: set, Entry: want[k]})
	}
	for _, k := range deletes {
		changes = append(changes, Change{Op: DeleteEntry, Set: set, Entry: Entry{EntryKey: k}})
	}
	return changes
}

// ByKey returns the entries by their keys, as [Diff] takes them. Of several with
// one key the last counts.
func ByKey(entries ...Entry) map[EntryKey]Entry {
	m := make(map[EntryKey]Entry, len(entries))
	for _, e := range entries {
		m[e.EntryKey] = e
	}
	return m
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
