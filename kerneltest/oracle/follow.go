package oracle

import (
	"fmt"
	"net/netip"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipvs"
)

// walk is one packet's way through the host.
type walk struct {
	s       *Snapshot
	p       packet
	sent    packet // as it came, or as it left the host's own socket
	own     bool   // the host's own
	at      string
	verdict Verdict
	// pick is the scheduler's choice among destinations, at least one; known is
	// the connection that the packet belongs to.
	pick  func(*server, []ipvs.DestinationInfo) ipvs.DestinationInfo
	known *Connection
	// destination is the one that the packet went to; lost says that its
	// connection has one that is gone.
	destination ipvs.DestKey
	lost        bool
	// flow says that conntrack knows the connection: the nat table is not asked.
	flow bool
}

// newWalk returns a packet at its start.
func (s *Snapshot) newWalk(p Packet) (*walk, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	w := &walk{s: s, p: packet{
		family: vipkit.FamilyOf(p.Destination.Addr()), protocol: p.Protocol,
		src: p.Source, dst: p.Destination, in: p.In, state: "NEW",
	}}
	if p.Protocol == Ping {
		w.p.src, w.p.dst = netip.AddrPortFrom(p.Source.Addr(), 0), netip.AddrPortFrom(p.Destination.Addr(), 0)
	}
	from := p.Source.Addr()
	w.own = !from.IsValid() || p.In == "" && s.local(from)
	switch {
	case w.own && !from.IsValid():
		w.p.src = netip.AddrPortFrom(s.ownSource(p.Destination.Addr()), p.Source.Port())
		if !w.p.src.Addr().IsValid() {
			return nil, fmt.Errorf("packet %v: this host has no address to send it from", p)
		}
	case !w.own && p.In == "":
		route, ok := s.network.lookup(from)
		if !ok {
			return nil, fmt.Errorf("packet %v: no link of this host leads to its source", p)
		}
		w.p.in = route.Link
	}
	w.sent = w.p
	return w, nil
}

// ownSource is the address that the host's own packet gets: for an address of
// the host that address itself (the preferred source of its local route), but
// in IPv6, for a route without an address behind it, the one that is nearest.
func (s *Snapshot) ownSource(to netip.Addr) netip.Addr {
	if s.local(to) && (to.Is4() || s.boundAddress(to)) {
		return to
	}
	if s.local(to) {
		return s.network.nearest(to)
	}
	route, ok := s.network.lookup(to)
	if !ok {
		return netip.Addr{}
	}
	return s.network.sourceFor(route, to)
}

func (w *walk) step(where, what, then string) {
	w.verdict.Steps = append(w.verdict.Steps, Step{where, what, then})
}

// end is the packet's end without somebody who gets it.
func (w *walk) end(o Outcome) error {
	w.verdict.Outcome = o
	return nil
}

// delivered is the packet's end at somebody.
func (w *walk) delivered(o Outcome, link string) error {
	w.verdict.Outcome, w.verdict.Link = o, link
	w.verdict.To, w.verdict.Source = w.p.dst, w.p.src
	return nil
}

// run follows the packet to its end, and the answer back.
func (w *walk) run() error {
	var err error
	if w.own {
		err = w.output()
	} else {
		err = w.receive()
	}
	if err != nil || !w.verdict.To.IsValid() {
		return err
	}
	return w.answer()
}

// receive is a packet that came by a link.
func (w *walk) receive() error {
	w.step("in", w.p.in+" "+w.text(), "")
	if done, err := w.hook("PREROUTING", w.withNAT("raw", "mangle", "nat")...); done {
		return err
	}
	if w.s.local(w.p.dst.Addr()) {
		return w.input()
	}
	return w.forward()
}

// withNAT leaves the nat table out where the kernel does not ask it: for
// connections that it knows, and those that it does not track.
func (w *walk) withNAT(tables ...string) []string {
	if w.flow || w.p.untracked {
		return tables[:len(tables)-1]
	}
	return tables
}

// input is a packet for this host.
func (w *walk) input() error {
	if done, err := w.hook("INPUT", "mangle", "filter", "security"); done {
		return err
	}
	taken, err := w.ipvs()
	if taken || err != nil {
		return err
	}
	if done, err := w.hook("INPUT", w.withNAT("nat")...); done {
		return err
	}
	w.step("local", w.text(), "delivered to this host")
	if w.p.byIPVS || w.p.translated {
		return w.delivered(ToEndpoint, "")
	}
	return w.delivered(ToHost, "")
}

// forward is a packet for somebody else, as it came or after DNAT.
func (w *walk) forward() error {
	if !w.s.forwards(w.p.family) {
		w.verdict.Reason = "this host does not forward (net.ipv4.ip_forward, net.ipv6.conf.all.forwarding)"
		return w.end(Dropped)
	}
	route, ok := w.route()
	if !ok {
		w.verdict.Reason = "no route to " + w.p.dst.Addr().String()
		return w.end(Rejected)
	}
	w.p.out = route.Link
	if done, err := w.hook("FORWARD", "mangle", "filter", "security"); done {
		return err
	}
	o := Passed
	if w.p.translated {
		o = ToEndpoint
	}
	return w.leave(o)
}

// output is the host's own packet.
func (w *walk) output() error {
	w.step("out", w.text(), "")
	local := w.s.local(w.p.dst.Addr())
	w.p.out = "lo"
	if !local {
		route, ok := w.route()
		if !ok {
			w.verdict.Reason = "no route to " + w.p.dst.Addr().String()
			return w.end(Rejected)
		}
		w.p.out = route.Link
	}
	if done, err := w.hook("OUTPUT", w.withNAT("raw", "mangle", "nat")...); done {
		return err
	}
	taken, err := w.ipvs()
	if taken || err != nil {
		return err
	}
	if done, err := w.hook("OUTPUT", "filter", "security"); done {
		return err
	}
	if w.s.local(w.p.dst.Addr()) {
		return w.loopback()
	}
	if route, ok := w.route(); ok {
		w.p.out = route.Link // DNAT may have changed it
	}
	o := Passed
	if w.p.byIPVS || w.p.translated {
		o = ToEndpoint
	}
	return w.leave(o)
}

// loopback is the host's own packet for itself: what it meets after it has left.
func (w *walk) loopback() error {
	if done, err := w.hook("POSTROUTING", w.withNAT("mangle", "nat")...); done {
		return err
	}
	w.p.in, w.p.out = "lo", ""
	if done, err := w.hook("PREROUTING", "raw", "mangle"); done {
		return err
	}
	return w.input()
}

// ipvs gives the packet to IPVS. Taken says that the walk has ended there.
func (w *walk) ipvs() (taken bool, err error) {
	if w.p.byIPVS || !w.p.protocol.Valid() {
		return false, nil
	}
	v := w.s.server(&w.p)
	if w.known != nil {
		if v = w.s.servers[w.known.Server]; !v.has(w.known.Destination) {
			w.lost = true
			w.verdict.Reason = fmt.Sprintf("ipvs: the connection's destination %v is gone", w.known.Destination)
			w.step("ipvs", "connection to "+w.known.Destination.String(), "dropped: the destination is gone")
			return true, w.end(Dropped)
		}
	}
	if v == nil {
		return false, nil
	}
	w.verdict.Server = v.Key
	d, ok := w.schedule(v)
	if !ok {
		w.verdict.Reason = fmt.Sprintf("ipvs %v: no destination takes new connections", v.Service)
		w.step("ipvs", v.Service.String(), "rejected: no destination takes new connections")
		return true, w.end(Rejected)
	}
	w.verdict.Forward, w.destination = d.Forward, d.DestKey
	w.step("ipvs", v.Service.String(), d.String())
	w.p.byIPVS = true
	return w.send(v, d)
}

// send is what IPVS does with a packet that has a destination.
func (w *walk) send(v *server, d ipvs.DestinationInfo) (taken bool, err error) {
	port := d.Port
	if port == 0 || v.Key.Mark != 0 && v.Timeout != 0 {
		port = w.p.dst.Port() // ip_vs_core.c, ip_vs_sched_persist: a mark has no port to translate
	}
	if !w.s.on(useConntrack) {
		w.p.untracked = true // ip_vs.h, ip_vs_notrack
	}
	endpoint := netip.AddrPortFrom(d.Addr, port)
	switch d.Forward {
	case ipvs.Masquerade:
		w.p.dst = endpoint
		if w.s.local(d.Addr) {
			return false, nil // NF_ACCEPT: it goes on as a packet for this host
		}
		return true, w.sendOut(endpoint)
	case ipvs.Direct:
		return true, w.sendOut(endpoint)
	case ipvs.Tunnel:
		w.step("ipvs", fmt.Sprintf("tunnel to %v", d.Addr), "")
		route, ok := w.s.network.lookup(d.Addr)
		if !ok {
			w.verdict.Reason = "no route to " + d.Addr.String()
			return true, w.end(Dropped)
		}
		w.verdict.Outcome, w.verdict.Link = ToEndpoint, route.Link
		w.verdict.To, w.verdict.Source = endpoint, w.p.src
		return true, nil // the outer packet is another one
	case ipvs.Local:
	}
	return false, nil
}

// sendOut sends what IPVS has translated, or gives directly to, an endpoint
// elsewhere (ip_vs_xmit.c, ip_vs_nat_send_or_cont): it enters LOCAL_OUT anew.
func (w *walk) sendOut(endpoint netip.AddrPort) error {
	route, ok := w.s.network.lookup(endpoint.Addr())
	if !ok {
		w.verdict.Reason = "no route to " + endpoint.Addr().String()
		w.step("route", endpoint.Addr().String(), "dropped: no route")
		return w.end(Dropped)
	}
	w.p.in, w.p.out = "", route.Link
	// nat OUTPUT is not asked: the destination was decided before.
	if done, err := w.hook("OUTPUT", "raw", "mangle", "filter", "security"); done {
		return err
	}
	if err := w.leave(ToEndpoint); err != nil || w.verdict.Outcome != ToEndpoint {
		return err
	}
	w.verdict.To = endpoint
	return nil
}

// leave is a packet that leaves by a link.
func (w *walk) leave(o Outcome) error {
	if done, err := w.hook("POSTROUTING", w.withNAT("mangle", "nat")...); done {
		return err
	}
	w.step("out", w.p.out+" "+w.text(), "")
	return w.delivered(o, w.p.out)
}

func (w *walk) route() (Route, bool) { return w.s.network.lookup(w.p.dst.Addr()) }

// text returns the packet as it is now.
func (w *walk) text() string {
	text := Packet{Protocol: w.p.protocol, Source: w.p.src, Destination: w.p.dst}.String()
	if w.p.mark != 0 {
		text += fmt.Sprintf(" mark %#x", w.p.mark)
	}
	return text
}
