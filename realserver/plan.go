package realserver

import (
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/dummy"
)

// state is what a namespace has, as far as it concerns a real server.
type state struct {
	links   map[string]bool // the names of all
	there   bool            // the dummy link is, and is ours
	foreign string          // why a link of its name is not ours
	up      bool
	record  record
	addrs   map[netip.Addr]bool
	tunnels map[tunnel]tunnelState // ours
	ports   map[netip.AddrPort]bool
	params  map[string]string // arp_ignore and arp_announce of all links
}

// fresh returns the state of a new namespace.
func fresh() state {
	have := state{record: newRecord(), params: make(map[string]string), links: make(map[string]bool)}
	for _, q := range quietParams {
		have.params[confDir+"all/"+q.name] = "0"
	}
	return have
}

// tunnelState is what can differ in a tunnel link of ours.
type tunnelState struct {
	link       string
	up         bool
	pathFilter string // rp_filter
	addrs      []netip.Addr
}

// A quietParam is a parameter that decides what the host says of its addresses in
// ARP. The kernel takes the larger of a link's value and that of "all"
// (IN_DEV_MAXCONF), so one that is larger and says more has to go too.
type quietParam struct {
	name   string
	value  string   // that we set
	quiet  []string // values of "all" that will do
	others []string // values of links that do not defeat those
}

var quietParams = []quietParam{
	// 1: answer for addresses of the link only. 2: and to its own subnet only.
	// 8: never. 3 answers for what is not of scope host; others mean 0
	// (net/ipv4/arp.c, arp_ignore).
	{"arp_ignore", "1", []string{"1", "2", "8"}, []string{"0", "1", "2", "8"}},
	// 2: never ask in the name of an address of another link (arp_solicit).
	{"arp_announce", "2", []string{"2"}, []string{"0", "1", "2"}},
}

// pathFilter is the value of rp_filter that tunnel links get: a packet passes if
// there is a way back to its source by any link. It overrules a strict "all", which
// would want the way back to be the tunnel.
const pathFilter = "2"

// A plan is what to do, in order, and what was found and stays as it is.
type plan struct {
	steps []step
	left  []string
}

func (p *plan) add(s step) { p.steps = append(p.steps, s) }

func (p *plan) leave(format string, args ...any) {
	p.left = append(p.left, fmt.Sprintf(format, args...))
}

// group is the mark of all links of a real server.
func group(link string) uint32 { return dummy.Group("realserver " + link) }

// diff returns what turns have into want; a want without addresses is the wish that
// nothing is left. Addresses come after silence and go before it ends; what is
// ours and nobody could tell is recorded first and forgotten last.
func diff(have state, w want) (plan, error) {
	var p plan
	gone := len(w.addrs) == 0
	switch {
	case have.foreign != "" && !gone:
		return p, &vipkit.OpError{Op: "realserver prepare", Object: step{op: addLink, link: w.link, group: group(w.link)}.String(),
			Kind: fs.ErrExist, Detail: have.foreign}
	case have.foreign != "":
		p.leave("link %s: %s", w.link, have.foreign)
	case !have.there && !gone:
		p.add(step{op: addLink, link: w.link, group: group(w.link)})
	case have.there && !have.up && !gone:
		p.add(step{op: raiseLink, link: w.link})
	}

	silence, kept := have.silence(w, &p)
	record := have.record.clone()
	for _, s := range silence {
		if _, known := record.params[s.name]; !known {
			record.params[s.name] = have.params[s.name]
		}
	}
	for _, port := range w.ports {
		switch {
		case !have.ports[port]:
			record.ports[port] = true
		case !record.ports[port]:
			p.leave("%s: it is there, and somebody else's", portCommand("add", port))
		}
	}
	if err := p.setRecord(w, have.record, record); err != nil {
		return plan{}, err
	}
	p.steps = append(p.steps, silence...)
	p.deleteTunnels(have, w)
	final := record.clone()
	p.deletePorts(have, w, final)
	p.addresses(have, w)
	for _, port := range w.ports {
		if !have.ports[port] {
			p.add(step{op: addPort, port: port})
		}
	}
	p.addTunnels(have, w)
	p.restore(have, kept, final)
	if gone && have.there {
		p.add(step{op: deleteLink, link: w.link})
		return p, nil
	}
	return p, p.setRecord(w, record, final)
}

// silence returns the steps that keep the host from telling of the virtual
// addresses, and the names of the parameters that are to stay as they are then.
// IPv6 tells of the addresses of the link that was asked on only.
func (have state) silence(w want, p *plan) (steps []step, kept map[string]bool) {
	kept = make(map[string]bool)
	if !w.number().IsValid() {
		return nil, kept
	}
	for _, name := range slices.Sorted(maps.Keys(have.params)) {
		link, param := splitParam(name)
		for _, q := range quietParams {
			if param != q.name {
				continue
			}
			good := q.others
			if link == "all" {
				good = q.quiet
			}
			kept[name] = true
			if !slices.Contains(good, have.params[name]) {
				steps = append(steps, step{op: setParam, name: name, value: q.value})
			} else if _, ours := have.record.params[name]; link == "all" && !ours {
				p.leave("%s = %s: it will do", dotted(name), have.params[name])
			}
		}
	}
	return steps, kept
}

// splitParam splits "net/ipv4/conf/eth0/arp_ignore" into the link's name and the
// parameter's.
func splitParam(name string) (link, param string) {
	link, param, _ = strings.Cut(strings.TrimPrefix(name, confDir), "/")
	return link, param
}

// setRecord adds the step that makes the record another one.
func (p *plan) setRecord(w want, have, record record) error {
	if record.equal(have) {
		return nil
	}
	s := step{op: setRecord, link: w.link, value: record.String()}
	if len(s.value) > maxAlias {
		return &vipkit.OpError{Op: "realserver record", Object: s.String(), Kind: vipkit.ErrFull,
			Detail: fmt.Sprintf("%d bytes, an alias holds %d: fewer GUE ports, or set arp_ignore and arp_announce of links yourself", len(s.value), maxAlias)}
	}
	p.add(s)
	return nil
}

func (p *plan) deleteTunnels(have state, w want) {
	for _, t := range slices.SortedFunc(maps.Keys(have.tunnels), tunnel.compare) {
		if !slices.Contains(w.tunnels, t) {
			p.add(step{op: deleteTunnel, link: have.tunnels[t].link})
		}
	}
}

// deletePorts deletes the ports of ours that are not wanted and takes them off the
// record.
func (p *plan) deletePorts(have state, w want, final record) {
	for _, port := range slices.SortedFunc(maps.Keys(have.record.ports), netip.AddrPort.Compare) {
		if slices.Contains(w.ports, port) {
			continue
		}
		if have.ports[port] {
			p.add(step{op: deletePort, port: port})
		}
		delete(final.ports, port)
	}
}

// addresses makes the dummy link hold the virtual addresses.
func (p *plan) addresses(have state, w want) {
	for _, a := range slices.SortedFunc(maps.Keys(have.addrs), netip.Addr.Compare) {
		if !slices.Contains(w.addrs, a) {
			p.add(step{op: deleteAddress, link: w.link, addr: a})
		}
	}
	for _, a := range w.addrs {
		if !have.addrs[a] {
			p.add(step{op: addAddress, link: w.link, addr: a})
		}
	}
}

// restore gives parameters back the value of the record, if they still have the
// one that we set, and takes them off it.
func (p *plan) restore(have state, kept map[string]bool, final record) {
	for _, name := range slices.Sorted(maps.Keys(have.record.params)) {
		if kept[name] {
			continue
		}
		was := have.record.params[name]
		now, there := have.params[name]
		_, param := splitParam(name)
		ours := slices.ContainsFunc(quietParams, func(q quietParam) bool { return q.name == param && q.value == now })
		switch {
		case !there || now == was:
		case ours:
			p.add(step{op: setParam, name: name, value: was})
		default:
			p.leave("%s = %s: somebody has set it; it was %s", dotted(name), now, was)
		}
		delete(final.params, name)
	}
}

// addTunnels makes tunnel links be there, numbered where IPv4 comes out of them,
// and up: in this order, so that none lets in what its filter would refuse.
func (p *plan) addTunnels(have state, w want) {
	names := maps.Clone(have.links)
	for _, t := range w.tunnels {
		s, there := have.tunnels[t]
		if !there {
			s.link = freeName(w.link, names)
			p.add(step{op: addTunnel, link: s.link, group: group(w.link), tunnel: t})
		}
		number := w.number()
		if !t.takes4() {
			number = netip.Addr{}
		}
		if number.IsValid() && s.pathFilter != pathFilter {
			p.add(step{op: setParam, name: confDir + s.link + "/rp_filter", value: pathFilter})
		}
		if number.IsValid() && !slices.Contains(s.addrs, number) {
			p.add(step{op: addAddress, link: s.link, addr: number})
		}
		for _, a := range s.addrs {
			if a != number {
				p.add(step{op: deleteAddress, link: s.link, addr: a})
			}
		}
		if !s.up {
			p.add(step{op: raiseTunnel, link: s.link, tunnel: t})
		}
	}
}

// freeName returns a name that no link has, and takes it.
func freeName(link string, names map[string]bool) string {
	for i := 1; ; i++ {
		if name := link + strconv.Itoa(i); !names[name] {
			names[name] = true
			return name
		}
	}
}
