package proxier

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/vipkit/vipkit"
)

// Preflight is what a host offers, before anything is written to it.
type Preflight struct {
	// Missing are the facilities that services need and the host lacks, each
	// with the module, tool or privilege in its text.
	Missing []error
	// Sysctls are the kernel parameters that services need, with their
	// values.
	Sysctls []Sysctl
}

// Sysctl is a kernel parameter that services need.
type Sysctl struct {
	Name string
	// Want is the value that services need, Have the one that is; "" where
	// it could not be read, for the reason in Err.
	Want, Have string
	Err        error
	// Why says what goes wrong with another value.
	Why string
}

// Err returns what is missing, joined, or nil.
func (p Preflight) Err() error { return errors.Join(p.Missing...) }

// Wrong returns the parameters that have another value than the one wanted, or
// that could not be read.
func (p Preflight) Wrong() []Sysctl {
	return slices.DeleteFunc(slices.Clone(p.Sysctls), func(s Sysctl) bool { return s.Have == s.Want })
}

var wantedSysctls = []Sysctl{
	{Name: "net.ipv4.vs.conntrack", Want: "1", Why: "source NAT does not see IPVS's connections"},
	{Name: "net.ipv4.vs.expire_nodest_conn", Want: "1", Why: "UDP clients keep sending to an endpoint that is gone"},
	{Name: "net.ipv4.ip_forward", Want: "1", Why: "answers of pods do not reach clients outside the node"},
	{Name: "net.ipv6.conf.all.forwarding", Want: "1", Why: "answers of pods do not reach clients outside the node"},
}

// Preflight reads what the host offers for the given services. It writes
// nothing, though asking makes the kernel load modules where it can.
func (p *Proxier) Preflight(ctx context.Context, services []Service) Preflight {
	var pre Preflight
	if _, err := p.kernel.IPVS.Info(ctx); err != nil {
		pre.Missing = append(pre.Missing, err)
	}
	for _, err := range p.kernel.IPSet.Sets(ctx) {
		if err != nil {
			pre.Missing = append(pre.Missing, err)
		}
		break
	}
	if _, err := p.kernel.Dummy.Link(ctx, p.config.Link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		pre.Missing = append(pre.Missing, err)
	}
	wanted := p.config.familiesOf(services)
	for i, f := range families {
		if !wanted[i] {
			continue
		}
		if _, err := p.kernel.IPTables.Save(ctx, f, ourTables...); err != nil {
			pre.Missing = append(pre.Missing, err)
		}
	}
	if p.kernel.Sysctl == nil {
		return pre
	}
	for _, s := range wantedSysctls {
		if s.Name == "net.ipv6.conf.all.forwarding" && !wanted[familyIndex(vipkit.IPv6)] {
			continue
		}
		s.Have, s.Err = p.kernel.Sysctl.Get(ctx, s.Name)
		pre.Sysctls = append(pre.Sysctls, s)
	}
	return pre
}

// SetSysctls sets the parameters to the values wanted. Called with Want and Have
// exchanged, it restores them, but for those that could not be read.
func (p *Proxier) SetSysctls(ctx context.Context, sysctls []Sysctl) error {
	if p.kernel.Sysctl == nil {
		return errors.New("proxier: the kernel has no client for sysctls")
	}
	var errs []error
	for _, s := range sysctls {
		if s.Want == "" {
			continue
		}
		if err := p.kernel.Sysctl.Set(ctx, s.Name, s.Want); err != nil {
			errs = append(errs, fmt.Errorf("set %s=%s: %w", s.Name, s.Want, err))
		}
	}
	return errors.Join(errs...)
}
