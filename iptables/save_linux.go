package iptables

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/run"
)

// Save implements [Client]. Reading changes nothing: the legacy tool is never
// asked for a table by name, since that makes the kernel load it.
func (c *Conn) Save(ctx context.Context, f vipkit.Family, names ...string) ([]Table, error) {
	if err := checkTables(names); err != nil {
		return nil, err
	}
	info, err := c.Info(ctx, f)
	if err != nil {
		return nil, err
	}
	var args []string
	if len(names) == 1 && info.Backend == "nft" {
		args = []string{"-t", names[0]}
	}
	tables, err := c.saveFrom(ctx, f, info.Backend, args...)
	if err != nil {
		return nil, err
	}
	return selectTables(tables, names), nil
}

// saveFrom is save, and tells no tables from tables that may not be seen.
func (c *Conn) saveFrom(ctx context.Context, f vipkit.Family, backend string, args ...string) ([]Table, error) {
	tables, err := c.save(ctx, f, args...)
	if err == nil && len(tables) == 0 && backend == "legacy" {
		if err := c.canList(f); err != nil {
			return nil, c.failed("iptables save", "", err)
		}
	}
	return tables, err
}

// checkTables refuses tables that the kernel does not have.
func checkTables(names []string) error {
	for _, name := range names {
		if BuiltinChains(name) == nil {
			return &vipkit.OpError{Op: "iptables save", Object: fmt.Sprintf("%q", name), Kind: fs.ErrInvalid, Detail: "no such table"}
		}
	}
	return nil
}

// selectTables returns the tables named, in the order of tableNames, with no
// chains where they are not used; with none named, those in use.
func selectTables(have []Table, names []string) []Table {
	have = slices.DeleteFunc(have, func(t Table) bool {
		return t.unused() || len(names) > 0 && !slices.Contains(names, t.Name)
	})
	for i, name := range names {
		missing := !slices.ContainsFunc(have, func(t Table) bool { return t.Name == name })
		if missing && !slices.Contains(names[:i], name) {
			have = append(have, Table{Name: name})
		}
	}
	slices.SortStableFunc(have, compareTables)
	return have
}

// save runs iptables-save and reads what it prints.
func (c *Conn) save(ctx context.Context, f vipkit.Family, args ...string) ([]Table, error) {
	if c.cfg.Counters {
		args = append(args, "--counters")
	}
	result, err := c.run.Run(ctx, nil, c.tool(f, "-save"), args...)
	if err != nil {
		return nil, c.failed("iptables save", "", err)
	}
	if result.Code != 0 {
		failure := classify(string(result.Stderr))
		return nil, &vipkit.OpError{
			Op: "iptables save", Kind: failure.kind, Err: exitError(failure.kind, result.Code), Detail: failure.detail,
		}
	}
	out := string(result.Stdout)
	if i := strings.Index(out, "' is incompatible, use 'nft' tool"); i >= 0 {
		// A table that cannot be read must not look like one without rules.
		line := out[strings.LastIndex(out[:i], "\n")+1:]
		line, _, _ = strings.Cut(line, "\n")
		return nil, &vipkit.OpError{Op: "iptables save", Kind: errors.ErrUnsupported, Detail: strings.TrimPrefix(line, "# ")}
	}
	tables, err := parse(out, c.cfg.Counters)
	if err != nil {
		return nil, &vipkit.OpError{Op: "iptables save", Err: err}
	}
	for _, t := range tables {
		for _, chain := range t.Chains {
			for i, r := range chain.Rules {
				chain.Rules[i] = Normalize(f, r)
			}
		}
	}
	return tables, nil
}

// canList tells whether this process may see which tables there are: without
// the privilege the legacy tool prints nothing and reports success.
func (c *Conn) canList(f vipkit.Family) error {
	path := "/proc/thread-self/net/ip_tables_names"
	if f == vipkit.IPv6 {
		path = "/proc/thread-self/net/ip6_tables_names"
	}
	check := func() error {
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the module is not loaded: there are no tables
		}
		if err != nil {
			return err
		}
		return file.Close()
	}
	if c.cfg.Namespace == "" {
		return check()
	}
	return run.InNamespace(c.cfg.Namespace, check)
}

// Elsewhere reports what the other back end holds for a family, by way of that
// one's own tools. It changes nothing and loads no kernel module. It fails with
// errors.ErrUnsupported where those tools, or their part of the kernel, are
// missing: then nobody can tell.
func (c *Conn) Elsewhere(ctx context.Context, f vipkit.Family) (Elsewhere, error) {
	info, err := c.Info(ctx, f)
	if err != nil {
		return Elsewhere{}, err
	}
	cfg := c.cfg
	cfg.Backend = "nft"
	if info.Backend == "nft" {
		cfg.Backend = "legacy"
	}
	other := &Conn{cfg: cfg, run: c.run}
	tables, err := other.saveFrom(ctx, f, cfg.Backend)
	if err != nil {
		return Elsewhere{}, err
	}
	return Elsewhere{Backend: cfg.Backend, Tables: selectTables(tables, nil)}, nil
}
