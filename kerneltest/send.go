package kerneltest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/kerneltest/oracle"
)

// defaultLink is the dummy link of a proxier with the default configuration.
const defaultLink = "vipkit0"

// snapshot reads what decides about packets.
func (h *Host) snapshot() (*oracle.Snapshot, error) {
	link := h.Link
	if link == "" {
		link = defaultLink
	}
	return oracle.Read(context.Background(), h.Kernel(), link, h.Network)
}

// Trace returns what can become of a packet that begins a connection, a verdict
// for each destination that a scheduler could pick: see
// [oracle.Snapshot.Trace]. It changes nothing.
func (h *Host) Trace(p oracle.Packet) ([]oracle.Verdict, error) {
	s, err := h.snapshot()
	if err != nil {
		return nil, err
	}
	return s.Trace(p)
}

// Send sends one packet and says what became of it. The host remembers: the
// packet's connection appears in Conntrack and in the counts of IPVS's
// destinations, and the next packet of the same tuple belongs to it, until
// [Host.Close] or as long as IPVS's timeouts say, by the package time.
func (h *Host) Send(p oracle.Packet) (oracle.Verdict, error) {
	h.sendMu.Lock()
	defer h.sendMu.Unlock()
	s, err := h.snapshot()
	if err != nil {
		return oracle.Verdict{}, err
	}
	if h.conns.Timeouts, err = h.IPVS.Timeouts(context.Background()); err != nil {
		return oracle.Verdict{}, err
	}
	h.expire()
	tracked, err := h.tracked(p)
	if err != nil {
		return oracle.Verdict{}, err
	}
	v, err := s.Send(p, &h.conns, tracked)
	if err != nil {
		return v, err
	}
	if v.Outcome == oracle.ToEndpoint && v.Server != (ipvs.Key{}) {
		if err := h.track(p, v); err != nil {
			return v, err
		}
	}
	return v, h.count()
}

// Close ends a connection, as its FIN does, and reports whether there was one.
// The packet is one of those that were sent on it, with a source.
func (h *Host) Close(p oracle.Packet) (bool, error) {
	h.sendMu.Lock()
	defer h.sendMu.Unlock()
	h.expire()
	if !h.conns.Close(p) {
		return false, h.count()
	}
	return true, h.count()
}

// Connections returns those through IPVS, as ipvsadm -Lnc lists them, sorted by
// client.
func (h *Host) Connections() []oracle.Connection {
	h.sendMu.Lock()
	defer h.sendMu.Unlock()
	h.expire()
	return h.conns.All()
}

// expire forgets the connections whose time is over.
func (h *Host) expire() {
	for _, c := range h.conns.Age() {
		h.touched = append(h.touched, destination{c.Server, c.Destination})
	}
}

// destination is one whose count changes.
type destination struct {
	server ipvs.Key
	key    ipvs.DestKey
}

// count tells the fake how many connections each destination has.
func (h *Host) count() error {
	have := make(map[destination]oracle.Connection)
	for _, d := range h.touched {
		have[d] = oracle.Connection{}
	}
	for _, c := range h.conns.All() {
		have[destination{c.Server, c.Destination}] = c
	}
	h.touched = h.touched[:0]
	for d, c := range have {
		n := uint32(h.conns.Count(d.server, d.key))
		active, inactive := n, uint32(0)
		if c.Packet.Protocol == vipkit.UDP { // never established (ip_vs_conn.c, ip_vs_bind_dest)
			active, inactive = 0, n
		}
		if err := h.IPVS.SetConnections(d.server, d.key, active, inactive, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("kerneltest: count connections: %w", err)
		}
		h.touched = append(h.touched, d) // so that it falls to 0 again
	}
	return nil
}

// tracked reports whether conntrack has the packet's connection.
func (h *Host) tracked(p oracle.Packet) (bool, error) {
	for f, err := range h.Conntrack.Flows(context.Background(), conntrack.Filter{}) {
		if err != nil {
			return false, err
		}
		if f.Protocol == p.Protocol && f.Original.Src == p.Source && f.Original.Dst == p.Destination {
			return true, nil
		}
	}
	return false, nil
}

// track gives conntrack the connection of a packet, if it has not got it.
func (h *Host) track(p oracle.Packet, v oracle.Verdict) error {
	src := p.Source
	if !src.IsValid() {
		src = v.Source
	}
	seen := netip.AddrPortFrom(v.Source.Addr(), src.Port())
	flow := conntrack.Flow{
		Protocol: p.Protocol,
		Original: conntrack.Tuple{Src: src, Dst: p.Destination},
		Reply:    conntrack.Tuple{Src: v.To, Dst: seen},
	}
	err := h.Conntrack.Add(conntrack.FlowInfo{Flow: flow})
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
