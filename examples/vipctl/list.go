package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/examples/internal/clusterdump"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/kerneltest/oracle"
	"github.com/vipkit/vipkit/proxier"
)

// listed is what list -o json prints.
type listed struct {
	Node      string     `json:"node"`
	Frontends []frontend `json:"frontends"`
	Refused   []refusal  `json:"refused"`
}

// frontend is one tuple at which clients find a service.
type frontend struct {
	Service      string               `json:"service"`
	Kind         proxier.FrontendKind `json:"kind"`
	Address      netip.Addr           `json:"address"`
	Port         uint16               `json:"port"`
	Protocol     vipkit.Protocol      `json:"protocol"`
	Policy       proxier.Policy       `json:"policy"`
	Affinity     int64                `json:"affinitySeconds"`
	SourceRanges []netip.Prefix       `json:"sourceRanges"`
	Scheduler    string               `json:"scheduler"`
	Forward      proxier.Forward      `json:"forward"`
	Inside       string               `json:"inside"`
	Outside      string               `json:"outside"`
	Endpoints    []endpoint           `json:"endpoints"`
}

// endpoint is who may answer at a frontend, and for whom.
type endpoint struct {
	Address     netip.Addr `json:"address"`
	Port        uint16     `json:"port"`
	Weight      uint32     `json:"weight"`
	Local       bool       `json:"local"`
	Ready       bool       `json:"ready"`
	Serving     bool       `json:"serving"`
	Terminating bool       `json:"terminating"`
	Inside      bool       `json:"inside"`
	Outside     bool       `json:"outside"`
}

// list prints each frontend, and who answers there.
func list(ctx context.Context, o *options, c *clusterdump.Cluster, out io.Writer) error {
	h, err := program(ctx, c)
	if err != nil {
		return errors.Join(c.Faults.Join(), err)
	}
	v := listed{Node: c.Node.Name, Frontends: []frontend{}, Refused: refusals(c, h.refused)}
	if v.Frontends, err = h.frontends(ctx); err != nil {
		return errors.Join(c.Faults.Join(), err)
	}
	if o.json() {
		return errors.Join(faults(c, h.refused), writeJSON(out, v))
	}
	v.table(out)
	if len(v.Refused) > 0 {
		return errors.Join(beside(c), errors.New("some services cannot be had, see REFUSED"))
	}
	return c.Faults.Join()
}

// frontends returns those of all services that the host has, by service.
func (h *host) frontends(ctx context.Context) ([]frontend, error) {
	servers, err := ipvs.Snapshot(ctx, h.kernel.IPVS)
	if err != nil {
		return nil, err
	}
	around := h.around()
	around.assume()
	snapshot, err := oracle.Read(ctx, h.kernel, h.link, around.Network)
	if err != nil {
		return nil, err
	}
	all := []frontend{}
	for _, s := range h.Services {
		if h.isRefused(s.Name) {
			continue
		}
		for _, fe := range s.Frontends {
			for _, a := range h.addresses(servers, s, fe) {
				f := describe(s, fe.Kind, netip.AddrPortFrom(a, fe.Port))
				f.Scheduler = servers[ipvs.Key{Protocol: s.Protocol, Addr: a, Port: fe.Port}].Scheduler
				if f.Inside, f.Outside = nowhere, nowhere; !a.IsUnspecified() {
					if err := f.ask(snapshot, around); err != nil {
						return nil, err
					}
				}
				all = append(all, f)
			}
		}
	}
	return all, nil
}

// nowhere is the outcome at a node port of a node without addresses.
const nowhere = "nowhere"

// addresses returns those at which a frontend answers, as the host has it: for a
// node port there may be several. Its own, unspecified, is for none.
func (h *host) addresses(servers map[ipvs.Key]ipvs.Server, s proxier.Service, fe proxier.Frontend) []netip.Addr {
	if !fe.Addr.IsUnspecified() {
		return []netip.Addr{fe.Addr}
	}
	var addrs []netip.Addr
	for _, a := range h.Node.Addresses {
		_, there := servers[ipvs.Key{Protocol: s.Protocol, Addr: a, Port: fe.Port}]
		if there && vipkit.FamilyOf(a) == vipkit.FamilyOf(fe.Addr) {
			addrs = append(addrs, a)
		}
	}
	if addrs == nil {
		addrs = append(addrs, fe.Addr)
	}
	return addrs
}

// describe returns what the service says of a frontend.
func describe(s proxier.Service, kind proxier.FrontendKind, at netip.AddrPort) frontend {
	f := frontend{
		Service: s.Name, Kind: kind, Address: at.Addr(), Port: at.Port(), Protocol: s.Protocol,
		Policy: s.External, Forward: s.Forward, Affinity: int64(s.Affinity.Timeout.Seconds()),
		SourceRanges: []netip.Prefix{}, Endpoints: []endpoint{},
	}
	if kind == proxier.ClusterIP {
		f.Policy = s.Internal
	}
	if kind == proxier.LoadBalancerIP {
		f.SourceRanges = append(f.SourceRanges, s.SourceRanges...)
	}
	for _, e := range s.Endpoints {
		if vipkit.FamilyOf(e.Addr) == vipkit.FamilyOf(f.Address) {
			f.Endpoints = append(f.Endpoints, endpoint{
				Address: e.Addr, Port: e.Port, Weight: e.Weight, Local: e.Local,
				Ready: e.Ready, Serving: e.Serving, Terminating: e.Terminating,
			})
		}
	}
	slices.SortFunc(f.Endpoints, func(a, b endpoint) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Port, b.Port))
	})
	return f
}

// ask has the oracle say who answers clients inside and outside.
func (f *frontend) ask(s *oracle.Snapshot, around *neighbourhood) error {
	family := vipkit.FamilyOf(f.Address)
	inside := oracle.Packet{Protocol: f.Protocol, Destination: netip.AddrPortFrom(f.Address, f.Port)}
	outside := inside
	if pod, ok := around.pod(family); ok {
		inside.Source, inside.In = netip.AddrPortFrom(pod, 0), podLink
	}
	client, ok := around.outsider(family, f.SourceRanges)
	if !ok { // they admit nobody outside: anybody will show that
		client, _ = around.outsider(family, nil)
	}
	outside.Source, outside.In = netip.AddrPortFrom(client, 0), uplink

	use := func(p oracle.Packet, used func(*endpoint)) (string, error) {
		verdicts, err := s.Trace(p)
		if err != nil {
			return "", fmt.Errorf("service %q: %w", f.Service, err)
		}
		for _, v := range verdicts {
			for i := range f.Endpoints {
				if e := &f.Endpoints[i]; v.To == netip.AddrPortFrom(e.Address, e.Port) {
					used(e)
				}
			}
		}
		return verdicts[0].Outcome.String(), nil
	}
	var err1, err2 error
	f.Inside, err1 = use(inside, func(e *endpoint) { e.Inside = true })
	f.Outside, err2 = use(outside, func(e *endpoint) { e.Outside = true })
	return errors.Join(err1, err2)
}

// table writes the list for people.
func (v listed) table(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SERVICE\tKIND\tADDRESS\tPOLICY\tAFFINITY\tSOURCES\tINSIDE\tOUTSIDE")
	for _, f := range v.Frontends {
		inside, outside := f.cell(f.Inside, func(e endpoint) bool { return e.Inside }), f.cell(f.Outside, func(e endpoint) bool { return e.Outside })
		if inside == outside {
			outside = "same"
		}
		fmt.Fprintf(w, "%s\t%v\t%v/%v\t%v\t%s\t%s\t%s\t%s\n", f.Service, f.Kind,
			netip.AddrPortFrom(f.Address, f.Port), f.Protocol, f.Policy, f.affinity(), f.sources(), inside, outside)
	}
	_ = w.Flush() // to a buffer
	if len(v.Refused) == 0 {
		return
	}
	fmt.Fprintln(out)
	fmt.Fprintln(w, "REFUSED\tWHY")
	for _, r := range v.Refused {
		for _, why := range r.Reasons {
			fmt.Fprintf(w, "%s\t%s\n", r.Service, why)
		}
	}
	_ = w.Flush()
}

// shown is how many things a cell of the table names.
const shown = 3

// cell names the endpoints that a client gets, or what it gets instead.
func (f frontend) cell(outcome string, used func(endpoint) bool) string {
	var names []string
	for _, e := range f.Endpoints {
		if used(e) {
			names = append(names, netip.AddrPortFrom(e.Address, e.Port).String())
		}
	}
	if len(names) == 0 {
		return outcome
	}
	return some(names)
}

func (f frontend) sources() string {
	if len(f.SourceRanges) == 0 {
		return "any"
	}
	var names []string
	for _, p := range f.SourceRanges {
		names = append(names, p.String())
	}
	return some(names)
}

func (f frontend) affinity() string {
	if f.Affinity == 0 {
		return "none"
	}
	return fmt.Sprintf("%ds", f.Affinity)
}

// some joins the first few of many.
func some(names []string) string {
	if n := len(names) - shown; n > 0 {
		return fmt.Sprintf("%s + %d more", strings.Join(names[:shown], ","), n)
	}
	return strings.Join(names, ",")
}
