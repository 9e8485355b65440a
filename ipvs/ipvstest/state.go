package ipvstest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/vipkit/vipkit/ipvs"
)

// defaults are the kernel's timeouts.
var defaults = ipvs.Timeouts{TCP: 15 * time.Minute, TCPFin: 2 * time.Minute, UDP: 5 * time.Minute}

// Timeouts implements [ipvs.Client].
func (f *Fake) Timeouts(ctx context.Context) (ipvs.Timeouts, error) {
	if err := ctx.Err(); err != nil {
		return ipvs.Timeouts{}, ipvs.ReadError("ipvs get timeouts", "", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return defaults.Merge(f.timeouts), nil
}

// SetTimeouts implements [ipvs.Client].
func (f *Fake) SetTimeouts(ctx context.Context, t ipvs.Timeouts) error {
	err := t.Validate()
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return ipvs.ReadError("ipvs set timeouts", t.String(), err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.timeouts = f.timeouts.Merge(t)
	return nil
}

// Daemons implements [ipvs.Client].
func (f *Fake) Daemons(ctx context.Context) ([]ipvs.Daemon, error) {
	if err := ctx.Err(); err != nil {
		return nil, ipvs.ReadError("ipvs list daemons", "", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.daemons), nil
}

// StartDaemon implements [ipvs.Client]. It answers as start_sync_thread does, in
// its order (net/netfilter/ipvs/ip_vs_sync.c).
func (f *Fake) StartDaemon(ctx context.Context, d ipvs.Daemon) error {
	asked := d
	fail := func(err error) error { return ipvs.ReadError("ipvs start daemon", asked.String(), err) }
	if err := cmp.Or(d.Validate(), ctx.Err()); err != nil {
		return fail(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mixed() {
		return fail(syscall.EINVAL)
	}
	if d.Interface != "lo" && !slices.Contains(f.Interfaces, d.Interface) {
		return fail(syscall.ENODEV)
	}
	if slices.ContainsFunc(f.daemons, func(other ipvs.Daemon) bool { return other.State == d.State }) {
		return fail(syscall.EEXIST)
	}
	f.daemons = append(f.daemons, completed(d))
	slices.SortFunc(f.daemons, func(a, b ipvs.Daemon) int { return cmp.Compare(a.State, b.State) })
	return nil
}

// completed returns the daemon with the kernel's choice where it had none.
func completed(d ipvs.Daemon) ipvs.Daemon {
	if !d.Group.IsValid() {
		d.Group = netip.AddrFrom4([4]byte{224, 0, 0, 81})
	}
	headers := 20 + 8
	if d.Group.Is6() {
		headers = 40 + 8
	}
	mtu, least := 1500, 1
	if d.State == ipvs.Backup {
		least = 1024
		if d.Interface == "lo" {
			mtu = 65535
		}
	}
	if d.MaxLen == 0 {
		d.MaxLen = uint16(mtu - headers)
	}
	d.MaxLen = uint16(min(max(int(d.MaxLen), least), 65535-headers))
	d.Port, d.TTL = cmp.Or(d.Port, 8848), cmp.Or(d.TTL, 1)
	return d
}

// mixed reports whether any destination has another family than its virtual server.
func (f *Fake) mixed() bool {
	for k, s := range f.servers {
		for dk := range s.destinations {
			if dk.Addr.Is4() != k.Addr.Is4() {
				return true
			}
		}
	}
	return false
}

// StopDaemon implements [ipvs.Client].
func (f *Fake) StopDaemon(ctx context.Context, state ipvs.DaemonState) error {
	err := cmp.Or(state.Validate(), ctx.Err())
	if err == nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		running := len(f.daemons)
		f.daemons = slices.DeleteFunc(f.daemons, func(d ipvs.Daemon) bool { return d.State == state })
		if len(f.daemons) == running {
			err = syscall.ESRCH
		}
	}
	if err != nil {
		return ipvs.ReadError("ipvs stop daemon", "--stop-daemon "+state.String(), err)
	}
	return nil
}

// zero zeroes the counters, not the connections.
func (s *server) zero() {
	s.info.Stats = ipvs.Stats{}
	for _, d := range s.destinations {
		d.Stats = ipvs.Stats{}
	}
}

// SetConnections sets how many connections a destination has. It fails with
// fs.ErrNotExist if there is none.
func (f *Fake) SetConnections(of ipvs.Key, key ipvs.DestKey, active, inactive, persistent uint32) error {
	return f.onDestination(of, key, func(_ *server, d *ipvs.DestinationInfo) {
		d.Active, d.Inactive, d.Persistent = active, inactive, persistent
	})
}

// Count adds to the counters of a destination and of its virtual server, as packets
// do. It fails with fs.ErrNotExist if there is none.
func (f *Fake) Count(of ipvs.Key, key ipvs.DestKey, more ipvs.Stats) error {
	return f.onDestination(of, key, func(s *server, d *ipvs.DestinationInfo) {
		for _, have := range []*ipvs.Stats{&s.info.Stats, &d.Stats} {
			have.Connections += more.Connections
			have.PacketsIn += more.PacketsIn
			have.PacketsOut += more.PacketsOut
			have.BytesIn += more.BytesIn
			have.BytesOut += more.BytesOut
			have.Rates = more.Rates
		}
	})
}

// onDestination calls do with a destination, locked.
func (f *Fake) onDestination(of ipvs.Key, key ipvs.DestKey, do func(*server, *ipvs.DestinationInfo)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.servers[of]
	errno := syscall.ESRCH
	if s != nil {
		errno = syscall.ENOENT
		if d := s.destinations[key]; d != nil {
			do(s, d)
			return nil
		}
	}
	c := ipvs.Change{Op: ipvs.UpdateDestination}
	c.Service.Key, c.Destination.DestKey = of, key
	return ipvs.ChangeError(c, errno)
}

// Dump returns everything as ipvsadm -Sn prints it, sorted: see
// [ipvs.WriteSave].
func (f *Fake) Dump() string {
	f.mu.Lock()
	copied := &Fake{servers: maps.Clone(f.servers)} // values change only under the lock
	var b bytes.Buffer
	err := ipvs.WriteSave(context.Background(), &b, copied)
	f.mu.Unlock()
	if err != nil {
		panic(err) // a Fake's reads fail only with their context
	}
	return b.String()
}

// Load replaces everything with what text says, in the syntax of [Fake.Dump].
// Blank lines and those that start with # are skipped. It changes nothing if
// any line is wrong or refused, and reports all that are.
func (f *Fake) Load(text string) error {
	fresh := &Fake{Schedulers: f.Schedulers}
	var errs []error
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var c ipvs.Change
		err := c.UnmarshalText([]byte(line))
		if err == nil {
			if refused := fresh.Apply(context.Background(), []ipvs.Change{c}); refused != nil {
				err = refused[0]
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", n, err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.servers = fresh.servers
	return nil
}
