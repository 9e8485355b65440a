package oracle

import (
	"cmp"
	"hash/fnv"
	"net/netip"
	"slices"
	"time"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipvs"
)

// Connections are what a host remembers of packets: connections, which endpoint
// a client has by affinity, and whose turn it is. The zero value remembers
// nothing. It ages by the package time, and is not safe for concurrent use.
type Connections struct {
	// Timeouts are how long a silent connection stays; zero ones are the kernel's
	// defaults (15 minutes for TCP and SCTP, 5 minutes for UDP).
	Timeouts ipvs.Timeouts

	open      map[connKey]*Connection
	templates map[templateKey]template
	turns     map[ipvs.Key]int
}

// Connection is a connection through IPVS, as ipvsadm -Lnc lists it.
type Connection struct {
	Packet Packet
	// Server and Destination are where IPVS sends it.
	Server      ipvs.Key
	Destination ipvs.DestKey
	// Source is as whom the destination sees the client.
	Source netip.AddrPort
	// Expires is when it is forgotten unless another packet comes.
	Expires time.Time
}

type connKey struct {
	protocol vipkit.Protocol
	src, dst netip.AddrPort
}

type templateKey struct {
	server ipvs.Key
	client netip.Prefix
}

type template struct {
	destination ipvs.DestKey
	expires     time.Time
}

// All returns the connections, sorted by client.
func (c *Connections) All() []Connection {
	all := make([]Connection, 0, len(c.open))
	for _, conn := range c.open {
		all = append(all, *conn)
	}
	slices.SortFunc(all, func(a, b Connection) int {
		return cmp.Or(a.Packet.Source.Compare(b.Packet.Source), a.Packet.Destination.Compare(b.Packet.Destination),
			cmp.Compare(a.Packet.Protocol, b.Packet.Protocol))
	})
	return all
}

// Count returns how many connections a destination has.
func (c *Connections) Count(of ipvs.Key, d ipvs.DestKey) int {
	n := 0
	for _, conn := range c.open {
		if conn.Server == of && conn.Destination == d {
			n++
		}
	}
	return n
}

// Close ends the connection that a packet belongs to, and reports whether there
// was one.
func (c *Connections) Close(p Packet) bool {
	key := connKey{p.Protocol, p.Source, p.Destination}
	_, ok := c.open[key]
	delete(c.open, key)
	return ok
}

// Age forgets what has expired, and returns the connections among it.
func (c *Connections) Age() []Connection {
	now := time.Now()
	var gone []Connection
	for key, conn := range c.open {
		if !now.Before(conn.Expires) {
			gone = append(gone, *conn)
			delete(c.open, key)
		}
	}
	for key, t := range c.templates {
		if !now.Before(t.expires) {
			delete(c.templates, key)
		}
	}
	return gone
}

// Send follows one packet and remembers what came of it: a connection goes on to
// its destination whatever its weight, and affinity keeps a client. Tracked says
// that conntrack still knows the connection, in which case the nat table is not
// asked again.
//
// A packet of a connection whose destination is gone is dropped, and the
// connection forgotten if net.ipv4.vs.expire_nodest_conn is set (ip_vs_core.c,
// ip_vs_in_hook): the next packet begins another one.
func (s *Snapshot) Send(p Packet, c *Connections, tracked bool) (Verdict, error) {
	c.Age()
	w, err := s.newWalk(p)
	if err != nil {
		return Verdict{}, err
	}
	p.Source = w.p.src
	key := connKey{p.Protocol, p.Source, p.Destination}
	conn := c.open[key]
	if conn != nil {
		w.known, w.flow = conn, tracked
		if tracked {
			w.p.state = "ESTABLISHED"
		}
	}
	w.pick = func(v *server, could []ipvs.DestinationInfo) ipvs.DestinationInfo { return c.pick(v, could, &w.p) }
	if err := w.run(); err != nil {
		return Verdict{}, err
	}
	v := w.verdict
	if w.lost && s.on(expireNoDest) {
		delete(c.open, key)
	}
	if v.Outcome != ToEndpoint || v.Server == (ipvs.Key{}) {
		return v, nil
	}
	if conn == nil {
		conn = &Connection{Packet: p, Server: v.Server, Destination: w.destination, Source: v.Source}
		if c.open == nil {
			c.open = make(map[connKey]*Connection)
		}
		c.open[key] = conn
	}
	if tracked && w.known != nil {
		v.Source = conn.Source
	}
	conn.Expires = time.Now().Add(c.timeout(p.Protocol))
	if srv := s.servers[v.Server]; srv != nil && srv.Timeout != 0 {
		if c.templates == nil {
			c.templates = make(map[templateKey]template)
		}
		c.templates[srv.template(p.Source.Addr())] = template{w.destination, time.Now().Add(srv.Timeout)}
	}
	return v, nil
}

func (c *Connections) timeout(p vipkit.Protocol) time.Duration {
	if p == vipkit.UDP {
		return cmp.Or(c.Timeouts.UDP, 5*time.Minute)
	}
	return cmp.Or(c.Timeouts.TCP, 15*time.Minute)
}

// template is who counts as one client of a virtual server with affinity.
func (v *server) template(client netip.Addr) templateKey {
	bits := int(v.PersistenceBits)
	if bits == 0 || bits > client.BitLen() {
		bits = client.BitLen()
	}
	return templateKey{v.Key, netip.PrefixFrom(client, bits).Masked()}
}

// pick chooses among the destinations that could be: the one that the client had
// if affinity says so, else one in the spirit of the scheduler.
func (c *Connections) pick(v *server, could []ipvs.DestinationInfo, p *packet) ipvs.DestinationInfo {
	if v.Timeout != 0 {
		if t, ok := c.templates[v.template(p.src.Addr())]; ok {
			for _, d := range could {
				if d.DestKey == t.destination {
					return d
				}
			}
		}
	}
	switch v.Scheduler {
	case "sh", "mh":
		return could[hashed(p.src.Addr(), len(could))]
	case "dh":
		return could[hashed(p.dst.Addr(), len(could))]
	case "rr", "wrr":
		return c.turn(v, could)
	}
	return slices.MinFunc(could, func(a, b ipvs.DestinationInfo) int {
		return cmp.Compare(c.load(v, a), c.load(v, b))
	})
}

// load is connections by weight.
func (c *Connections) load(v *server, d ipvs.DestinationInfo) float64 {
	return float64(c.Count(v.Key, d.DestKey)+1) / float64(d.Weight)
}

// turn is the next destination in a fixed order, in which one of weight 2 comes
// twice for wrr.
func (c *Connections) turn(v *server, could []ipvs.DestinationInfo) ipvs.DestinationInfo {
	if c.turns == nil {
		c.turns = make(map[ipvs.Key]int)
	}
	n := c.turns[v.Key]
	c.turns[v.Key]++
	if v.Scheduler == "rr" {
		return could[n%len(could)]
	}
	total := 0
	for _, d := range could {
		total += int(d.Weight)
	}
	for n %= total; ; could = could[1:] {
		if n -= int(could[0].Weight); n < 0 {
			return could[0]
		}
	}
}

func hashed(a netip.Addr, n int) int {
	h := fnv.New32a()
	b := a.As16()
	_, _ = h.Write(b[:]) // a hash never fails
	return int(h.Sum32() % uint32(n))
}
