package proxier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/vipkit/vipkit/conntrack"
	"github.com/vipkit/vipkit/ports"
)

// Proxier makes one kernel agree with the services that callers want. It is
// safe for concurrent use; calls take turns. A Proxier starts no goroutine, and
// holds nothing that would have to be closed but what [Config.HoldPorts] asks for.
type Proxier struct {
	kernel Kernel
	config *config
	log    *slog.Logger

	mu sync.Mutex
	// have is what the kernel holds of ours; nil: unknown, read it.
	have *applied
	// order is what have holds of each service of the last ApplyServices, and
	// last its report, if every one of them is as wanted and there is nothing
	// else; nil otherwise.
	order []*holding
	last  Report
	held  heldPorts
	// flows are stale flows whose deletion is due.
	flows []conntrack.Match
}

// New returns a proxier for a kernel. All clients but Sysctl and Probe are required. A
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
	if c.HoldPorts && kernel.Ports == nil {
		return nil, errors.New("config: holdPorts: the kernel has no client for ports")
	}
	held := heldPorts{client: kernel.Ports, held: make(map[ports.Key]io.Closer)}
	return &Proxier{kernel: kernel, config: c, log: log, held: held}, nil
}

// Link returns the name of the dummy link that holds the virtual addresses
// ([Config.Link], or its default).
func (p *Proxier) Link() string { return p.config.Link }

// Plan returns what ApplyServices would write for the same services now. It
// reads the kernel unless the proxier knows its state, and writes nothing.
func (p *Proxier) Plan(ctx context.Context, services []Service) (Plan, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, err := p.all(ctx, services, nil)
	if err != nil {
		return Plan{}, err
	}
	return Plan{Steps: p.steps(t), Refused: t.refused.list()}, nil
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
	if p.unchanged(services) {
		return p.last, nil
	}
	t, err := p.all(ctx, services, p.held.hold(ctx, p.config, services))
	if err != nil {
		return Report{}, err
	}
	report, err := p.apply(ctx, services, t)
	if err == nil && p.have != nil {
		p.order = make([]*holding, len(services))
		for i, s := range services {
			p.order[i] = p.have.services[s.Name]
		}
		p.last = report
		p.last.Operations, p.last.FlowsDeleted = 0, 0
	}
	return report, err
}

// unchanged reports whether services are those of the last call, and all is as
// they want it.
func (p *Proxier) unchanged(services []Service) bool {
	if p.order == nil || len(p.order) != len(services) {
		return false
	}
	for i := range services {
		if !services[i].equal(&p.order[i].service) {
			return false
		}
	}
	return true
}

// Changes are services to add or change, and names of services to remove.
type Changes struct {
	Upsert []Service
	Delete []string
}

// Apply carries out changes and leaves every other service that is in the kernel
// as it is: for callers that know what changed, or that do not know everything.
// Its cost depends on the changes, not on how many services there are, once the
// proxier knows the kernel's state. A name that is in both lists is an error, one
// to remove that is not there is none. Report and error are about the services
// in Upsert.
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
	denied := p.held.hold(ctx, p.config, changes.Upsert)
	t, err := p.transition(ctx, changes.Upsert, gone, denied, func(name string) bool { return !gone[name] })
	if err != nil {
		return Report{}, err
	}
	return p.apply(ctx, changes.Upsert, t)
}

// transition is a way from what the kernel has to what is wanted, of the
// services that change.
type transition struct {
	resolution
	have    *state
	changed map[string]bool
}

// all returns the transition to services and nothing else, but those that are
// denied.
func (p *Proxier) all(ctx context.Context, services []Service, denied refusals) (transition, error) {
	if p.have == nil {
		return p.transition(ctx, services, nil, denied, noOthers)
	}
	var upsert []Service
	seen := make(map[string]bool, len(services)) // and whether it is as wanted
	for _, s := range services {
		h := p.have.services[s.Name]
		same, twice := seen[s.Name]
		if !twice && h != nil && h.found == nil && h.service.Equal(s) {
			seen[s.Name] = true
			continue
		}
		if same {
			upsert = append(upsert, h.service) // so that both are seen
		}
		seen[s.Name] = false
		upsert = append(upsert, s)
	}
	gone := make(map[string]bool)
	for name := range p.have.services {
		if _, stays := seen[name]; !stays {
			gone[name] = true
		}
	}
	return p.transition(ctx, upsert, gone, denied, func(name string) bool { return !gone[name] })
}

// transition returns the way to the services in upsert without those in gone;
// rest says which others stay. What the proxier does not know it reads.
func (p *Proxier) transition(ctx context.Context, upsert []Service, gone map[string]bool, denied refusals, rest others) (t transition, err error) {
	if p.have == nil {
		if t.have, err = observe(ctx, p.kernel, p.config, p.config.familiesOf(upsert)); err != nil {
			return t, err
		}
		t.resolution = resolve(p.config, upsert, denied, rest, t.have)
		return t, nil
	}
	t.changed = make(map[string]bool, len(upsert)+len(gone))
	for _, s := range upsert {
		t.changed[s.Name] = true
	}
	for name := range gone {
		t.changed[name] = true
	}
	t.have = p.have.part(t.changed)
	t.resolution = resolve(p.config, upsert, denied, rest, t.have)
	p.have.share(t.changed, t.have, t.want)
	return t, nil
}

// steps returns what a transition needs, and what is due from before.
func (p *Proxier) steps(t transition) []Step {
	t.have.due = p.flows
	return diff(p.config, t.have, t.want)
}

// apply writes what a transition needs.
func (p *Proxier) apply(ctx context.Context, services []Service, t transition) (Report, error) {
	run := newRun(p.kernel, p.log, t.have, t.want)
	known := p.have
	steps := p.steps(t)
	p.have, p.order = nil, nil // until the run has ended well
	err := run.steps(ctx, steps)
	p.flows = run.flows
	if err != nil {
		if t.have.empty() {
			err = errors.Join(err, p.undo(ctx, services))
		}
		return Report{Operations: run.done, Failed: t.refused.list()}, fmt.Errorf("apply: %w", err)
	}
	failed, rest := run.failures()
	for name, errs := range failed {
		t.refused[name] = append(t.refused[name], errs...)
	}
	report := run.report(services, t.refused)
	if run.clean() && !t.refused.conflict() {
		if known == nil {
			known = newApplied(p.config, t.have)
		}
		known.advance(t)
		p.have = known
		rest = append(rest, p.held.release(known))
	}
	return report, errors.Join(append([]error{report.Err(), run.flowsErr}, rest...)...)
}

// undoTimeout bounds the time that taking back a first call may take.
const undoTimeout = 10 * time.Second

// undo takes back what a call has written to a host that had nothing of ours,
// before something that all services share was refused: a host that cannot serve
// is left as it was.
func (p *Proxier) undo(ctx context.Context, services []Service) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	have, err := observe(ctx, p.kernel, p.config, p.config.familiesOf(services))
	if err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	want := newState()
	run := newRun(p.kernel, p.log, have, want)
	if err := run.steps(ctx, diff(p.config, have, want)); err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	p.flows = nil // nothing of ours was ever reached
	return nil
}

func (c *config) familiesOf(services []Service) (used [2]bool) {
	for i, f := range families {
		used[i] = c.usesFamily(services, f)
	}
	return used
}

// Equal reports whether two services are the same value, order included.
func (s Service) Equal(t Service) bool { return s.equal(&t) }

func (s *Service) equal(t *Service) bool {
	return s.Name == t.Name && s.Protocol == t.Protocol &&
		slices.Equal(s.Frontends, t.Frontends) &&
		slices.Equal(s.Endpoints, t.Endpoints) &&
		s.Internal == t.Internal && s.External == t.External &&
		slices.Equal(s.SourceRanges, t.SourceRanges) &&
		s.Affinity == t.Affinity && s.Scheduler == t.Scheduler &&
		s.Flags == t.Flags && s.WithoutEndpoints == t.WithoutEndpoints &&
		s.Forward == t.Forward && s.Tunnel == t.Tunnel && s.HealthCheckPort == t.HealthCheckPort
}

// cloneService copies a service so that the caller may change its own.
func cloneService(s Service) Service {
	s.Frontends = slices.Clone(s.Frontends)
	s.Endpoints = slices.Clone(s.Endpoints)
	s.SourceRanges = slices.Clone(s.SourceRanges)
	return s
}
