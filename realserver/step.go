package realserver

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/vipkit/vipkit/dummy"
)

// operation is what a step does.
type operation uint8

const (
	addLink       operation = iota + 1 // the dummy link, up
	raiseLink                          // it was down
	deleteLink                         // the dummy link
	setRecord                          // its alias
	setParam                           // a parameter
	addAddress                         // on a link
	deleteAddress                      // off a link
	addPort                            // for GUE
	deletePort                         //
	addTunnel                          // a tunnel link, down
	raiseTunnel                        //
	deleteTunnel                       //
)

// step is one write. It is comparable.
type step struct {
	op          operation
	link        string
	group       uint32
	addr        netip.Addr
	port        netip.AddrPort
	tunnel      tunnel
	name, value string // of a parameter; the record
}

// String returns the command that does the same.
func (s step) String() string {
	switch s.op {
	case addLink:
		return dummy.Link{Name: s.link, Up: true, Group: s.group}.String()
	case raiseLink, raiseTunnel:
		return "ip link set " + s.link + " up"
	case deleteLink, deleteTunnel:
		return "ip link del " + s.link
	case setRecord:
		return fmt.Sprintf("ip link set %s alias %q", s.link, s.value)
	case setParam:
		return "sysctl -w " + dotted(s.name) + "=" + s.value
	case addAddress:
		return fmt.Sprintf("ip addr add %s dev %s", full(s.addr), s.link)
	case deleteAddress:
		return fmt.Sprintf("ip addr del %s dev %s", full(s.addr), s.link)
	case addPort:
		return portCommand("add", s.port)
	case deletePort:
		return portCommand("del", s.port)
	case addTunnel:
		return fmt.Sprintf("ip link add %s group %d type %s", s.link, s.group, s.tunnel)
	}
	return fmt.Sprintf("step %d", s.op)
}

// String returns what stands behind type in the command of ip(8).
func (t tunnel) String() string {
	text := fmt.Sprintf("%s local %s", t.kind, t.local)
	switch {
	case t.kind == "ip6tnl":
		text += " mode any allow-localremote"
	case t.kind == "sit":
		text += " mode ip6ip"
	case t.checksum:
		text += " icsum"
	}
	return text
}

func portCommand(verb string, p netip.AddrPort) string {
	family := ""
	if p.Addr().Is6() {
		family = "-6 "
	}
	return fmt.Sprintf("ip %sfou %s port %d gue local %s", family, verb, p.Port(), p.Addr())
}

// full returns an address with its full prefix length.
func full(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// dotted writes a parameter's name with dots, where its parts have none.
func dotted(name string) string {
	if strings.Contains(name, ".") {
		return name
	}
	return strings.ReplaceAll(name, "/", ".")
}
