package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/iptables"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/proxier"
)

// link is where a proxier without configuration holds virtual addresses.
const link = "vipkit0"

// show prints the kernel as the operator's tools do.
func show(ctx context.Context, k proxier.Kernel, w io.Writer) error {
	fmt.Fprintln(w, "# ipvsadm -Ln")
	if err := ipvs.WriteTable(ctx, w, k.IPVS); err != nil {
		return err
	}
	fmt.Fprintln(w, "\n# ipset save")
	if err := showSets(ctx, k.IPSet, w); err != nil {
		return err
	}
	for _, save := range []struct {
		title  string
		family vipkit.Family
	}{{"iptables-save", vipkit.IPv4}, {"ip6tables-save", vipkit.IPv6}} {
		fmt.Fprintf(w, "\n# %s\n", save.title)
		tables, err := k.IPTables.Save(ctx, save.family)
		if err != nil {
			return err
		}
		fmt.Fprint(w, iptables.Format(tables))
	}
	fmt.Fprintf(w, "\n# ip -o addr show dev %s\n", link)
	return showAddresses(ctx, k.Dummy, w)
}

func showSets(ctx context.Context, c ipset.Client, w io.Writer) error {
	var sets []ipset.Set
	for s, err := range c.Sets(ctx) {
		if err != nil {
			return err
		}
		s.HashSize = 0 // grows with the entries, as the kernel sees fit
		sets = append(sets, s)
	}
	slices.SortFunc(sets, func(a, b ipset.Set) int { return strings.Compare(a.Name, b.Name) })
	for _, s := range sets {
		fmt.Fprintln(w, ipset.Change{Op: ipset.CreateSet, Set: s})
		entries, err := ipset.Snapshot(ctx, c, s.Name)
		if errors.Is(err, errors.ErrUnsupported) { // somebody else's, of a type that we never make
			fmt.Fprintf(w, "# entries of %s are not shown\n", s.Type)
			continue
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			fmt.Fprintln(w, ipset.Change{Op: ipset.AddEntry, Set: s, Entry: e})
		}
	}
	return nil
}

func showAddresses(ctx context.Context, c dummy.Client, w io.Writer) error {
	switch _, err := c.Link(ctx, link); {
	case errors.Is(err, fs.ErrNotExist):
		fmt.Fprintf(w, "Device %q does not exist.\n", link)
		return nil
	case err != nil:
		return err
	}
	var held []dummy.Address
	for a, err := range c.Addresses(ctx, link) {
		if err != nil {
			return err
		}
		held = append(held, a)
	}
	slices.SortFunc(held, func(a, b dummy.Address) int { return a.Addr.Compare(b.Addr) })
	for _, a := range held {
		flags := "noprefixroute " + link
		if a.Addr.Is6() {
			flags = "nodad noprefixroute"
		}
		fmt.Fprintf(w, "%s    %v scope global %s\n", link, a, flags)
	}
	return nil
}
