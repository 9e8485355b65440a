package proxier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"github.com/vipkit/vipkit/conntrack"
	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/ipvs"
)

// run carries out the steps of one plan. It is the only thing that writes.
//
// A write that fails is about one subject: a tuple, an address, an endpoint or
// a mark, all written as an ipvs.Key. What follows for the same subject is
// skipped, so that no service gets further than its safeguards did; the rest
// goes on. The zero key is what all services share: there the run ends.
type run struct {
	kernel     Kernel
	log        *slog.Logger
	have, want *state

	failed  map[ipvs.Key]error
	skipped int
	done    int

	flows        []conntrack.Match // due
	flowsDeleted int
	flowsErr     error
}

func newRun(k Kernel, log *slog.Logger, have, want *state) *run {
	return &run{kernel: k, log: log, have: have, want: want, failed: make(map[ipvs.Key]error)}
}

// clean reports whether the kernel now holds what was wanted.
func (r *run) clean() bool { return len(r.failed) == 0 && r.skipped == 0 }

// steps runs steps in order. The error is about what all services share; what
// follows was then not tried.
func (r *run) steps(ctx context.Context, steps []Step) error {
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		r.log.Debug("step", "phase", s.Phase.String(), "operations", s.len())
		if err := r.step(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.Phase, err)
		}
	}
	return r.deleteFlows(ctx)
}

func (r *run) step(ctx context.Context, s Step) error {
	for _, l := range s.Links {
		if err := r.link(ctx, l); err != nil {
			return err
		}
		r.done++
	}
	for _, c := range s.Rules {
		if err := r.kernel.IPTables.Restore(ctx, c.Family, c.Edits); err != nil {
			return err
		}
		r.done += len(c.Edits)
	}
	r.flows = compactFlows(append(r.flows, s.Flows...))
	batch(r, s.Servers, r.serverSubject, func(b []ipvs.Change) []error { return r.kernel.IPVS.Apply(ctx, b) })
	batch(r, s.Addresses, addressSubject, func(b []AddressChange) []error { return r.addresses(ctx, b) })
	if s.Phase == CreateSets || s.Phase == DestroySets {
		errs := r.kernel.IPSet.Apply(ctx, s.Sets)
		r.done += len(s.Sets)
		return errors.Join(errs...)
	}
	batch(r, s.Sets, entrySubject, func(b []ipset.Change) []error { return r.kernel.IPSet.Apply(ctx, b) })
	return r.failed[ipvs.Key{}]
}

func (r *run) link(ctx context.Context, l LinkChange) error {
	if l.Delete {
		return r.kernel.Dummy.DeleteLink(ctx, l.Link.Name)
	}
	return r.kernel.Dummy.CreateLink(ctx, l.Link)
}

func (r *run) addresses(ctx context.Context, changes []AddressChange) []error {
	b := make([]dummy.Change, len(changes))
	for i, c := range changes {
		b[i] = c.Change
	}
	return r.kernel.Dummy.Apply(ctx, changes[0].Link, b)
}

// deleteFlows deletes what is due and keeps it due if that fails.
func (r *run) deleteFlows(ctx context.Context) error {
	if len(r.flows) == 0 {
		return nil
	}
	n, err := r.kernel.Conntrack.DeleteMatching(ctx, r.flows)
	r.flowsDeleted += n
	if err != nil {
		r.log.Info("stale flows stay", "flows", len(r.flows), "error", err)
		r.flowsErr = err
		return nil
	}
	r.done += len(r.flows)
	r.flows = nil
	return nil
}

// batch writes those changes whose subjects have not failed.
func batch[C any](r *run, changes []C, subject func(C) []ipvs.Key, write func([]C) []error) {
	if len(changes) == 0 {
		return
	}
	if len(r.failed) > 0 {
		all := len(changes)
		changes = slices.DeleteFunc(slices.Clone(changes), func(c C) bool {
			return slices.ContainsFunc(subject(c), func(k ipvs.Key) bool { return r.failed[k] != nil })
		})
		r.skipped += all - len(changes)
		if len(changes) == 0 {
			return
		}
	}
	r.done += len(changes)
	for i, err := range write(changes) {
		if err != nil {
			r.done--
			r.fail(subject(changes[i])[0], err)
		}
	}
}

// fail notes that a subject failed. The failure of a mark is one of every tuple
// that relies on it.
func (r *run) fail(subject ipvs.Key, err error) {
	r.log.Info("write failed", "subject", subject.String(), "error", err)
	r.failed[subject] = errors.Join(r.failed[subject], err)
	if subject.Mark == 0 {
		return
	}
	for _, s := range []*state{r.have, r.want} {
		for _, key := range s.tuplesByMark()[subject] {
			r.failed[key] = errors.Join(r.failed[key], err)
		}
	}
}

// serverSubject returns what a change of a virtual server is about: its key
// first, then its address and endpoint, whose safeguards it relies on.
func (r *run) serverSubject(c ipvs.Change) []ipvs.Key {
	key := c.Service.Key
	subjects := []ipvs.Key{key}
	if key.Mark == 0 {
		subjects = append(subjects, ipvs.Key{Addr: key.Addr})
	}
	if c.Op == ipvs.AddDestination {
		subjects = append(subjects, endpoint(c.Destination.Addr, c.Destination.Port))
	}
	return subjects
}

func addressSubject(c AddressChange) []ipvs.Key { return []ipvs.Key{{Addr: c.Address.Addr}} }

// entrySubject returns what an entry is about: an address, an endpoint, a
// tuple, or with networks of pods everything.
func entrySubject(c ipset.Change) []ipvs.Key {
	e := c.Entry.EntryKey
	switch c.Set.Type {
	case ipset.HashIPPortIP:
		return []ipvs.Key{endpoint(e.Net.Addr(), e.Port)}
	case ipset.HashIP:
		return []ipvs.Key{{Addr: e.Net.Addr()}}
	case ipset.HashNet:
		return []ipvs.Key{{}}
	default:
		return []ipvs.Key{keyOf(e), {Addr: e.Net.Addr()}}
	}
}

// endpoint is the subject of an endpoint's safeguards.
func endpoint(a netip.Addr, port uint16) ipvs.Key { return ipvs.Key{Addr: a, Port: port} }

// failures returns what failed by service: whose tuples, addresses and
// endpoints those are.
func (r *run) failures() refusals {
	failed := make(refusals)
	if len(r.failed) == 0 {
		return failed
	}
	for _, s := range []*state{r.want, r.have} {
		for _, f := range families {
			for e, entry := range s.entries(setLedger, f) {
				for _, err := range r.against(s, keyOf(e)) {
					if !slices.Contains(failed[entry.Comment], err) {
						failed.add(entry.Comment, err)
					}
				}
			}
		}
	}
	return failed
}

// against returns the failures that concern the tuple of a virtual server.
func (r *run) against(s *state, key ipvs.Key) []error {
	var errs []error
	for _, k := range []ipvs.Key{key, {Addr: key.Addr}} {
		if err := r.failed[k]; err != nil {
			errs = append(errs, err)
		}
	}
	for d := range s.servers[key].Destinations {
		if err := r.failed[endpoint(d.Addr, d.Port)]; err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// report says what became of the services.
func (r *run) report(services []Service, refused refusals) Report {
	rep := Report{Failed: refused.list(), Operations: r.done, FlowsDeleted: r.flowsDeleted, FlowsPending: r.flows}
	for _, svc := range services {
		if refused[svc.Name] == nil {
			rep.Programmed = append(rep.Programmed, svc.Name)
		}
	}
	slices.SortFunc(rep.Programmed, strings.Compare)
	return rep
}
