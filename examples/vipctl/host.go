package main

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/vipkit/vipkit/examples/internal/clusterdump"
	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/proxier"
	"github.com/vipkit/vipkit/proxier/kube"
)

// host is the node, in memory and programmed.
type host struct {
	*clusterdump.Cluster
	kernel proxier.Kernel
	link   string
	// refused are the services that cannot be had.
	refused []proxier.ServiceError
}

// program makes a host of the node. What is wrong with single services is no
// error.
func program(ctx context.Context, c *clusterdump.Cluster) (*host, error) {
	h := &host{Cluster: c, kernel: kerneltest.New().Kernel()}
	p, err := proxier.New(h.kernel, &c.Config)
	if err != nil {
		return nil, err
	}
	h.link = p.Link()
	if err := p.SetSysctls(ctx, p.Preflight(ctx, c.Services).Wrong()); err != nil {
		return nil, err
	}
	report, err := p.ApplyServices(ctx, c.Services)
	if err != nil && report.Err() == nil {
		return nil, err
	}
	h.refused = report.Failed
	return h, nil
}

// isRefused reports whether a service cannot be had.
func (h *host) isRefused(name string) bool {
	return slices.ContainsFunc(h.refused, func(r proxier.ServiceError) bool { return r.Service == name })
}

// isNode reports whether an address is one at which node ports answer.
func (h *host) isNode(a netip.Addr) bool { return slices.Contains(h.Node.Addresses, a) }

// isVirtual reports whether an address is that of a service.
func (h *host) isVirtual(a netip.Addr) bool {
	for _, s := range h.Services {
		if !h.isRefused(s.Name) && slices.ContainsFunc(s.Frontends, func(f proxier.Frontend) bool { return f.Addr == a }) {
			return true
		}
	}
	return false
}

// faults returns everything that is wrong with the dump, joined: that of objects,
// and that of services.
func faults(c *clusterdump.Cluster, refused []proxier.ServiceError) error {
	all := c.Faults
	for _, r := range refused {
		all.Add(r)
	}
	return all.Join()
}

// refusal is a service, or an object of the dump, that is not there, and why.
type refusal struct {
	Service string   `json:"service"`
	Reasons []string `json:"reasons"`
}

// refusals returns what was refused, in the order of the faults.
func refusals(c *clusterdump.Cluster, refused []proxier.ServiceError) []refusal {
	list := []refusal{}
	add := func(service string, reasons ...error) {
		for _, why := range reasons {
			if n := len(list); n == 0 || list[n-1].Service != service {
				list = append(list, refusal{Service: service})
			}
			r := &list[len(list)-1]
			r.Reasons = append(r.Reasons, why.Error())
		}
	}
	for _, fault := range c.Faults {
		if name, reasons := refusedBy(fault); name != "" {
			add(name, reasons...)
		}
	}
	for _, s := range refused {
		add(s.Service, clusterdump.Split(s.Err)...)
	}
	return list
}

// refusedBy returns the service that is not there for a fault, and the reasons; no
// name if the fault is about something else.
func refusedBy(fault error) (name string, reasons []error) {
	if s, ok := errors.AsType[proxier.ServiceError](fault); ok {
		return s.Service, clusterdump.Split(s.Err)
	}
	if o, ok := errors.AsType[*kube.ObjectError](fault); ok && o.Kind == "Service" && o.Name != "" {
		return o.Namespace + "/" + o.Name, []error{fault}
	}
	return "", nil
}

// beside returns the faults that are not about single services, joined.
func beside(c *clusterdump.Cluster) error {
	var others clusterdump.Faults
	for _, fault := range c.Faults {
		if name, _ := refusedBy(fault); name == "" {
			others.Add(fault)
		}
	}
	return others.Join()
}
