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
	"github.com/vipkit/vipkit/examples/internal/clusterdump"
	"github.com/vipkit/vipkit/proxier"
)

// apply makes the host as wanted, and prints it with a report.
func apply(ctx context.Context, k proxier.Kernel, w *clusterdump.Cluster, out io.Writer) error {
	p, err := proxier.New(k, &w.Config)
	if err != nil {
		return errors.Join(err, errUnchanged)
	}
	pre := p.Preflight(ctx, w.Services)
	if len(pre.Missing) > 0 {
		return errors.Join(missing(pre.Err()), errUnchanged)
	}
	var sysctls []proxier.Sysctl
	if len(w.Services) > 0 {
		sysctls = pre.Wrong()
	}
	if err := p.SetSysctls(ctx, sysctls); err != nil {
		return errors.Join(missing(err), restore(ctx, p, sysctls))
	}
	var report proxier.Report
	if len(w.Faults) == 0 {
		report, err = p.ApplyServices(ctx, w.Services)
	} else {
		// Not all that there is to want: whatever else is there stays.
		report, err = p.Apply(ctx, proxier.Changes{Upsert: w.Services})
	}
	midway := err != nil && (ctx.Err() != nil || !ofServices(err))
	ctx = context.WithoutCancel(ctx) // what is there now is to be told in any case
	summary := report.String()
	if midway {
		var nothing bool
		if nothing, summary = aftermath(ctx, p, w); nothing {
			return errors.Join(missing(err), restore(ctx, p, sysctls))
		}
		err = missing(err)
	}
	if showErr := show(ctx, k, out); showErr != nil {
		err = errors.Join(err, showErr)
	}
	fmt.Fprint(out, "\n# report\n")
	if w.About != "" {
		fmt.Fprintln(out, w.About)
	}
	for _, o := range pre.Obstacles {
		fmt.Fprintf(out, "blocked: %s\n", o)
	}
	for _, w := range pre.Warnings {
		fmt.Fprintf(out, "warning: %s\n", w)
	}
	for _, s := range sysctls {
		fmt.Fprintf(out, "sysctl -w %s=%s (was %s: %s)\n", s.Name, s.Want, s.Have, s.Why)
	}
	fmt.Fprint(out, summary)
	return err
}

// ofServices tells the errors of single services from one that ended the call.
func ofServices(err error) bool {
	return !slices.ContainsFunc(clusterdump.Split(err), func(e error) bool {
		return !errors.As(e, new(proxier.ServiceError))
	})
}

// aftermath says what is left to do where writing has stopped; nothing means that
// the host has nothing of ours.
func aftermath(ctx context.Context, p *proxier.Proxier, w *clusterdump.Cluster) (nothing bool, summary string) {
	ours, err := p.Plan(ctx, nil)
	if err != nil {
		return false, fmt.Sprintf("stopped, and what is there cannot be read: %v\n", err)
	}
	if ours.Empty() {
		return true, ""
	}
	left := "some operations"
	if len(w.Faults) == 0 {
		if plan, err := p.Plan(ctx, w.Services); err == nil {
			left = fmt.Sprintf("%d operations", plan.Len())
		}
	}
	return false, "stopped, " + left + " are left: run it again to finish, or with -remove to undo\n"
}

// restore gives kernel parameters the values that they had.
func restore(ctx context.Context, p *proxier.Proxier, sysctls []proxier.Sysctl) error {
	if err := p.SetSysctls(context.WithoutCancel(ctx), proxier.Previous(sysctls)); err != nil {
		return fmt.Errorf("kernel parameters: %w", err)
	}
	return errUnchanged
}

// missing adds to errors of a kernel that lacks something how to get it.
func missing(err error) error {
	var f clusterdump.Faults
	f.Add(err)
	for _, e := range clusterdump.Split(err) {
		if hint := remedy(e); hint != "" {
			f.Add(errors.New(hint))
		}
	}
	return f.Join()
}

// probed returns the facility that what was asked after is a part of.
func probed(object string) string {
	for _, kind := range []struct{ prefix, facility string }{
		{"ipvs", "ipvs"}, {"scheduler", "ipvs"}, {"set type", "ipset"}, {"link kind", "dummy"},
	} {
		if strings.HasPrefix(object, kind.prefix) {
			return kind.facility
		}
	}
	return "iptables"
}

// remedy says how to get what an operation lacked, or nothing.
func remedy(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return "to get the privilege: run it as root (sudo); in a container or user namespace it needs the host's CAP_NET_ADMIN"
	}
	op := (*vipkit.OpError)(nil)
	if !errors.Is(err, errors.ErrUnsupported) || !errors.As(err, &op) {
		return ""
	}
	facility, what, _ := strings.Cut(op.Op, " ")
	if facility == "probe" {
		facility, what = probed(op.Object), ""
	}
	switch facility {
	case "ipvs":
		return "to get IPVS: modprobe ip_vs (a kernel without it: on Debian, install linux-image-amd64)"
	case "ipset":
		return "to get IP sets: modprobe ip_set (a kernel without it: on Debian, install linux-image-amd64)"
	case "dummy":
		return "to get dummy links: modprobe dummy (a kernel without it: on Debian, install linux-image-amd64)"
	case "iptables":
		if what == "info" { // asks the tools alone
			return "to get iptables and ip6tables: install the package iptables, and have them in PATH"
		}
		return "to get what iptables needs: modprobe -a xt_set xt_mark xt_addrtype xt_conntrack (on Debian, of linux-image-amd64)"
	}
	return ""
}
