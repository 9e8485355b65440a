package ipvs

import (
	"cmp"
	"maps"
	"slices"
)

// Compare orders keys: addresses before firewall marks, then by family,
// protocol, address and port.
func (k Key) Compare(other Key) int {
	return cmp.Or(
		cmp.Compare(k.Mark, other.Mark),
		cmp.Compare(k.Family(), other.Family()),
		cmp.Compare(k.Protocol, other.Protocol),
		k.Addr.Compare(other.Addr),
		cmp.Compare(k.Port, other.Port),
	)
}

// Compare orders destinations by address, IPv4 first, and port.
func (k DestKey) Compare(other DestKey) int {
	return cmp.Or(k.Addr.Compare(other.Addr), cmp.Compare(k.Port, other.Port))
}

// Diff returns the changes that turn have into want, and none where they are
// equal. What is new is added and what differs updated in place first; what is
// not wanted is deleted last, so that a virtual server is never without
// destinations on the way. Within each half the order is that of the keys.
//
// Diff deletes every virtual server that want does not have: leave out of have
// what belongs to others.
func Diff(have, want map[Key]Server) []Change {
	var changes, deletions []Change
	for _, k := range differing(have, want) {
		h, isThere := have[k]
		w, isWanted := want[k]
		service := w.Service.Canonical()
		switch {
		case !isWanted:
			deletions = append(deletions, Change{Op: DeleteService, Service: Service{Key: k}})
			continue
		case !isThere:
			changes = append(changes, Change{Op: AddService, Service: service})
		case h.Service.Canonical() != service:
			changes = append(changes, Change{Op: UpdateService, Service: service})
		}
		changes = appendUpserts(changes, k, h.Destinations, w.Destinations)
		deletions = appendDeletes(deletions, k, h.Destinations, w.Destinations)
	}
	return append(changes, deletions...)
}

// differing returns the keys of what is not equal, sorted. Equal servers, nearly
// all as a rule, cost a comparison and nothing else.
func differing(have, want map[Key]Server) []Key {
	var keys []Key
	for k, w := range want {
		h, ok := have[k]
		if !ok || h.Service.Canonical() != w.Service.Canonical() || !maps.Equal(h.Destinations, w.Destinations) {
			keys = append(keys, k)
		}
	}
	for k := range have {
		if _, ok := want[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, Key.Compare)
	return keys
}

// appendUpserts appends what adds or updates destinations of k.
func appendUpserts(changes []Change, k Key, have, want map[DestKey]Destination) []Change {
	for _, dk := range slices.SortedFunc(maps.Keys(want), DestKey.Compare) {
		h, ok := have[dk]
		c := Change{Op: AddDestination, Service: Service{Key: k}, Destination: want[dk]}
		if ok {
			c.Op = UpdateDestination
		}
		if !ok || h != want[dk] {
			changes = append(changes, c)
		}
	}
	return changes
}

// appendDeletes appends what deletes the destinations of k that are not wanted.
func appendDeletes(changes []Change, k Key, have, want map[DestKey]Destination) []Change {
	start := len(changes)
	for dk := range have {
		if _, ok := want[dk]; !ok {
			changes = append(changes, Change{
				Op: DeleteDestination, Service: Service{Key: k}, Destination: Destination{DestKey: dk},
			})
		}
	}
	slices.SortFunc(changes[start:], func(a, b Change) int {
		return a.Destination.DestKey.Compare(b.Destination.DestKey)
	})
	return changes
}
