package proxier

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/sysctl"
)

// Preflight is what a host offers for services, and what of it is not as they
// need it, before anything is written. The caller chooses what to do about it:
// verify ([Preflight.Verify]), apply ([Proxier.SetSysctls],
// [Proxier.SetTimeouts]), or leave it.
type Preflight struct {
	// Host is what was found, a line each: versions of IPVS and of the tools.
	Host []string
	// Missing are the facilities that services need and the host lacks, each
	// with the module and the kernel option, the tool, or the privilege in its
	// text.
	Missing []error
	// Sysctls are the kernel parameters that matter to services, with their
	// values.
	Sysctls []Sysctl
	// Timeouts are how long IPVS keeps idle connections.
	Timeouts Timeouts
	// Obstacles are what rules of others drop of what services need.
	Obstacles []Obstacle
	// Warnings are what else is not as it should be, and what nobody can tell,
	// a sentence each.
	Warnings []string
}

// Tuning is what [Proxier.Preflight] wants of a host beyond what services need.
// Its zero value wants nothing more.
type Tuning struct {
	// Timeouts are how long IPVS keeps idle connections. Zero leaves one as it
	// is.
	Timeouts ipvs.Timeouts
	// StrictARP has no link but the one that holds them answer ARP for virtual
	// addresses, and no host address but a link's own be announced there
	// (arp_ignore and arp_announce): for virtual addresses that other hosts
	// announce as well, of direct routing or of a load balancer's. It is for
	// IPv4; in IPv6 no link answers for another's address.
	StrictARP bool
	// Sysctls are values for other parameters by name: for
	// net.netfilter.nf_conntrack_max and the timeouts of connection tracking,
	// or instead of what Preflight would choose for one of its own. The empty
	// value leaves a parameter out.
	Sysctls map[string]string
}

// Timeouts are IPVS's, as they are and as [Tuning] wants them.
type Timeouts struct {
	// Want has a zero where a timeout is to stay as it is.
	Want, Have ipvs.Timeouts
	// Err is why Have could not be read.
	Err error
}

// validate reports what is wrong with what is wanted.
func (t Tuning) validate(f *faults) {
	if err := t.Timeouts.Validate(); err != nil {
		f.add("config: tuning.timeouts: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(t.Sysctls)) {
		if _, err := sysctl.Path(name); err != nil {
			f.add("config: tuning.sysctls: %w", err)
		}
		if value := t.Sysctls[name]; value != "" {
			if err := sysctl.CheckValue(value); err != nil {
				f.add("config: tuning.sysctls: %s: %w", name, err)
			}
		}
	}
}

// Fine reports whether all timeouts are as wanted.
func (t Timeouts) Fine() bool {
	return t.Want == ipvs.Timeouts{} || t.Err == nil && t.Have.Merge(t.Want) == t.Have
}

// Previous returns what gives the timeouts back the values that they had.
func (t Timeouts) Previous() Timeouts {
	return Timeouts{Want: t.Have, Have: t.Have.Merge(t.Want), Err: t.Err}
}

// Err returns what is missing, joined, or nil. With it no service can be had, or
// not every one.
func (p Preflight) Err() error { return errors.Join(p.Missing...) }

// Verify returns what is missing and what of the required settings is not as
// wanted or could not be read, joined, or nil.
func (p Preflight) Verify() error {
	errs := slices.Clone(p.Missing)
	for _, s := range p.Sysctls {
		if s.Need == Required && !s.Fine() {
			errs = append(errs, s.fault())
		}
	}
	return errors.Join(errs...)
}

// Wrong returns the parameters that are not optional and have a value that will
// not do, or could not be read.
func (p Preflight) Wrong() []Sysctl {
	return slices.DeleteFunc(slices.Clone(p.Sysctls), func(s Sysctl) bool { return s.Need == Optional || s.Fine() })
}

// Preflight reads what the host offers for the given services. It writes
// nothing, though asking makes the kernel load modules where it can. A context
// that ends leaves the answers out that were still to come, and is Missing.
func (p *Proxier) Preflight(ctx context.Context, services []Service) Preflight {
	f := flight{Proxier: p, ctx: ctx, needs: p.needs(services)}
	for _, step := range []func(){
		f.ipvs, f.ipset, f.dummy, f.conntrack, f.iptables, f.ipv6, f.parameters, f.timeouts, f.addresses,
	} {
		if err := ctx.Err(); err != nil {
			f.lacks(fmt.Errorf("preflight: %w", err))
			break
		}
		step()
	}
	return f.Preflight
}

// flight is a preflight under way.
type flight struct {
	Preflight
	*Proxier
	// ctx is that of the one call that the flight is.
	ctx context.Context
	needs
	denied bool // the kernel does not let us ask
	// hasIPVS and hasIPSet say that these answer at all.
	hasIPVS, hasIPSet bool
}

func (f *flight) lacks(err error) { f.Missing = append(f.Missing, err) }

func (f *flight) found(format string, args ...any) {
	f.Host = append(f.Host, fmt.Sprintf(format, args...))
}

func (f *flight) warn(format string, args ...any) {
	f.Warnings = append(f.Warnings, fmt.Sprintf(format, args...))
}

// SetSysctls sets the parameters to the values wanted, in order, and goes on
// after one that fails; the error joins those that failed. One that has the value
// already is not written: it may be read-only. [Previous] says what
// gives them back their values. Who may have to do so after a crash has to keep
// that: the kernel does not remember, and the proxier writes no file.
//
// Setting net.ipv4.ip_forward or net.ipv6.conf.all.forwarding sets forwarding of
// every link as well, and with IPv6 forwarding a link heeds router advertisements
// only if its accept_ra is 2 (Documentation/networking/ip-sysctl.rst).
func (p *Proxier) SetSysctls(ctx context.Context, sysctls []Sysctl) error {
	if p.kernel.Sysctl == nil {
		return errors.New("proxier: the kernel has no client for sysctls")
	}
	var errs []error
	for _, s := range sysctls {
		if s.Want == "" {
			continue
		}
		if now, err := p.kernel.Sysctl.Get(ctx, s.Name); err == nil && now == s.Want {
			continue
		}
		if err := p.kernel.Sysctl.Set(ctx, s.Name, s.Want); err != nil {
			errs = append(errs, fmt.Errorf("set %s=%s: %w", s.Name, s.Want, err))
		}
	}
	return errors.Join(errs...)
}

// SetTimeouts sets IPVS's timeouts to those wanted. They are the network
// namespace's, not of single services. [Timeouts.Previous] says what gives them
// back.
func (p *Proxier) SetTimeouts(ctx context.Context, t Timeouts) error {
	if t.Want == (ipvs.Timeouts{}) {
		return nil
	}
	return p.kernel.IPVS.SetTimeouts(ctx, t.Want)
}
