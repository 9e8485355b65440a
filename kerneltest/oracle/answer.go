package oracle

import (
	"fmt"
	"net/netip"

	"github.com/vipkit/vipkit/ipvs"
)

// answer follows the answer of who got the packet back to the sender.
func (w *walk) answer() error {
	v := &w.verdict
	if v.Outcome == ToHost || v.Outcome == Passed && !w.p.masked {
		return nil // of the host itself; or not ours to follow
	}
	if v.Server != (ipvs.Key{}) && (v.Forward == ipvs.Direct || v.Forward == ipvs.Tunnel) {
		return nil // goes to the sender by another way
	}
	endpoint, seen := v.To.Addr(), v.Source.Addr()
	own := w.s.local(endpoint)
	switch {
	case own:
		// An endpoint of this host answers through OUTPUT.
	case seen == endpoint:
		v.Unanswered = "the endpoint sees itself and answers itself"
		return nil
	case !w.s.local(seen) && w.sameLink(endpoint, seen):
		v.Unanswered = fmt.Sprintf("%v answers %v without this host between them", endpoint, seen)
		return nil
	}
	back := walk{s: w.s, p: w.p, flow: true}
	back.p.src, back.p.dst = v.To, v.Source
	back.p.state, back.p.mark, back.p.byIPVS = "ESTABLISHED", 0, true
	back.p.in, back.p.out = v.Link, ""
	lost, err := back.home(w.sent, w.own, own)
	if err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	if lost != "" {
		v.Unanswered = lost
		w.step("answer", endText(v.To)+" > "+seen.String(), lost)
	}
	return nil
}

// sameLink reports whether two addresses are neighbours on one link.
func (w *walk) sameLink(a, b netip.Addr) bool {
	ra, oka := w.s.network.lookup(a)
	rb, okb := w.s.network.lookup(b)
	return oka && okb && ra.Link == rb.Link && !ra.Via.IsValid() && !rb.Via.IsValid() &&
		w.s.network.onLink(ra.Link, a) && w.s.network.onLink(rb.Link, b)
}

// home takes an answer to who sent the packet. Conntrack translates the
// destination back in PREROUTING, IPVS the source after the filter rules.
func (w *walk) home(sent packet, toHost, own bool) (lost string, err error) {
	run := func(hook string, tables ...string) bool {
		var done bool
		if err == nil {
			done, err = w.hook(hook, tables...)
		}
		return done || err != nil
	}
	why := func() string { return "the answer is dropped by " + w.verdict.Reason }
	if own {
		w.p.dst, w.p.in, w.p.out = sent.src, "", sent.in
		if run("OUTPUT", "raw", "mangle", "filter", "security") || run("POSTROUTING", "mangle") {
			return why(), err
		}
		return "", nil
	}
	if run("PREROUTING", "raw", "mangle") {
		return why(), err
	}
	w.p.dst = sent.src
	if toHost {
		if run("INPUT", "mangle", "filter", "security") {
			return why(), err
		}
		return "", nil
	}
	if !w.s.forwards(w.p.family) {
		return "this host does not forward the answer (net.ipv4.ip_forward, net.ipv6.conf.all.forwarding)", nil
	}
	w.p.out = sent.in
	if run("FORWARD", "mangle", "filter", "security") || run("POSTROUTING", "mangle") {
		return why(), err
	}
	return "", nil
}
