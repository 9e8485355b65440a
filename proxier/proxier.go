package proxier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/vipkit/vipkit/conntrack"
)

// Proxier makes one kernel agree with the services that callers want. It is
// safe for concurrent use; calls take turns. A Proxier starts no goroutine and
// holds nothing that would have to be closed.
type Proxier struct {
	kernel Kernel
	config *config
	log    *slog.Logger

	mu sync.Mutex
	// have is what the kernel holds of ours; nil: unknown, read it.
	have *state
	// complete says that have is what wanted asks for, and nothing else: the
	// services of the last ApplyServices. report is what that returned.
	complete bool
	wanted   []Service
	report   Report
	// flows are stale flows whose deletion is due.
	flows []conntrack.Match
}

// New returns a proxier for a kernel. All clients but Sysctl are required. A
// nil configuration is the zero one. It reads and writes nothing yet.
func New(kernel Kernel, cfg *Config) (*Proxier, error) {
	if kernel.IPVS == nil || kernel.IPSet == nil || kernel.IPTables == nil || kernel.Dummy == nil || kernel.Conntrack == nil {
		return nil, errors.New("proxier: a client of the kernel is missing")
	}
	c, err := cfg.resolved()
	if err != nil {
		return nil, err
	}
	log := c.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Proxier{kernel: kernel, config: c, log: log}, nil
}

// Plan returns what ApplyServices would write for the same services now. It
// reads the kernel unless the proxier knows its state, and writes nothing.
func (p *Proxier) Plan(ctx context.Context, services []Service) (Plan, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	have, err := p.observed(ctx, services)
	if err != nil {
		return Plan{}, err
	}
	want, refused := resolve(p.config, services, noOthers, have)
	return Plan{Steps: diff(p.config, have, want), Refused: refused.list()}, nil
}

// ApplyServices makes the kernel agree with services: everything that is wanted,
// not a change to it. An empty list removes all that is ours.
//
// The error joins a [ServiceError] for each service that is not as wanted; the
// others are. It is something else when the kernel could not be read, in which
// case nothing was written, or refused what all services share.
//
// With the same services as before, and nothing left to do, it makes no request
// at all.
func (p *Proxier) ApplyServices(ctx context.Context, services []Service) (Report, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return Report{}, err
	}
	if p.complete && len(p.flows) == 0 && slices.EqualFunc(services, p.wanted, Service.Equal) {
		r := p.report
		r.Operations, r.FlowsDeleted = 0, 0
		return r, r.Err()
	}
	report, err := p.apply(ctx, services, noOthers)
	if p.have != nil {
		p.wanted, p.complete = cloneServices(services), true
	}
	return report, err
}

// Changes are services to add or change, and names of services to remove.
type Changes struct {
	Upsert []Service
	Delete []string
}

// Apply carries out changes and leaves every other service that is in the kernel
// as it is: for callers that know what changed, or that do not know everything. A
// name that is in both lists is an error, one to remove that is not there is
// none. Report and error are about the services in Upsert.
func (p *Proxier) Apply(ctx context.Context, changes Changes) (Report, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return Report{}, err
	}
	gone := make(map[string]bool, len(changes.Delete))
	for _, name := range changes.Delete {
		gone[name] = true
	}
	for _, s := range changes.Upsert {
		if gone[s.Name] {
			return Report{}, ServiceError{Service: s.Name, Err: errors.New("to be changed and removed at once")}
		}
	}
	return p.apply(ctx, changes.Upsert, func(name string) bool { return !gone[name] })
}

// observed returns what is known of the kernel, or reads it.
func (p *Proxier) observed(ctx context.Context, services []Service) (*state, error) {
	if p.have != nil {
		return p.have, nil
	}
	return observe(ctx, p.kernel, p.config, wantedFamilies(services))
}

// apply reads what it must, plans and writes.
func (p *Proxier) apply(ctx context.Context, services []Service, rest others) (Report, error) {
	have, err := p.observed(ctx, services)
	if err != nil {
		return Report{}, err
	}
	want, refused := resolve(p.config, services, rest, have)
	steps := diff(p.config, have, want)

	run := newRun(p.kernel, p.log, have, want)
	run.flows = p.flows
	p.have, p.complete = nil, false // until the run has ended well
	err = run.steps(ctx, steps)
	if err != nil && !have.link {
		err = errors.Join(err, p.undo(ctx, services))
	}
	p.flows = run.flows
	for name, errs := range run.failures() {
		refused[name] = append(refused[name], errs...)
	}
	p.report = run.report(services, refused)
	if err != nil {
		return p.report, fmt.Errorf("apply: %w", err)
	}
	if run.clean() && !refused.conflict() {
		p.have = want
	}
	return p.report, p.report.Err()
}

// undo takes back what a first call has written before something that all
// services share was refused, so that a host that cannot serve is left as it
// was.
func (p *Proxier) undo(ctx context.Context, services []Service) error {
	ctx = context.WithoutCancel(ctx)
	have, err := observe(ctx, p.kernel, p.config, wantedFamilies(services))
	if err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	want := newState()
	run := newRun(p.kernel, p.log, have, want)
	if err := run.steps(ctx, diff(p.config, have, want)); err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	return nil
}

func wantedFamilies(services []Service) (wanted [2]bool) {
	for i, f := range families {
		wanted[i] = usesFamily(services, f)
	}
	return wanted
}

// Equal reports whether two services are the same value, order included.
func (s Service) Equal(t Service) bool {
	return s.Name == t.Name && s.Protocol == t.Protocol &&
		slices.Equal(s.Frontends, t.Frontends) &&
		slices.Equal(s.Endpoints, t.Endpoints) &&
		s.Internal == t.Internal && s.External == t.External &&
		slices.Equal(s.SourceRanges, t.SourceRanges) &&
		s.Affinity == t.Affinity && s.Scheduler == t.Scheduler &&
		s.Flags == t.Flags && s.WithoutEndpoints == t.WithoutEndpoints
}

// cloneServices copies services so that the caller may change its own.
func cloneServices(services []Service) []Service {
	c := slices.Clone(services)
	for i := range c {
		c[i].Frontends = slices.Clone(c[i].Frontends)
		c[i].Endpoints = slices.Clone(c[i].Endpoints)
		c[i].SourceRanges = slices.Clone(c[i].SourceRanges)
	}
	return c
}
