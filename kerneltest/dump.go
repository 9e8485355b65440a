package kerneltest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"golang.org/x/tools/txtar"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/iptables"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/proxier"
)

// Dump reads a kernel, in memory or real, and returns what a proxier could
// write, in the syntax of the operator's tools and sorted where the kernel keeps
// no order: virtual servers, sets, rules of both families, the named link with
// its addresses, and flows. It is a txtar archive with a file for each tool. A
// facility with nothing in it has no file.
func Dump(ctx context.Context, k proxier.Kernel, link string) (string, error) {
	var a txtar.Archive
	for _, section := range []struct {
		name string
		read func() (string, error)
	}{
		{"ipvsadm", func() (string, error) { return dumpServers(ctx, k.IPVS) }},
		{"ipset", func() (string, error) { return dumpSets(ctx, k.IPSet) }},
		{"iptables", func() (string, error) { return dumpRules(ctx, k.IPTables, vipkit.IPv4) }},
		{"ip6tables", func() (string, error) { return dumpRules(ctx, k.IPTables, vipkit.IPv6) }},
		{"ip", func() (string, error) { return dumpLink(ctx, k.Dummy, link) }},
		{"conntrack", func() (string, error) { return dumpFlows(ctx, k.Conntrack) }},
	} {
		text, err := section.read()
		if err != nil {
			return "", fmt.Errorf("dump %s: %w", section.name, err)
		}
		if text != "" {
			a.Files = append(a.Files, txtar.File{Name: section.name, Data: []byte(text)})
		}
	}
	return string(txtar.Format(&a)), nil
}

func dumpServers(ctx context.Context, c ipvs.Client) (string, error) {
	servers, err := ipvs.Snapshot(ctx, c)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, change := range ipvs.Diff(nil, servers) {
		b.WriteString(change.String() + "\n")
	}
	return b.String(), nil
}

func dumpSets(ctx context.Context, c ipset.Client) (string, error) {
	var sets []ipset.Set
	for s, err := range c.Sets(ctx) {
		if err != nil {
			return "", err
		}
		s.HashSize = 0 // the kernel's own affair: it grows with the entries
		sets = append(sets, s)
	}
	slices.SortFunc(sets, func(a, b ipset.Set) int { return strings.Compare(a.Name, b.Name) })
	var b strings.Builder
	for _, s := range sets {
		b.WriteString(ipset.Change{Op: ipset.CreateSet, Set: s}.String() + "\n")
		entries, err := ipset.Snapshot(ctx, c, s.Name)
		if err != nil {
			return "", err
		}
		for _, e := range entries {
			b.WriteString(ipset.Change{Op: ipset.AddEntry, Set: s, Entry: e}.String() + "\n")
		}
	}
	return b.String(), nil
}

func dumpRules(ctx context.Context, c iptables.Client, f vipkit.Family) (string, error) {
	tables, err := c.Save(ctx, f)
	if errors.Is(err, errors.ErrUnsupported) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	// A table in which nothing was ever changed says nothing.
	tables = slices.DeleteFunc(tables, func(t iptables.Table) bool {
		return !slices.ContainsFunc(t.Chains, func(ch iptables.Chain) bool {
			return ch.Policy != "ACCEPT" || len(ch.Rules) > 0
		})
	})
	return iptables.Format(tables), nil
}

func dumpLink(ctx context.Context, c dummy.Client, name string) (string, error) {
	l, err := c.Link(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	held := make(map[dummy.Address]bool)
	for a, err := range c.Addresses(ctx, name) {
		if err != nil {
			return "", err
		}
		held[a] = true
	}
	up := ""
	if l.Up {
		up = "up "
	}
	lines := []string{"ip link add " + l.Name + " " + up + "type " + l.Kind}
	for _, change := range dummy.Diff(nil, slices.Collect(maps.Keys(held))) {
		lines = append(lines, change.String(name))
	}
	return strings.Join(lines, "\n") + "\n", nil
}

func dumpFlows(ctx context.Context, c conntrack.Client) (string, error) {
	var lines []string
	for f, err := range c.Flows(ctx, conntrack.Filter{}) {
		if err != nil {
			return "", err
		}
		f.ID = 0 // the kernel's own affair, as are state and time left
		lines = append(lines, fmt.Sprintf("%s mark=%d\n", strings.TrimSuffix(f.Flow.String(), " id=0"), f.Mark))
	}
	slices.Sort(lines)
	return strings.Join(lines, ""), nil
}
