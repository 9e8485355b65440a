package realserver

import (
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/ipvs"
)

func addrs(texts ...string) []netip.Addr {
	list := make([]netip.Addr, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParseAddr(text)
	}
	return list
}

func TestValidate(t *testing.T) {
	vip, own := addrs("192.0.2.80"), addrs("198.51.100.7")
	ipip := []ipvs.TunnelConfig{{}}
	for _, test := range []struct {
		name string
		c    Config
		want string // nothing: valid
	}{
		{"direct", Config{VirtualAddrs: vip}, ""},
		{"both families", Config{VirtualAddrs: addrs("192.0.2.80", "2001:db8::80")}, ""},
		{"tunnel", Config{VirtualAddrs: vip, Tunnels: ipip, Addrs: own}, ""},
		{"tunnel in the other family", Config{VirtualAddrs: vip, Tunnels: ipip, Addrs: addrs("2001:db8::7")}, ""},
		{"every tunnel", Config{VirtualAddrs: vip, Addrs: own, Tunnels: []ipvs.TunnelConfig{{}, {Type: ipvs.GRE},
			{Type: ipvs.GUE, Port: 1}, {Type: ipvs.GUE, Port: 65535, Flags: ipvs.TunnelChecksum}}}, ""},
		{"longest name", Config{Link: "1234567890123", VirtualAddrs: vip}, ""},
		{"long name", Config{Link: "12345678901234", VirtualAddrs: vip}, "has 14 bytes, want 1–13"},
		{"odd name", Config{Link: "a/b", VirtualAddrs: vip}, `has the byte '/'`},
		{"nothing", Config{}, "no virtual address"},
		{"no address", Config{VirtualAddrs: make([]netip.Addr, 1)}, "no address"},
		{"mapped", Config{VirtualAddrs: addrs("::ffff:192.0.2.80")}, "written as IPv6"},
		{"zone", Config{VirtualAddrs: addrs("2001:db8::1%eth0")}, "has a zone"},
		{"multicast", Config{VirtualAddrs: addrs("224.0.0.1")}, "goes to many"},
		{"link-local", Config{VirtualAddrs: addrs("fe80::1")}, "link-local"},
		{"twice", Config{VirtualAddrs: addrs("192.0.2.80", "192.0.2.80")}, "virtual address 192.0.2.80 twice"},
		{"own is virtual", Config{VirtualAddrs: vip, Tunnels: ipip, Addrs: vip}, "own address 192.0.2.80 twice, or a virtual one"},
		{"own twice", Config{VirtualAddrs: vip, Tunnels: ipip, Addrs: addrs("1.2.3.4", "1.2.3.4")}, "own address 1.2.3.4 twice"},
		{"own unspecified", Config{VirtualAddrs: vip, Tunnels: ipip, Addrs: addrs("::")}, `own address "::": unspecified`},
		{"no own address", Config{VirtualAddrs: vip, Tunnels: ipip}, "1 tunnels at 0 own addresses"},
		{"no tunnel", Config{VirtualAddrs: vip, Addrs: own}, "0 tunnels at 1 own addresses"},
		{"many", Config{VirtualAddrs: vip, Tunnels: ipip, Addrs: many(33)}, "33 own addresses, want at most 32"},
		{"as many as can be", Config{VirtualAddrs: vip, Tunnels: ipip, Addrs: many(32)}, ""},
		{"gue without port", Config{VirtualAddrs: vip, Addrs: own, Tunnels: []ipvs.TunnelConfig{{Type: ipvs.GUE}}}, "gue wants one"},
		{"unknown tunnel", Config{VirtualAddrs: vip, Addrs: own, Tunnels: []ipvs.TunnelConfig{{Type: 9}}}, "tunnel type 9"},
		{"tunnel twice", Config{VirtualAddrs: vip, Addrs: own, Tunnels: []ipvs.TunnelConfig{{}, {}}}, "tunnel ipip twice"},
		{"gre both ways", Config{VirtualAddrs: vip, Addrs: own, Tunnels: []ipvs.TunnelConfig{{Type: ipvs.GRE},
			{Type: ipvs.GRE, Flags: ipvs.TunnelChecksum}}}, "with and without checksums"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := test.c.Validate()
			_, commands := test.c.Commands()
			if test.want == "" {
				require.NoError(t, err)
				require.NoError(t, commands)
				return
			}
			require.ErrorContains(t, err, test.want)
			require.Equal(t, err, commands)
		})
	}
}

func many(n int) (list []netip.Addr) {
	for i := range n {
		list = append(list, netip.AddrFrom4([4]byte{198, 51, 100, byte(i + 1)}))
	}
	return list
}

// carry does to a state what the kernel would do.
func (have *state) carry(s step) {
	switch s.op {
	case addLink, raiseLink:
		have.there, have.up, have.links[s.link] = true, true, true
	case deleteLink:
		have.there, have.addrs, have.record = false, make(map[netip.Addr]bool), newRecord()
		delete(have.links, s.link)
	case setRecord:
		record, err := parseRecord(s.value)
		if err != nil {
			panic(err)
		}
		have.record = record
	case setParam, addAddress, deleteAddress, raiseTunnel:
		have.carryInPlace(s)
	case addPort:
		have.ports[s.port] = true
	case deletePort:
		delete(have.ports, s.port)
	case addTunnel:
		have.tunnels[s.tunnel] = tunnelState{link: s.link, pathFilter: "0"}
		have.links[s.link] = true
	case deleteTunnel:
		for t, have2 := range have.tunnels {
			if have2.link == s.link {
				delete(have.tunnels, t)
			}
		}
		delete(have.links, s.link)
	}
}

// carryInPlace does what is about the dummy link, a tunnel link or a parameter.
func (have *state) carryInPlace(s step) {
	for t, tunnel := range have.tunnels {
		switch {
		case s.op == setParam && s.name == confDir+tunnel.link+"/rp_filter":
			tunnel.pathFilter = s.value
		case tunnel.link != s.link:
			continue
		case s.op == raiseTunnel:
			tunnel.up = true
		case s.op == addAddress:
			tunnel.addrs = append(tunnel.addrs, s.addr)
		case s.op == deleteAddress:
			tunnel.addrs = slices.DeleteFunc(tunnel.addrs, func(a netip.Addr) bool { return a == s.addr })
		}
		have.tunnels[t] = tunnel
		return
	}
	switch s.op {
	case setParam:
		have.params[s.name] = s.value
	case addAddress:
		have.addrs[s.addr] = true
	case deleteAddress:
		delete(have.addrs, s.addr)
	default:
		panic(s.String() + ": there is no such link")
	}
}

// newState returns a namespace with two links, in which nothing is quiet.
func newState() state {
	have := fresh()
	have.addrs, have.tunnels, have.ports = make(map[netip.Addr]bool), make(map[tunnel]tunnelState), make(map[netip.AddrPort]bool)
	for _, link := range []string{"lo", "eth0.100"} {
		have.links[link] = true
		for _, q := range quietParams {
			have.params[confDir+link+"/"+q.name] = "0"
		}
	}
	have.params[confDir+"eth0.100/arp_ignore"] = "3"
	return have
}

// everything is a Config that makes links of all kinds.
var everything = Config{
	VirtualAddrs: addrs("192.0.2.80", "2001:db8::80"),
	Tunnels:      []ipvs.TunnelConfig{{}, {Type: ipvs.GRE}, {Type: ipvs.GUE, Port: 6080}},
	Addrs:        addrs("198.51.100.7", "2001:db8::7"),
}

func texts(p plan) (lines []string) {
	for _, s := range p.steps {
		lines = append(lines, s.String())
	}
	return append(lines, p.left...)
}

// From whatever a crash leaves behind, Prepare goes on and Undo goes back; both end
// where nothing is to do, and in between ARP is never loud with an address there.
func TestDiffAfterEveryStep(t *testing.T) {
	whole, err := diff(newState(), layout(everything))
	require.NoError(t, err)
	require.Greater(t, len(whole.steps), 25)
	for cut := range len(whole.steps) + 1 {
		for _, c := range []Config{everything, {Link: DefaultLink}, {VirtualAddrs: addrs("2001:db8::81")}} {
			have := newState()
			for _, s := range whole.steps[:cut] {
				have.carry(s)
				require.True(t, have.quiet(), "%s", s)
			}
			p, err := diff(have, layout(c))
			require.NoError(t, err)
			for i, s := range p.steps {
				have.carry(s)
				require.True(t, have.quiet(), "%s", s)
				// Undo, or Prepare, may crash as well.
				again, err := diff(have, layout(c))
				require.NoError(t, err)
				require.Equal(t, texts(plan{steps: p.steps[i+1:]}), texts(plan{steps: again.steps}), "after %s", s)
			}
			p, err = diff(have, layout(c))
			require.NoError(t, err)
			require.Empty(t, p.steps)
			if len(c.VirtualAddrs) == 0 {
				require.Equal(t, newState(), have.withAddrs())
			}
		}
	}
}

func (have state) withAddrs() state {
	have.up = false
	have.addrs = make(map[netip.Addr]bool)
	return have
}

// quiet reports whether no IPv4 address of ours is there while ARP may tell of it.
func (have state) quiet() bool {
	any4 := false
	for a := range have.addrs {
		any4 = any4 || a.Is4()
	}
	for _, tunnel := range have.tunnels {
		any4 = any4 || len(tunnel.addrs) > 0
	}
	return !any4 || have.params[confDir+"all/arp_ignore"] == "1" && have.params[confDir+"all/arp_announce"] == "2" &&
		have.params[confDir+"eth0.100/arp_ignore"] != "3"
}

func TestDiffLeavesWhatIsQuiet(t *testing.T) {
	have := newState()
	have.params[confDir+"all/arp_ignore"] = "2"
	have.params[confDir+"all/arp_announce"] = "2"
	have.params[confDir+"eth0.100/arp_ignore"] = "8"
	p, err := diff(have, layout(Config{VirtualAddrs: addrs("192.0.2.80")}))
	require.NoError(t, err)
	require.Equal(t, []string{
		step{op: addLink, link: DefaultLink, group: group(DefaultLink)}.String(),
		"ip addr add 192.0.2.80/32 dev vipkit-rs",
		"net.ipv4.conf.all.arp_announce = 2: it will do",
		"net.ipv4.conf.all.arp_ignore = 2: it will do",
	}, texts(p))
}

func TestUndoLeavesWhatOthersSet(t *testing.T) {
	have := newState()
	c := Config{VirtualAddrs: addrs("192.0.2.80")}
	p, err := diff(have, layout(c))
	require.NoError(t, err)
	for _, s := range p.steps {
		have.carry(s)
	}
	have.params[confDir+"all/arp_ignore"] = "8"
	delete(have.params, confDir+"eth0.100/arp_ignore") // the link has gone
	p, err = diff(have, want{link: DefaultLink})
	require.NoError(t, err)
	require.Equal(t, []string{
		"ip addr del 192.0.2.80/32 dev vipkit-rs",
		"sysctl -w net.ipv4.conf.all.arp_announce=0",
		"ip link del vipkit-rs",
		"net.ipv4.conf.all.arp_ignore = 8: somebody has set it; it was 0",
	}, texts(p))
}

func TestDiffForeign(t *testing.T) {
	have := newState()
	have.foreign = "somebody else's link, in group 7"
	_, err := diff(have, layout(Config{VirtualAddrs: addrs("192.0.2.80")}))
	require.ErrorIs(t, err, fs.ErrExist)
	require.ErrorContains(t, err, "in group 7")
	p, err := diff(have, want{link: DefaultLink})
	require.NoError(t, err)
	require.Equal(t, []string{"link vipkit-rs: somebody else's link, in group 7"}, texts(p))

	have = newState()
	have.links["vipkit-rs1"] = true
	port := netip.MustParseAddrPort("198.51.100.7:6080")
	have.ports[port] = true
	p, err = diff(have, layout(everything))
	require.NoError(t, err)
	require.Contains(t, texts(p), "ip fou add port 6080 gue local 198.51.100.7: it is there, and somebody else's")
	for _, line := range texts(p)[:len(p.steps)] {
		require.NotContains(t, line, "vipkit-rs1 ")
		require.NotEqual(t, portCommand("add", port), line)
	}
}

func TestDiffFullRecord(t *testing.T) {
	c := everything
	c.Tunnels = nil
	for i := range 12 {
		c.Tunnels = append(c.Tunnels, ipvs.TunnelConfig{Type: ipvs.GUE, Port: uint16(6080 + i)})
	}
	_, err := c.Commands()
	require.ErrorIs(t, err, vipkit.ErrFull)
	var op *vipkit.OpError
	require.ErrorAs(t, err, &op)
	require.Contains(t, op.Object, "ip link set vipkit-rs alias")
}

func TestRecord(t *testing.T) {
	r := newRecord()
	r.params[confDir+"all/arp_ignore"] = "0"
	r.params[confDir+"a=b.100/arp_announce"] = "7"
	r.ports[netip.MustParseAddrPort("[2001:db8::7]:6080")] = true
	r.ports[netip.MustParseAddrPort("198.51.100.7:6080")] = true
	text := "vipkit realserver a=b.100/arp_announce=7 all/arp_ignore=0 gue=198.51.100.7:6080 gue=[2001:db8::7]:6080"
	require.Equal(t, text, r.String())
	back, err := parseRecord(text)
	require.NoError(t, err)
	require.Equal(t, r, back)
	for _, alias := range []string{"", recordMark} {
		back, err = parseRecord(alias)
		require.NoError(t, err)
		require.Equal(t, newRecord(), back)
	}
	for _, alias := range []string{"my link", recordMark + "s", recordMark + " x", recordMark + " =0", recordMark + " a=", recordMark + " gue=1"} {
		_, err = parseRecord(alias)
		require.Error(t, err, alias)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("vipkit realserver all/arp_ignore=0 gue=198.51.100.7:6080")
	f.Fuzz(func(t *testing.T, alias string) {
		r, err := parseRecord(alias)
		if err != nil {
			return
		}
		back, err := parseRecord(r.String())
		require.NoError(t, err)
		require.Equal(t, r, back)
	})
}

// Whatever was there before, a random walk through configurations ends where the
// last one says, and Undo where it began.
func TestDiffHasNoHistory(t *testing.T) {
	random := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	for range testenv.Steps(t, 300) {
		have := newState()
		var c Config
		for range 4 {
			c = Config{}
			for _, a := range everything.VirtualAddrs {
				if random.IntN(3) > 0 {
					c.VirtualAddrs = append(c.VirtualAddrs, a)
				}
			}
			for _, tunnel := range everything.Tunnels {
				if random.IntN(2) > 0 {
					c.Tunnels = append(c.Tunnels, tunnel)
				}
			}
			if len(c.Tunnels) > 0 {
				c.Addrs = everything.Addrs[random.IntN(2):]
			}
			if c.Validate() != nil {
				c = Config{} // Undo
			}
			p, err := diff(have, layout(c))
			require.NoError(t, err)
			for _, s := range p.steps[:len(p.steps)-random.IntN(2)*min(len(p.steps), 3)] {
				have.carry(s)
				require.True(t, have.quiet())
			}
		}
		for _, c := range []Config{c, {}} {
			p, err := diff(have, layout(c))
			require.NoError(t, err)
			for _, s := range p.steps {
				have.carry(s)
			}
			direct := newState()
			p, err = diff(direct, layout(c))
			require.NoError(t, err)
			for _, s := range p.steps {
				direct.carry(s)
			}
			require.Equal(t, strip(direct), strip(have))
		}
	}
}

// strip leaves out which number a tunnel link has.
func strip(have state) state {
	have.up = have.up && have.there
	have.links = nil
	tunnels := make(map[tunnel]tunnelState)
	for t, s := range have.tunnels {
		s.link = ""
		if len(s.addrs) == 0 {
			s.pathFilter = "" // it decides nothing
		}
		if len(s.addrs) == 0 {
			s.addrs = nil
		}
		tunnels[t] = s
	}
	have.tunnels = tunnels
	if len(have.addrs) == 0 {
		have.addrs = nil
	}
	return have
}

func TestReport(t *testing.T) {
	r := Report{Done: []string{"ip link del a"}, Left: []string{"b"}}
	require.Equal(t, "ip link del a\n# b\n", r.String())
	require.Empty(t, Report{}.String())
}

func TestStepsHaveWords(t *testing.T) {
	for op := addLink; op <= deleteTunnel; op++ {
		require.False(t, strings.HasPrefix(step{op: op}.String(), "step "), "operation %d", op)
	}
	require.Equal(t, "step 99", step{op: 99}.String())
	require.Equal(t, "sysctl -w net/ipv4/conf/eth0.1/arp_ignore=1", step{op: setParam, name: confDir + "eth0.1/arp_ignore", value: "1"}.String())
}
