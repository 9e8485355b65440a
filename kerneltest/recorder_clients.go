package kerneltest

import (
	"context"
	"iter"
	"strings"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/iptables"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/sysctl"
)

type recordedIPVS struct {
	ipvs.Client
	r *Recorder
}

func (c recordedIPVS) Info(ctx context.Context) (ipvs.Info, error) {
	return readOne(ctx, c.r, "ipvsadm -v", func() (ipvs.Info, error) { return c.Client.Info(ctx) })
}

func (c recordedIPVS) Services(ctx context.Context) iter.Seq2[ipvs.ServiceInfo, error] {
	return readAll(ctx, c.r, "ipvsadm -Ln", c.Client.Services(ctx))
}

func (c recordedIPVS) Destinations(ctx context.Context, of ipvs.Key) iter.Seq2[ipvs.DestinationInfo, error] {
	return readAll(ctx, c.r, "ipvsadm -Ln "+of.String(), c.Client.Destinations(ctx, of))
}

func (c recordedIPVS) Servers(ctx context.Context, full func(ipvs.Key) bool) iter.Seq2[ipvs.Row, error] {
	return readAll(ctx, c.r, "ipvsadm -Sn", c.Client.Servers(ctx, full))
}

func (c recordedIPVS) Apply(ctx context.Context, changes []ipvs.Change) []error {
	return apply(ctx, c.r, changes, func(ch ipvs.Change) string { return "ipvsadm " + ch.String() },
		func(b []ipvs.Change) []error { return c.Client.Apply(ctx, b) })
}

func (c recordedIPVS) Timeouts(ctx context.Context) (ipvs.Timeouts, error) {
	return readOne(ctx, c.r, "ipvsadm -L --timeout", func() (ipvs.Timeouts, error) { return c.Client.Timeouts(ctx) })
}

func (c recordedIPVS) SetTimeouts(ctx context.Context, t ipvs.Timeouts) error {
	return c.r.one(ctx, "ipvsadm "+t.String(), func() error { return c.Client.SetTimeouts(ctx, t) })
}

func (c recordedIPVS) Daemons(ctx context.Context) ([]ipvs.Daemon, error) {
	return readOne(ctx, c.r, "ipvsadm -L --daemon", func() ([]ipvs.Daemon, error) { return c.Client.Daemons(ctx) })
}

func (c recordedIPVS) StartDaemon(ctx context.Context, d ipvs.Daemon) error {
	return c.r.one(ctx, "ipvsadm "+d.String(), func() error { return c.Client.StartDaemon(ctx, d) })
}

func (c recordedIPVS) StopDaemon(ctx context.Context, state ipvs.DaemonState) error {
	return c.r.one(ctx, "ipvsadm --stop-daemon "+state.String(), func() error { return c.Client.StopDaemon(ctx, state) })
}

type recordedIPSet struct {
	ipset.Client
	r *Recorder
}

func (c recordedIPSet) Sets(ctx context.Context) iter.Seq2[ipset.Set, error] {
	return readAll(ctx, c.r, "ipset list -t", c.Client.Sets(ctx))
}

func (c recordedIPSet) Entries(ctx context.Context, set string) iter.Seq2[ipset.Entry, error] {
	return readAll(ctx, c.r, "ipset save "+set, c.Client.Entries(ctx, set))
}

func (c recordedIPSet) Counters(ctx context.Context, set string) iter.Seq2[ipset.CountedEntry, error] {
	return readAll(ctx, c.r, "ipset list "+set, c.Client.Counters(ctx, set))
}

func (c recordedIPSet) Test(ctx context.Context, set ipset.Set, key ipset.EntryKey) (bool, error) {
	return readOne(ctx, c.r, "ipset test "+set.Name, func() (bool, error) { return c.Client.Test(ctx, set, key) })
}

func (c recordedIPSet) Apply(ctx context.Context, changes []ipset.Change) []error {
	return apply(ctx, c.r, changes, func(ch ipset.Change) string { return "ipset " + ch.String() },
		func(b []ipset.Change) []error { return c.Client.Apply(ctx, b) })
}

type recordedIPTables struct {
	iptables.Client
	r *Recorder
}

// tool returns the name of the program for a family.
func tool(f vipkit.Family) string {
	if f == vipkit.IPv6 {
		return "ip6tables"
	}
	return "iptables"
}

func (c recordedIPTables) Info(ctx context.Context, f vipkit.Family) (iptables.Info, error) {
	return readOne(ctx, c.r, tool(f)+" -V", func() (iptables.Info, error) { return c.Client.Info(ctx, f) })
}

func (c recordedIPTables) Save(ctx context.Context, f vipkit.Family, tables ...string) ([]iptables.Table, error) {
	return readOne(ctx, c.r, strings.TrimSpace(tool(f)+"-save "+strings.Join(tables, " ")), func() ([]iptables.Table, error) {
		return c.Client.Save(ctx, f, tables...)
	})
}

func (c recordedIPTables) Restore(ctx context.Context, f vipkit.Family, edits []iptables.Edit) error {
	lines := make([]string, len(edits))
	for i, e := range edits {
		lines[i] = tool(f) + " -t " + e.String()
	}
	return c.r.one(ctx, strings.Join(lines, "\n"), func() error { return c.Client.Restore(ctx, f, edits) })
}

type recordedDummy struct {
	dummy.Client
	r *Recorder
}

func (c recordedDummy) Link(ctx context.Context, name string) (dummy.Link, error) {
	return readOne(ctx, c.r, "ip link show "+name, func() (dummy.Link, error) { return c.Client.Link(ctx, name) })
}

func (c recordedDummy) Addresses(ctx context.Context, link string) iter.Seq2[dummy.Address, error] {
	return readAll(ctx, c.r, "ip addr show dev "+link, c.Client.Addresses(ctx, link))
}

func (c recordedDummy) CreateLink(ctx context.Context, l dummy.Link) error {
	return c.r.one(ctx, "ip link add "+l.Name+" type dummy", func() error { return c.Client.CreateLink(ctx, l) })
}

func (c recordedDummy) DeleteLink(ctx context.Context, name string) error {
	return c.r.one(ctx, "ip link del "+name, func() error { return c.Client.DeleteLink(ctx, name) })
}

func (c recordedDummy) UpdateLink(ctx context.Context, l dummy.Link) error {
	return c.r.one(ctx, l.UpdateString(), func() error { return c.Client.UpdateLink(ctx, l) })
}

func (c recordedDummy) Apply(ctx context.Context, link string, changes []dummy.Change) []error {
	return apply(ctx, c.r, changes, func(ch dummy.Change) string { return ch.String(link) },
		func(b []dummy.Change) []error { return c.Client.Apply(ctx, link, b) })
}

type recordedConntrack struct {
	conntrack.Client
	r *Recorder
}

func (c recordedConntrack) Flows(ctx context.Context, filter conntrack.Filter) iter.Seq2[conntrack.FlowInfo, error] {
	return readAll(ctx, c.r, strings.TrimSpace("conntrack -L "+filter.String()), c.Client.Flows(ctx, filter))
}

func (c recordedConntrack) Count(ctx context.Context) (n, limit int, err error) {
	n, err = readOne(ctx, c.r, "conntrack -C", func() (n int, err error) {
		n, limit, err = c.Client.Count(ctx)
		return n, err
	})
	return n, limit, err
}

func (c recordedConntrack) Delete(ctx context.Context, flows []conntrack.Flow) (int, error) {
	return writeOne(ctx, c.r, "conntrack -D of known flows", func() (int, error) { return c.Client.Delete(ctx, flows) })
}

func (c recordedConntrack) DeleteMatching(ctx context.Context, matches []conntrack.Match) (int, error) {
	lines := make([]string, len(matches))
	for i, m := range matches {
		lines[i] = "conntrack " + m.String()
	}
	return writeOne(ctx, c.r, strings.Join(lines, "\n"), func() (int, error) { return c.Client.DeleteMatching(ctx, matches) })
}

type recordedSysctl struct {
	sysctl.Client
	r *Recorder
}

func (c recordedSysctl) Get(ctx context.Context, name string) (string, error) {
	return readOne(ctx, c.r, "sysctl -n "+name, func() (string, error) { return c.Client.Get(ctx, name) })
}

func (c recordedSysctl) Set(ctx context.Context, name, value string) error {
	return c.r.one(ctx, "sysctl -w "+name+"="+value, func() error { return c.Client.Set(ctx, name, value) })
}
