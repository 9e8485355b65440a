package dummy

import (
	"cmp"
	"slices"
)

// Diff returns the changes that make have into want, sorted by address: first the
// additions, then the deletions. An address that changes its means is deleted
// just before it is added again, because IPv4 does not take it twice. Each
// argument is a set: order and repetition do not matter.
func Diff(have, want []Address) []Change {
	haveSet, wantSet := set(have), set(want)
	var adds, deletes []Change
	for _, a := range sorted(want) {
		if haveSet[a] {
			continue
		}
		other := Address{Addr: a.Addr, Means: ByAddress + ByRoute - a.Means}
		if haveSet[other] && !wantSet[other] {
			adds = append(adds, Change{DeleteAddress, other})
			delete(haveSet, other)
		}
		adds = append(adds, Change{AddAddress, a})
	}
	for _, a := range sorted(have) {
		if haveSet[a] && !wantSet[a] {
			deletes = append(deletes, Change{DeleteAddress, a})
		}
	}
	return append(adds, deletes...)
}

func set(list []Address) map[Address]bool {
	m := make(map[Address]bool, len(list))
	for _, a := range list {
		m[a] = true
	}
	return m
}

// sorted returns a copy of the list in order and without repetition.
func sorted(list []Address) []Address {
	list = slices.Clone(list)
	slices.SortFunc(list, compare)
	return slices.Compact(list)
}

func compare(a, b Address) int {
	return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Means, b.Means))
}
