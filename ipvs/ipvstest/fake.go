package ipvstest

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipvs"
)

// Fake is an IPVS in memory that answers as Linux does. Its zero value is ready
// and empty. It is safe for concurrent use, but set its fields before the first
// call.
//
// Every address counts as one that the kernel would take as a destination, and
// nothing is forwarded: see [Fake.SetConnections].
type Fake struct {
	// Schedulers are those that the kernel has. Nil: all thirteen of Linux 6.1
	// and later.
	Schedulers []string
	// Fault, if not nil, is asked before each valid change. Its error becomes the
	// change's ([ipvs.ChangeError]), and the change is not carried out, unless
	// the error is vipkit.ErrReplyLost: then it is.
	Fault func(ipvs.Change) error

	// Interfaces are the network interfaces, besides lo, on which a
	// synchronisation daemon can run, all of an MTU of 1500.
	Interfaces []string

	mu       sync.Mutex
	servers  map[ipvs.Key]*server
	timeouts ipvs.Timeouts // those that were set
	daemons  []ipvs.Daemon
}

var _ ipvs.Client = (*Fake)(nil)

// server is a virtual server.
type server struct {
	info         ipvs.ServiceInfo
	destinations map[ipvs.DestKey]*ipvs.DestinationInfo
}

// Schedulers returns the names of all schedulers of Linux 6.1 and later.
func Schedulers() []string { return ipvs.Schedulers() }

// Info implements [ipvs.Client].
func (f *Fake) Info(ctx context.Context) (ipvs.Info, error) {
	if err := ctx.Err(); err != nil {
		return ipvs.Info{}, ipvs.ReadError("ipvs info", "", err)
	}
	return ipvs.Info{Version: [3]uint8{1, 2, 1}, ConnTableSize: 4096}, nil
}

// Services implements [ipvs.Client].
func (f *Fake) Services(ctx context.Context) iter.Seq2[ipvs.ServiceInfo, error] {
	return func(yield func(ipvs.ServiceInfo, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(ipvs.ServiceInfo{}, ipvs.ReadError("ipvs list services", "", err))
			return
		}
		f.mu.Lock()
		all := make([]ipvs.ServiceInfo, 0, len(f.servers))
		for _, s := range f.servers {
			all = append(all, s.info)
		}
		f.mu.Unlock()
		yieldShuffled(all, yield)
	}
}

// Destinations implements [ipvs.Client].
func (f *Fake) Destinations(ctx context.Context, of ipvs.Key) iter.Seq2[ipvs.DestinationInfo, error] {
	return func(yield func(ipvs.DestinationInfo, error) bool) {
		err := ctx.Err()
		if a := of.Addr; err == nil && (!a.IsValid() || a.Is4In6() || a.Zone() != "") {
			err = of.Validate()
		}
		if err != nil {
			yield(ipvs.DestinationInfo{}, ipvs.ReadError("ipvs list destinations", of.String(), err))
			return
		}
		f.mu.Lock()
		var all []ipvs.DestinationInfo
		if s := f.servers[of]; s != nil {
			for _, d := range s.destinations {
				all = append(all, *d)
			}
		}
		f.mu.Unlock()
		yieldShuffled(all, yield)
	}
}

// Servers implements [ipvs.Client].
func (f *Fake) Servers(ctx context.Context, full func(ipvs.Key) bool) iter.Seq2[ipvs.Row, error] {
	return func(yield func(ipvs.Row, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(ipvs.Row{}, ipvs.ReadError("ipvs list services", "", err))
			return
		}
		f.mu.Lock()
		all := make([]ipvs.Row, 0, len(f.servers))
		for _, s := range f.servers {
			all = append(all, s.row())
		}
		f.mu.Unlock()
		yieldShuffled(all, func(row ipvs.Row, err error) bool {
			if full != nil && !full(row.Key) {
				row.Destinations = nil
			}
			return yield(row, err)
		})
	}
}

// row returns a copy without counters.
func (s *server) row() ipvs.Row {
	row := ipvs.Row{Service: s.info.Service}
	for _, d := range s.destinations { // in random order
		row.Destinations = append(row.Destinations, d.Destination)
	}
	return row
}

func yieldShuffled[T any](all []T, yield func(T, error) bool) {
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, v := range all {
		if !yield(v, nil) {
			return
		}
	}
}

// Apply implements [ipvs.Client].
func (f *Fake) Apply(ctx context.Context, changes []ipvs.Change) []error {
	var errs []error
	for i, c := range changes {
		if err := f.apply(ctx, c); err != nil {
			if errs == nil {
				errs = make([]error, len(changes))
			}
			errs[i] = ipvs.ChangeError(c, err)
		}
	}
	return errs
}

func (f *Fake) apply(ctx context.Context, c ipvs.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.Validate(); err != nil {
		return err
	}
	var fault error
	if f.Fault != nil { // outside the lock: it may use the fake
		if fault = f.Fault(c); fault != nil && !errors.Is(fault, vipkit.ErrReplyLost) {
			return fault
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if errno := f.change(c); errno != 0 && fault == nil {
		return errno
	}
	return fault
}

// change answers as ip_vs_genl_set_cmd does, in its order
// (net/netfilter/ipvs/ip_vs_ctl.c).
func (f *Fake) change(c ipvs.Change) syscall.Errno {
	if c.Op == ipvs.ZeroAll {
		for _, s := range f.servers {
			s.zero()
		}
		return 0
	}
	s := f.servers[c.Service.Key]
	if s == nil && c.Op != ipvs.AddService {
		return syscall.ESRCH
	}
	switch c.Op {
	case ipvs.AddService:
		if s != nil {
			return syscall.EEXIST
		}
		if !f.has(c.Service) {
			return syscall.ENOENT
		}
		if f.servers == nil {
			f.servers = make(map[ipvs.Key]*server)
		}
		f.servers[c.Service.Key] = &server{
			info:         ipvs.ServiceInfo{Service: c.Service.Canonical()},
			destinations: make(map[ipvs.DestKey]*ipvs.DestinationInfo),
		}
	case ipvs.UpdateService:
		if !f.has(c.Service) {
			return syscall.ENOENT
		}
		s.info.Service = c.Service.Canonical()
	case ipvs.DeleteService:
		delete(f.servers, c.Service.Key)
	case ipvs.ZeroService:
		s.zero()
	default:
		// The protocol of the synchronisation daemons has one family a connection.
		if c.Op != ipvs.DeleteDestination && len(f.daemons) > 0 && c.Destination.Addr.Is4() != c.Service.Addr.Is4() {
			return syscall.EINVAL
		}
		return s.change(c.Op, c.Destination)
	}
	return 0
}

// change carries out an operation on a destination.
func (s *server) change(op ipvs.Op, d ipvs.Destination) syscall.Errno {
	have := s.destinations[d.DestKey]
	switch {
	case op == ipvs.AddDestination && have != nil:
		return syscall.EEXIST
	case op == ipvs.AddDestination:
		s.destinations[d.DestKey] = &ipvs.DestinationInfo{Destination: d}
	case have == nil:
		return syscall.ENOENT
	case op == ipvs.UpdateDestination:
		have.Destination = d
	case op == ipvs.DeleteDestination:
		delete(s.destinations, d.DestKey)
	}
	return 0
}

// has reports whether the kernel has the scheduler and the persistence engine.
func (f *Fake) has(s ipvs.Service) bool {
	schedulers := f.Schedulers
	if schedulers == nil {
		schedulers = Schedulers()
	}
	return slices.Contains(schedulers, s.Scheduler) && (s.PersistenceEngine == "" || s.PersistenceEngine == "sip")
}
