package main

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/tools/txtar"

	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/proxier"
)

// titles are the commands whose output each part of the dump resembles.
var titles = map[string]string{
	"ipset":     "ipset save",
	"iptables":  "iptables-save",
	"ip6tables": "ip6tables-save",
	"ip":        "addresses",
	"conntrack": "conntrack -L",
}

// show prints the kernel as an operator's tools would.
func show(ctx context.Context, k proxier.Kernel, w io.Writer) error {
	fmt.Fprintln(w, "# ipvsadm -Ln")
	if err := ipvs.WriteTable(ctx, w, k.IPVS); err != nil {
		return err
	}
	dump, err := kerneltest.Dump(ctx, k, "vipkit0")
	if err != nil {
		return err
	}
	for _, part := range txtar.Parse([]byte(dump)).Files {
		if title, ok := titles[part.Name]; ok {
			fmt.Fprintf(w, "\n# %s\n%s", title, part.Data)
		}
	}
	return nil
}
