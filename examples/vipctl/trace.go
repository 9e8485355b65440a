package main

import (
	"context"
	"errors"
	"io"
	"net/netip"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/examples/internal/clusterdump"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/kerneltest/oracle"
	"github.com/vipkit/vipkit/proxier"
)

// traced is what trace -o json prints.
type traced struct {
	Node     string    `json:"node"`
	Packet   packet    `json:"packet"`
	Service  *tuple    `json:"service"`
	Network  []string  `json:"network"`
	Verdicts []verdict `json:"verdicts"`
}

// packet is the question.
type packet struct {
	Protocol string `json:"protocol"`
	From     string `json:"from"`
	Source   end    `json:"source"`
	To       end    `json:"destination"`
	Link     string `json:"link"`
}

// end is an address with a port, which is 0 where it is not known or there is
// none.
type end struct {
	Address string `json:"address"`
	Port    uint16 `json:"port"`
}

// endOf returns an end; the address is empty if it is not valid.
func endOf(a netip.AddrPort) end {
	if !a.IsValid() {
		return end{}
	}
	return end{a.Addr().String(), a.Port()}
}

// String returns the address, and the port if there is one.
func (e end) String() string {
	a, err := netip.ParseAddr(e.Address)
	if err != nil || e.Port == 0 {
		return e.Address
	}
	return netip.AddrPortFrom(a, e.Port).String()
}

// tuple is the frontend that the packet goes to.
type tuple struct {
	Name   string               `json:"name"`
	Kind   proxier.FrontendKind `json:"kind"`
	Policy proxier.Policy       `json:"policy"`
}

// verdict is what can become of the packet.
type verdict struct {
	Outcome string `json:"outcome"`
	// To and Sees are whom it reaches, and as whose that one sees it.
	To   *end `json:"to"`
	Sees *end `json:"sees"`
	// Link is by which it leaves.
	Link       string `json:"link"`
	Server     string `json:"server"`
	Forward    string `json:"forward"`
	Reason     string `json:"reason"`
	Unanswered string `json:"unanswered"`
	Steps      []step `json:"steps"`
}

type step struct {
	Where string `json:"where"`
	What  string `json:"what"`
	Then  string `json:"then"`
}

// trace prints a packet's way through the node.
func trace(ctx context.Context, o *options, c *clusterdump.Cluster, out io.Writer) error {
	h, err := program(ctx, c)
	if err != nil {
		return errors.Join(c.Faults.Join(), err)
	}
	around := h.around()
	fault := faults(c, h.refused)
	p, from, err := o.trace.packet(h, around)
	if err != nil {
		return errors.Join(fault, err)
	}
	snapshot, err := oracle.Read(ctx, h.kernel, h.link, around.Network)
	if err != nil {
		return errors.Join(fault, err)
	}
	verdicts, err := snapshot.Trace(p)
	if err != nil {
		return errors.Join(fault, err)
	}
	v := traced{
		Node:    c.Node.Name,
		Packet:  packet{Protocol: o.trace.to.name(), From: from, Source: endOf(p.Source), To: endOf(p.Destination), Link: p.In},
		Service: h.frontend(p),
		Network: around.lines(),
	}
	for _, one := range verdicts {
		v.Verdicts = append(v.Verdicts, verdictOf(one))
	}
	if o.json() {
		return errors.Join(fault, writeJSON(out, v))
	}
	v.text(out)
	return fault
}

// frontend returns where the packet goes, or nil if no service has that.
func (h *host) frontend(p oracle.Packet) *tuple {
	for _, s := range h.Services {
		if s.Protocol != p.Protocol {
			continue
		}
		for _, fe := range s.Frontends {
			policy := s.External
			if fe.Kind == proxier.ClusterIP {
				policy = s.Internal
			}
			at := p.Destination.Addr() == fe.Addr
			if fe.Addr.IsUnspecified() {
				at = h.isNode(p.Destination.Addr()) && vipkit.FamilyOf(fe.Addr) == vipkit.FamilyOf(p.Destination.Addr())
			}
			if at && p.Destination.Port() == fe.Port && !h.isRefused(s.Name) {
				return &tuple{s.Name, fe.Kind, policy}
			}
		}
	}
	return nil
}

func verdictOf(from oracle.Verdict) verdict {
	v := verdict{
		Outcome: from.Outcome.String(), Link: from.Link, Reason: from.Reason, Unanswered: from.Unanswered,
		Steps: []step{},
	}
	if from.To.IsValid() {
		to, sees := endOf(from.To), endOf(from.Source)
		v.To, v.Sees = &to, &sees
	}
	if from.Server != (ipvs.Key{}) {
		v.Server, v.Forward = from.Server.String(), from.Forward.String()
	}
	for _, s := range from.Steps {
		v.Steps = append(v.Steps, step(s))
	}
	return v
}
