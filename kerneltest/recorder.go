package kerneltest

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/iptables"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/proxier"
)

// Recorder stands between a proxier and a kernel, in memory or real. It writes
// down every write in the syntax of the operator's tools, counts reads, and
// makes single writes fail. It is safe for concurrent use.
type Recorder struct {
	// Fault, if set, is asked before every write, with the number of the
	// write from 0 and its text. A restore of iptables is one write. Set it
	// before the recorder is used.
	Fault func(n int, write string) Fault

	kernel proxier.Kernel
	mu     sync.Mutex
	writes []string
	reads  int
}

// Fault is what becomes of one write. The zero value lets it pass.
type Fault struct {
	// Before fails the write instead of carrying it out.
	Before error
	// After fails it after it was carried out: the answer was lost.
	After error
}

// Record returns a recorder in front of k.
func Record(k proxier.Kernel) *Recorder { return &Recorder{kernel: k} }

// Kernel returns the recorded kernel.
func (r *Recorder) Kernel() proxier.Kernel {
	return proxier.Kernel{
		IPVS:      recordedIPVS{r.kernel.IPVS, r},
		IPSet:     recordedIPSet{r.kernel.IPSet, r},
		IPTables:  recordedIPTables{r.kernel.IPTables, r},
		Dummy:     recordedDummy{r.kernel.Dummy, r},
		Conntrack: recordedConntrack{r.kernel.Conntrack, r},
		Sysctl:    r.kernel.Sysctl,
	}
}

// Writes returns the writes so far, failed ones included. Each restore is one,
// of as many lines as it has edits.
func (r *Recorder) Writes() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.writes)
}

// Reads returns how many calls have read something.
func (r *Recorder) Reads() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reads
}

// Reset forgets what was recorded.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes, r.reads = nil, 0
}

func (r *Recorder) read() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reads++
}

// write records one write and returns what is to become of it.
func (r *Recorder) write(text string) Fault {
	r.mu.Lock()
	n := len(r.writes)
	r.writes = append(r.writes, text)
	r.mu.Unlock()
	if r.Fault == nil {
		return Fault{}
	}
	return r.Fault(n, text)
}

// apply records a batch. Without faults it passes on whole.
func apply[C any](r *Recorder, changes []C, text func(C) string, write func([]C) []error) []error {
	if r.Fault == nil {
		for _, c := range changes {
			r.write(text(c))
		}
		return write(changes)
	}
	errs := make([]error, len(changes))
	failed := false
	for i, c := range changes {
		f := r.write(text(c))
		if f.Before != nil {
			errs[i] = f.Before
		} else if e := write([]C{c}); e != nil {
			errs[i] = e[0]
		} else {
			errs[i] = f.After
		}
		failed = failed || errs[i] != nil
	}
	if !failed {
		return nil
	}
	return errs
}

type recordedIPVS struct {
	ipvs.Client
	r *Recorder
}

func (c recordedIPVS) Info(ctx context.Context) (ipvs.Info, error) {
	c.r.read()
	return c.Client.Info(ctx)
}

func (c recordedIPVS) Services(ctx context.Context) iter.Seq2[ipvs.ServiceInfo, error] {
	c.r.read()
	return c.Client.Services(ctx)
}

func (c recordedIPVS) Destinations(ctx context.Context, of ipvs.Key) iter.Seq2[ipvs.DestinationInfo, error] {
	c.r.read()
	return c.Client.Destinations(ctx, of)
}

func (c recordedIPVS) Servers(ctx context.Context, full func(ipvs.Key) bool) iter.Seq2[ipvs.Row, error] {
	c.r.read()
	return c.Client.Servers(ctx, full)
}

func (c recordedIPVS) Apply(ctx context.Context, changes []ipvs.Change) []error {
	return apply(c.r, changes, func(ch ipvs.Change) string { return "ipvsadm " + ch.String() },
		func(b []ipvs.Change) []error { return c.Client.Apply(ctx, b) })
}

type recordedIPSet struct {
	ipset.Client
	r *Recorder
}

func (c recordedIPSet) Sets(ctx context.Context) iter.Seq2[ipset.Set, error] {
	c.r.read()
	return c.Client.Sets(ctx)
}

func (c recordedIPSet) Entries(ctx context.Context, set string) iter.Seq2[ipset.Entry, error] {
	c.r.read()
	return c.Client.Entries(ctx, set)
}

func (c recordedIPSet) Apply(ctx context.Context, changes []ipset.Change) []error {
	return apply(c.r, changes, func(ch ipset.Change) string { return "ipset " + ch.String() },
		func(b []ipset.Change) []error { return c.Client.Apply(ctx, b) })
}

type recordedIPTables struct {
	iptables.Client
	r *Recorder
}

func (c recordedIPTables) Save(ctx context.Context, f vipkit.Family, tables ...string) ([]iptables.Table, error) {
	c.r.read()
	return c.Client.Save(ctx, f, tables...)
}

func (c recordedIPTables) Restore(ctx context.Context, f vipkit.Family, edits []iptables.Edit) error {
	tool := "iptables"
	if f == vipkit.IPv6 {
		tool = "ip6tables"
	}
	lines := make([]string, len(edits))
	for i, e := range edits {
		lines[i] = tool + " -t " + e.String()
	}
	fault := c.r.write(strings.Join(lines, "\n"))
	if fault.Before != nil {
		return fault.Before
	}
	if err := c.Client.Restore(ctx, f, edits); err != nil {
		return err
	}
	return fault.After
}

type recordedDummy struct {
	dummy.Client
	r *Recorder
}

func (c recordedDummy) Link(ctx context.Context, name string) (dummy.Link, error) {
	c.r.read()
	return c.Client.Link(ctx, name)
}

func (c recordedDummy) Addresses(ctx context.Context, link string) iter.Seq2[dummy.Address, error] {
	c.r.read()
	return c.Client.Addresses(ctx, link)
}

func (c recordedDummy) CreateLink(ctx context.Context, l dummy.Link) error {
	return c.one("ip link add "+l.Name+" type dummy", func() error { return c.Client.CreateLink(ctx, l) })
}

func (c recordedDummy) DeleteLink(ctx context.Context, name string) error {
	return c.one("ip link del "+name, func() error { return c.Client.DeleteLink(ctx, name) })
}

func (c recordedDummy) SetLinkUp(ctx context.Context, name string) error {
	return c.one("ip link set "+name+" up", func() error { return c.Client.SetLinkUp(ctx, name) })
}

func (c recordedDummy) one(text string, write func() error) error {
	errs := apply(c.r, []string{text}, strings.Clone, func([]string) []error { return []error{write()} })
	if errs == nil {
		return nil
	}
	return errs[0]
}

func (c recordedDummy) Apply(ctx context.Context, link string, changes []dummy.Change) []error {
	return apply(c.r, changes, func(ch dummy.Change) string { return ch.String(link) },
		func(b []dummy.Change) []error { return c.Client.Apply(ctx, link, b) })
}

type recordedConntrack struct {
	conntrack.Client
	r *Recorder
}

func (c recordedConntrack) Flows(ctx context.Context, of ...vipkit.Protocol) iter.Seq2[conntrack.Flow, error] {
	c.r.read()
	return c.Client.Flows(ctx, of...)
}

func (c recordedConntrack) Delete(ctx context.Context, flows []conntrack.Flow) (int, error) {
	f := c.r.write("conntrack -D of known flows")
	if f.Before != nil {
		return 0, f.Before
	}
	n, err := c.Client.Delete(ctx, flows)
	if err != nil {
		return n, err
	}
	return n, f.After
}

func (c recordedConntrack) DeleteMatching(ctx context.Context, matches []conntrack.Match) (int, error) {
	lines := make([]string, len(matches))
	for i, m := range matches {
		lines[i] = "conntrack " + m.String()
	}
	f := c.r.write(strings.Join(lines, "\n"))
	if f.Before != nil {
		return 0, f.Before
	}
	n, err := c.Client.DeleteMatching(ctx, matches)
	if err != nil {
		return n, err
	}
	return n, f.After
}
