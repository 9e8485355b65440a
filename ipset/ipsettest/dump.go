package ipsettest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vipkit/vipkit/ipset"
)

// Dump returns everything as "ipset save" does, sets by name and entries by
// [ipset.Entry.Compare].
func (f *Fake) Dump() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	now := time.Now()
	for _, name := range slices.Sorted(maps.Keys(f.sets)) {
		c := f.sets[name]
		fmt.Fprintln(&b, c.set)
		entries := c.list(now)
		slices.SortFunc(entries, func(a, b ipset.CountedEntry) int { return a.Compare(b.Entry) })
		for _, e := range entries {
			fmt.Fprintln(&b, ipset.Change{Op: ipset.AddEntry, Set: c.set, Entry: e.Entry, Counters: e.Counters})
		}
	}
	return b.String()
}

// Load carries out the lines of an "ipset save" or "ipset restore" text, such
// as Dump returns. Fail is asked for them too.
func (f *Fake) Load(text string) error {
	changes, err := ipset.Parse(text)
	if err != nil {
		return err
	}
	return errors.Join(f.Apply(context.Background(), changes)...)
}
