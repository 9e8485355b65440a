package proxier

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/ipvs"
)

// observe reads what is ours in the kernel, and what is in the way of the
// families that are wanted. It writes nothing. An error means that the state is
// unknown: nothing may be concluded from it.
func observe(ctx context.Context, k Kernel, c *config, wanted [2]bool) (*state, error) {
	s := newState()
	// IPVS first: where it is missing, its error is the one to show.
	if _, err := k.IPVS.Info(ctx); err != nil {
		return nil, err
	}
	if err := observeSets(ctx, k.IPSet, c, s); err != nil {
		return nil, err
	}
	if err := observeServers(ctx, k.IPVS, c, s); err != nil {
		return nil, err
	}
	if err := observeLink(ctx, k.Dummy, c, s); err != nil {
		return nil, err
	}
	for i, f := range families {
		if !wanted[i] && !s.has(f) {
			continue
		}
		tables, err := k.IPTables.Save(ctx, f, ourTables...)
		if err != nil {
			return nil, fmt.Errorf("read %v rules: %w", f, err)
		}
		s.rules[i] = c.readRuleset(tables)
	}
	return s, nil
}

func observeSets(ctx context.Context, client ipset.Client, c *config, s *state) error {
	type ours struct {
		id setID
		f  vipkit.Family
	}
	names := make(map[string]ours)
	for _, f := range families {
		for id := range numSets {
			names[c.setName(id, f)] = ours{id, f}
		}
	}
	for have, err := range client.Sets(ctx) {
		if err != nil {
			return fmt.Errorf("read sets: %w", err)
		}
		if o, ok := names[have.Name]; ok {
			if !c.set(o.id, o.f).Compatible(have) {
				return &vipkit.OpError{Op: "proxier read set", Object: have.String(), Kind: ErrConflict, Detail: "we would create it with other parameters: " + c.set(o.id, o.f).String()}
			}
			s.sets[o.id][familyIndex(o.f)] = &set{Set: have, entries: make(map[ipset.EntryKey]ipset.Entry)}
		}
	}
	for id := range numSets {
		for i := range families {
			set := s.sets[id][i]
			if set == nil {
				continue
			}
			for e, err := range client.Entries(ctx, set.Name) {
				if err != nil {
					return fmt.Errorf("read set %s: %w", set.Name, err)
				}
				set.entries[e.EntryKey] = e
			}
		}
	}
	return nil
}

// observeServers reads virtual servers. Ours are in the ledger, or have a mark
// of our range or of one that our entries still carry, from when it was another.
func observeServers(ctx context.Context, client ipvs.Client, c *config, s *state) error {
	s.foreignServers = make(map[ipvs.Key]bool)
	carried := s.tuplesByMark()
	ours := func(key ipvs.Key) bool {
		if key.Mark != 0 {
			return c.LocalMarks.holds(key.Mark) || carried[key] != nil
		}
		return s.holder(key) != ""
	}
	for row, err := range client.Servers(ctx, ours) {
		if err != nil {
			return fmt.Errorf("read virtual servers: %w", err)
		}
		if !ours(row.Key) {
			s.foreignServers[row.Key] = true
			continue
		}
		server := row.Server()
		for key, d := range server.Destinations {
			if d.Forward == ipvs.Local {
				d.Forward = ipvs.Masquerade // what the kernel made of it
				server.Destinations[key] = d
			}
		}
		s.servers[row.Key] = server
	}
	return nil
}

// observeLink reads our link and its addresses. Ours are in the address set.
func observeLink(ctx context.Context, client dummy.Client, c *config, s *state) error {
	link, err := client.Link(ctx, c.Link)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read link %s: %w", c.Link, err)
	}
	if link.Kind != "dummy" {
		return &vipkit.OpError{Op: "proxier read link", Object: c.Link, Kind: ErrConflict, Detail: "it is of kind " + link.Kind + ", not dummy"}
	}
	s.link, s.linkDown = true, !link.Up
	s.foreignAddresses = make(map[netip.Addr]bool)
	for a, err := range client.Addresses(ctx, c.Link) {
		if err != nil {
			return fmt.Errorf("read addresses of %s: %w", c.Link, err)
		}
		if _, ours := s.entries(setAddresses, vipkit.FamilyOf(a.Addr))[ipset.EntryKey{Net: ipset.Host(a.Addr)}]; ours {
			s.addresses[a] = true
		} else {
			s.foreignAddresses[a.Addr] = true
		}
	}
	return nil
}
