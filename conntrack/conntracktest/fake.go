package conntracktest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
)

// Fake is a connection-tracking table in memory. Flows come from Add and Load
// only and stay until they are deleted: none times out. What it yields is in no
// order.
//
// Its zero value is empty and ready. It is safe for concurrent use; its fields
// are set before that.
type Fake struct {
	// Fail is asked before each flow is deleted; an error is its result, and
	// the flow stays.
	Fail func(conntrack.Flow) error
	// FailRead is asked before each read of the table, that of DeleteMatching
	// included; an error ends it.
	FailRead func() error

	mu    sync.Mutex
	flows map[key]conntrack.Flow
	ids   uint32
}

var _ conntrack.Client = (*Fake)(nil)

// key is what is unique in the table.
type key struct {
	protocol vipkit.Protocol
	original conntrack.Tuple
	zone     uint16
}

func keyOf(f conntrack.Flow) key { return key{f.Protocol, f.Original, f.Zone} }

// Add adds flows. One with the ID 0 is given one. It fails with fs.ErrExist, as
// the kernel does, for a flow whose original tuple and zone are taken, and with
// fs.ErrInvalid for one that no packet could make; the others are added.
func (f *Fake) Add(flows ...conntrack.Flow) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, flow := range flows {
		if err := flow.Validate(); err != nil {
			errs = append(errs, opError("create", flow, fs.ErrInvalid, err))
			continue
		}
		if _, taken := f.flows[keyOf(flow)]; taken {
			errs = append(errs, opError("create", flow, fs.ErrExist, nil))
			continue
		}
		if flow.ID == 0 {
			f.ids++
			flow.ID = f.ids * 2654435761 // looks like the kernel's, never twice
		}
		if f.flows == nil {
			f.flows = map[key]conntrack.Flow{}
		}
		f.flows[keyOf(flow)] = flow
	}
	return errors.Join(errs...)
}

func opError(op string, f conntrack.Flow, kind, err error) error {
	return &vipkit.OpError{Op: "conntrack " + op, Object: f.String(), Kind: kind, Err: err}
}

// Flows implements [conntrack.Client].
func (f *Fake) Flows(ctx context.Context, of ...vipkit.Protocol) iter.Seq2[conntrack.Flow, error] {
	return func(yield func(conntrack.Flow, error) bool) {
		flows, err := f.read(ctx, "list")
		if err != nil {
			yield(conntrack.Flow{}, err)
			return
		}
		for _, flow := range flows {
			if len(of) == 0 || slices.Contains(of, flow.Protocol) {
				if !yield(flow, nil) {
					return
				}
			}
		}
	}
}

// read returns all flows, shuffled.
func (f *Fake) read(ctx context.Context, op string) ([]conntrack.Flow, error) {
	err := ctx.Err()
	if err == nil && f.FailRead != nil {
		err = f.FailRead()
	}
	if err != nil {
		return nil, &vipkit.OpError{Op: "conntrack " + op, Kind: err}
	}
	f.mu.Lock()
	flows := slices.Collect(maps.Values(f.flows))
	f.mu.Unlock()
	rand.Shuffle(len(flows), func(i, j int) { flows[i], flows[j] = flows[j], flows[i] })
	return flows, nil
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
		if have, ok := f.flows[keyOf(flow)]; ok && have.ID == flow.ID && (flow.Zone != 0 || have.Reply == flow.Reply) {
			delete(f.flows, keyOf(flow))
			deleted++
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
	var valid []conntrack.Match
	for _, m := range matches {
		if err := m.Validate(); err != nil {
			errs = append(errs, &vipkit.OpError{Op: "conntrack delete", Object: m.String(), Kind: fs.ErrInvalid, Err: err})
			continue
		}
		valid = append(valid, m)
	}
	if len(valid) == 0 {
		return 0, errors.Join(errs...)
	}
	flows, err := f.read(ctx, "delete")
	if err != nil {
		return 0, errors.Join(append(errs, err)...)
	}
	flows = slices.DeleteFunc(flows, func(flow conntrack.Flow) bool {
		return !slices.ContainsFunc(valid, func(m conntrack.Match) bool { return m.Matches(flow) })
	})
	n, err := f.Delete(ctx, flows)
	return n, errors.Join(append(errs, err)...)
}

// Dump returns the flows, one a line as [conntrack.Flow.String] writes them, in
// alphabetical order.
func (f *Fake) Dump() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	lines := make([]string, 0, len(f.flows))
	for _, flow := range f.flows {
		lines = append(lines, flow.String()+"\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// Load adds the flows of a text such as Dump returns or "conntrack -L" prints.
func (f *Fake) Load(text string) error {
	var flows []conntrack.Flow
	var errs []error
	n := 0
	for line := range strings.Lines(text) {
		n++
		if strings.TrimSpace(line) == "" {
			continue
		}
		var flow conntrack.Flow
		if err := flow.UnmarshalText([]byte(line)); err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", n, err))
			continue
		}
		flows = append(flows, flow)
	}
	return errors.Join(append(errs, f.Add(flows...))...)
}
