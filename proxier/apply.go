package proxier

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
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
	// tuples are those that each mark serves, before or after.
	tuples map[ipvs.Key][]ipvs.Key

	failed  map[ipvs.Key]error
	skipped int
	done    int

	// flows are those whose deletion is due.
	flows        []conntrack.Match
	flowsDeleted int
	flowsErr     error
}

func newRun(k Kernel, log *slog.Logger, have, want *state) *run {
	r := &run{kernel: k, log: log, have: have, want: want, failed: make(map[ipvs.Key]error), tuples: have.tuplesByMark()}
	for mark, keys := range want.tuplesByMark() {
		r.tuples[mark] = append(r.tuples[mark], keys...)
	}
	return r
}

// clean reports whether the kernel now holds what was wanted.
func (r *run) clean() bool { return len(r.failed) == 0 && r.skipped == 0 }

// steps runs steps in order. The error is about what all services share; what
// follows was then not tried. Flows are due from the beginning: what makes them
// stale may have happened, however the run ends.
func (r *run) steps(ctx context.Context, steps []Step) error {
	for _, s := range steps {
		r.flows = append(r.flows, s.Flows...)
	}
	r.flows = compactFlows(r.flows)
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		r.log.Debug("step", "phase", s.Phase.String(), "operations", s.len())
		if err := r.step(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.Phase, err)
		}
	}
	return nil
}

func (r *run) step(ctx context.Context, s Step) error {
	switch s.Phase {
	case CreateLink, DeleteLink:
		return r.links(ctx, s.Links)
	case WriteRules, RemoveRules:
		return r.rules(ctx, s)
	case CreateSets, DestroySets:
		return r.sets(ctx, s)
	case DeleteFlows:
		r.deleteFlows(ctx)
	case AddAddresses, RemoveAddresses:
		batch(r, s.Addresses, r.addressSubject, func(b []AddressChange) []error { return r.addresses(ctx, b) })
	case AddMarkServers, AddMarkDestinations, RemoveMarkServers,
		AddServers, WithdrawDestinations, AddDestinations, RemoveServers:
		batch(r, s.Servers, r.serverSubject, func(b []ipvs.Change) []error { return r.kernel.IPVS.Apply(ctx, b) })
	default:
		// One set after the other: a safeguard that fails stops what relies on it.
		held := r.heldEndpoints()
		subject := func(c ipset.Change) []ipvs.Key {
			subjects := append(entrySubject(c), held[c.Entry.EntryKey]...)
			if c.Set.Type == ipset.HashIP && c.Op == ipset.DeleteEntry {
				subjects = append(subjects, r.failedAt(c.Entry.Net.Addr())...)
			}
			return subjects
		}
		for changes := range chunks(s.Sets, func(a, b ipset.Change) bool { return a.Set.Name == b.Set.Name }) {
			batch(r, changes, subject, func(b []ipset.Change) []error { return r.kernel.IPSet.Apply(ctx, b) })
		}
	}
	r.disown(ctx, s)
	return r.failed[ipvs.Key{}]
}

// chunks yields the longest runs of elements that belong together.
func chunks[E any](all []E, together func(a, b E) bool) iter.Seq[[]E] {
	return func(yield func([]E) bool) {
		for len(all) > 0 {
			n := 1
			for n < len(all) && together(all[n-1], all[n]) {
				n++
			}
			if !yield(all[:n:n]) {
				return
			}
			all = all[n:]
		}
	}
}

func (r *run) links(ctx context.Context, changes []LinkChange) error {
	for _, l := range changes {
		if l.Verb == LinkDel && len(r.failed) > 0 {
			r.skipped++
			continue
		}
		if err := r.link(ctx, l); err != nil {
			return err
		}
		r.done++
	}
	return nil
}

func (r *run) rules(ctx context.Context, s Step) error {
	for _, c := range s.Rules {
		if s.Phase == RemoveRules && r.keepsFamily(c.Family) {
			r.skipped += len(c.Edits)
			continue
		}
		if err := r.kernel.IPTables.Restore(ctx, c.Family, c.Edits); err != nil {
			return err
		}
		r.done += len(c.Edits)
	}
	return nil
}

func (r *run) sets(ctx context.Context, s Step) error {
	var changes []ipset.Change
	for _, c := range s.Sets {
		if s.Phase == DestroySets && r.keepsFamily(c.Set.Family) {
			r.skipped++
			continue
		}
		changes = append(changes, c)
	}
	if len(changes) == 0 {
		return nil
	}
	errs := r.kernel.IPSet.Apply(ctx, changes)
	for _, err := range errs {
		if err != nil {
			r.done--
		}
	}
	r.done += len(changes)
	return errors.Join(errs...)
}

// disown takes back our claim to what turned out to be somebody else's, there
// since the kernel was read: otherwise it would count as ours from now on.
func (r *run) disown(ctx context.Context, s Step) {
	var claims []ipset.Change
	claim := func(id setID, key ipvs.Key, e ipset.EntryKey) {
		f := key.Family()
		if _, before := r.have.entries(id, f)[e]; before || !errors.Is(r.failed[key], fs.ErrExist) {
			return
		}
		set := r.want.sets[id][familyIndex(f)].Set
		claims = append(claims, ipset.Change{Op: ipset.DeleteEntry, Set: set, Entry: ipset.Entry{EntryKey: e}})
		r.failed[key] = fmt.Errorf("%w: %w", ErrConflict, r.failed[key])
	}
	for _, c := range s.Servers {
		if key := c.Service.Key; c.Op == ipvs.AddService && key.Mark == 0 {
			claim(setLedger, key, tuple(key))
		}
	}
	for _, c := range s.Addresses {
		if c.Op == dummy.AddAddress {
			claim(setAddresses, ipvs.Key{Addr: c.Address.Addr}, ipset.EntryKey{Net: ipset.Host(c.Address.Addr)})
		}
	}
	if len(claims) > 0 {
		for _, err := range r.kernel.IPSet.Apply(ctx, claims) {
			if err != nil {
				r.log.Info("claim stays", "error", err)
			}
		}
	}
}

func (r *run) link(ctx context.Context, l LinkChange) error {
	switch l.Verb {
	case LinkDel:
		return r.kernel.Dummy.DeleteLink(ctx, l.Link.Name)
	case LinkSetUp:
		return r.kernel.Dummy.UpdateLink(ctx, l.Link)
	default:
		return r.kernel.Dummy.CreateLink(ctx, l.Link)
	}
}

func (r *run) addresses(ctx context.Context, changes []AddressChange) []error {
	b := make([]dummy.Change, len(changes))
	for i, c := range changes {
		b[i] = c.Change
	}
	return r.kernel.Dummy.Apply(ctx, changes[0].Link, b)
}

// deleteFlows deletes what is due, and keeps it due if that fails.
func (r *run) deleteFlows(ctx context.Context) {
	n, err := r.kernel.Conntrack.DeleteMatching(ctx, r.flows)
	r.flowsDeleted += n
	if err != nil {
		r.log.Info("stale flows stay", "flows", len(r.flows), "error", err)
		r.flowsErr = fmt.Errorf("delete stale flows: %w", err)
		return
	}
	r.done += len(r.flows)
	r.flows = nil
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

// report says what became of the services.
func (r *run) report(services []Service, refused refusals) Report {
	rep := Report{Failed: refused.list(), Operations: r.done, FlowsDeleted: r.flowsDeleted, FlowsPending: slices.Clone(r.flows)}
	for _, svc := range services {
		if refused[svc.Name] == nil {
			rep.Programmed = append(rep.Programmed, svc.Name)
		}
	}
	slices.SortFunc(rep.Programmed, strings.Compare)
	return rep
}
