package conntracktest

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
)

// Fake is a connection-tracking table in memory. Flows come from Add and Load
// only. One that was added with a timeout is gone when that is over, by the
// package time: in a bubble of testing/synctest, by the bubble's clock. What it
// yields is in no order.
//
// Its zero value is empty and ready. It is safe for concurrent use; its fields
// are set before that.
type Fake struct {
	// Fail is asked before each flow is deleted; an error is its result, and
	// the flow stays.
	Fail func(conntrack.Flow) error
	// FailRead is asked before each read of the table, those of Count and
	// DeleteMatching included; an error ends it.
	FailRead func() error
	// Uncounted makes DeleteMatching answer as a conntrack.Conn with that setting
	// may do: with −1.
	Uncounted bool
	// Limit is how many flows the table takes; zero: any number.
	Limit int

	mu     sync.Mutex
	tuples map[key][]*entry // two for each flow
	count  int
	next   time.Time // when the first flow times out, if not zero
	ids    uint32
}

var _ conntrack.Client = (*Fake)(nil)

// Add adds flows. One with the ID 0 is given one, and one with the timeout 0 stays
// until it is deleted. It fails with fs.ErrExist, as the kernel does, for a flow one
// of whose tuples is taken in its zone, with fs.ErrInvalid for one that no packet
// could make, and with vipkit.ErrFull beyond the limit; the others are added.
func (f *Fake) Add(flows ...conntrack.FlowInfo) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expire()
	var errs []error
	for _, flow := range flows {
		if err := flow.Validate(); err != nil {
			errs = append(errs, opError("create", flow.Flow, fs.ErrInvalid, err))
		} else if f.taken(&flow.Flow) {
			errs = append(errs, opError("create", flow.Flow, fs.ErrExist, nil))
		} else if f.Limit > 0 && f.count >= f.Limit {
			errs = append(errs, opError("create", flow.Flow, vipkit.ErrFull, nil))
		} else {
			f.insert(flow)
		}
	}
	return errors.Join(errs...)
}

func (f *Fake) insert(flow conntrack.FlowInfo) {
	if flow.ID == 0 {
		f.ids++
		flow.ID = f.ids * 2654435761 // looks like the kernel's, never twice
	}
	flow.Status |= conntrack.StatusConfirmed
	e := &entry{FlowInfo: flow}
	if flow.Timeout > 0 {
		e.until = time.Now().Add(flow.Timeout)
		if f.next.IsZero() || e.until.Before(f.next) {
			f.next = e.until
		}
	}
	if f.tuples == nil {
		f.tuples = make(map[key][]*entry)
	}
	for _, k := range keysOf(&flow.Flow) {
		f.tuples[k] = append(f.tuples[k], e)
	}
	f.count++
}

// taken reports whether another flow has one of the tuples. A tuple may be another
// flow's in the opposite direction too: what counts then is the zone of that
// direction, and for the reply both (nf_conntrack_find_get, nf_ct_key_equal).
func (f *Fake) taken(flow *conntrack.Flow) bool {
	keys := keysOf(flow)
	original, reply := keys[0], keys[1]
	reversed := original
	reversed.zone = flow.ReplyZone
	return f.has(original, 0) || f.has(reversed, 1) ||
		f.has(reply, 1) || flow.Zone == flow.ReplyZone && f.has(reply, 0)
}

// has reports whether a flow has a tuple in a direction.
func (f *Fake) has(k key, direction int) bool {
	return slices.ContainsFunc(f.tuples[k], func(e *entry) bool { return keysOf(&e.Flow)[direction] == k })
}

func (f *Fake) remove(e *entry) {
	for _, k := range keysOf(&e.Flow) {
		f.tuples[k] = slices.DeleteFunc(f.tuples[k], func(other *entry) bool { return other == e })
		if len(f.tuples[k]) == 0 {
			delete(f.tuples, k)
		}
	}
	f.count--
}

// all yields each flow once.
func (f *Fake) all() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for k, entries := range f.tuples {
			for _, e := range entries {
				if keysOf(&e.Flow)[0] == k && !yield(e) {
					return
				}
			}
		}
	}
}

// expire removes the flows whose time is over.
func (f *Fake) expire() {
	now := time.Now()
	if f.next.IsZero() || now.Before(f.next) {
		return
	}
	f.next = time.Time{}
	for _, e := range slices.Collect(f.all()) {
		switch {
		case e.until.IsZero():
		case !now.Before(e.until):
			f.remove(e)
		case f.next.IsZero() || e.until.Before(f.next):
			f.next = e.until
		}
	}
}

func opError(op string, f conntrack.Flow, kind, err error) error {
	return &vipkit.OpError{Op: "conntrack " + op, Object: f.String(), Kind: kind, Err: err}
}

// Flows implements [conntrack.Client].
func (f *Fake) Flows(ctx context.Context, filter conntrack.Filter) iter.Seq2[conntrack.FlowInfo, error] {
	return func(yield func(conntrack.FlowInfo, error) bool) {
		if err := filter.Validate(); err != nil {
			yield(conntrack.FlowInfo{}, &vipkit.OpError{Op: "conntrack list", Kind: fs.ErrInvalid, Err: err})
			return
		}
		flows, err := f.read(ctx, "list", filter.Selects)
		if err != nil {
			yield(conntrack.FlowInfo{}, err)
			return
		}
		for _, flow := range flows {
			if !yield(flow, nil) {
				return
			}
		}
	}
}

// mayRead returns why the table cannot be read.
func (f *Fake) mayRead(ctx context.Context, op string) error {
	err := ctx.Err()
	if err == nil && f.FailRead != nil {
		err = f.FailRead()
	}
	if err != nil {
		return &vipkit.OpError{Op: "conntrack " + op, Kind: err}
	}
	return nil
}

// read is selected for those that may read.
func (f *Fake) read(ctx context.Context, op string, selects func(conntrack.FlowInfo) bool) ([]conntrack.FlowInfo, error) {
	if err := f.mayRead(ctx, op); err != nil {
		return nil, err
	}
	return f.selected(selects), nil
}

// selected returns the flows that are selected, shuffled.
func (f *Fake) selected(selects func(conntrack.FlowInfo) bool) (flows []conntrack.FlowInfo) {
	f.mu.Lock()
	f.expire()
	for e := range f.all() {
		flow := e.FlowInfo
		if !e.until.IsZero() {
			flow.Timeout = time.Until(e.until).Truncate(time.Second)
		}
		if selects(flow) {
			flows = append(flows, flow)
		}
	}
	f.mu.Unlock()
	rand.Shuffle(len(flows), func(i, j int) { flows[i], flows[j] = flows[j], flows[i] })
	return flows
}

// Count implements [conntrack.Client].
func (f *Fake) Count(ctx context.Context) (n, limit int, err error) {
	if err := f.mayRead(ctx, "count"); err != nil {
		return 0, 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expire()
	return f.count, f.Limit, nil
}

// Delete implements [conntrack.Client].
func (f *Fake) Delete(ctx context.Context, flows []conntrack.Flow) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, &vipkit.OpError{Op: "conntrack delete", Kind: err}
	}
	deleted := 0
	var errs []error
	for _, flow := range flows {
		if err := flow.Validate(); err != nil {
			errs = append(errs, opError("delete", flow, fs.ErrInvalid, err))
			continue
		}
		if f.Fail != nil {
			if err := f.Fail(flow); err != nil {
				errs = append(errs, opError("delete", flow, err, nil))
				continue
			}
		}
		f.mu.Lock()
		f.expire()
		for _, e := range f.tuples[keysOf(&flow)[1]] { // by the reply, as the kernel is asked
			if e.ID == flow.ID {
				f.remove(e)
				deleted++
				break
			}
		}
		f.mu.Unlock()
	}
	return deleted, errors.Join(errs...)
}

// DeleteMatching implements [conntrack.Client].
func (f *Fake) DeleteMatching(ctx context.Context, matches []conntrack.Match) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, &vipkit.OpError{Op: "conntrack delete", Kind: err}
	}
	var errs []error
	valid := make(map[conntrack.Match]bool)
	for _, m := range matches {
		if err := m.Validate(); err != nil {
			errs = append(errs, &vipkit.OpError{Op: "conntrack delete", Object: m.String(), Kind: fs.ErrInvalid, Err: err})
			continue
		}
		valid[m] = true
	}
	if len(valid) == 0 {
		return 0, errors.Join(errs...)
	}
	infos, err := f.read(ctx, "delete", func(flow conntrack.FlowInfo) bool {
		m := conntrack.Match{Protocol: flow.Protocol, OriginalDst: flow.Original.Dst}
		every := valid[m]
		m.ReplySrc = flow.Reply.Src
		return every || valid[m]
	})
	if err != nil {
		return 0, errors.Join(append(errs, err)...)
	}
	flows := make([]conntrack.Flow, len(infos))
	for i, info := range infos {
		flows[i] = info.Flow
	}
	n, err := f.Delete(ctx, flows)
	if f.Uncounted {
		n = -1
	}
	return n, errors.Join(append(errs, err)...)
}
