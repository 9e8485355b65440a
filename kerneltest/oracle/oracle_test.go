package oracle_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/kerneltest/oracle"
)

const world = `addr add 198.51.100.1/24 dev eth0
addr add 2001:db8::1/64 dev eth0
addr add 10.244.0.1/24 dev pods
route add 0.0.0.0/0 via 198.51.100.254 dev eth0
`

func TestNetworkText(t *testing.T) {
	n, err := oracle.ParseNetwork("# of a node\n\nip addr add 198.51.100.1/24 dev eth0\n" + world[len("addr add 198.51.100.1/24 dev eth0\n"):])
	require.NoError(t, err)
	require.Equal(t, world, n.String())
	for _, bad := range []string{
		"addr add 198.51.100.1 dev eth0", "addr add 198.51.100.1/24", "route add 10.0.0.0/8", "route add nowhere dev eth0",
		"route add 10.0.0.0/8 via here dev eth0", "route add 10.0.0.0/8 via 10.0.0.1", "link add eth0",
	} {
		_, err := oracle.ParseNetwork(bad)
		require.ErrorContains(t, err, "line 1", bad)
	}
}

func FuzzNetwork(f *testing.F) {
	f.Add(world)
	f.Add("route add ::/0 via fe80::1 dev eth0")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := oracle.ParseNetwork(text)
		if err != nil {
			return
		}
		again, err := oracle.ParseNetwork(n.String())
		require.NoError(t, err)
		require.Equal(t, n.String(), again.String())
	})
}

func TestPacketValidate(t *testing.T) {
	at := netip.MustParseAddrPort
	for _, c := range []struct {
		p    oracle.Packet
		want string
	}{
		{oracle.Packet{Protocol: vipkit.TCP, Destination: at("10.0.0.1:80")}, ""},
		{oracle.Packet{Protocol: 47, Destination: at("10.0.0.1:80")}, "want tcp, udp, sctp or ping"},
		{oracle.Packet{Protocol: vipkit.TCP}, "no destination"},
		{oracle.Packet{Protocol: vipkit.TCP, Destination: at("0.0.0.0:80")}, "no destination"},
		{oracle.Packet{Protocol: vipkit.TCP, Source: at("[fd00::1]:1"), Destination: at("10.0.0.1:80")}, "two families"},
		{oracle.Packet{Protocol: vipkit.TCP, Destination: at("[::ffff:10.0.0.1]:80")}, "mapped"},
	} {
		if c.want == "" {
			require.NoError(t, c.p.Validate())
			continue
		}
		require.ErrorContains(t, c.p.Validate(), c.want)
	}
}

// hostWith is a host with rules, sets and servers in the tools' words.
func hostWith(t *testing.T, dump string) *kerneltest.Host {
	t.Helper()
	h := kerneltest.New()
	require.NoError(t, h.Load("-- network --\n"+world+"-- sysctl --\nnet.ipv4.ip_forward = 1\nnet.ipv4.vs.conntrack = 1\n"+dump))
	return h
}

func trace(t *testing.T, h *kerneltest.Host, p oracle.Packet) oracle.Verdict {
	t.Helper()
	v, err := h.Trace(p)
	require.NoError(t, err)
	require.Len(t, v, 1)
	return v[0]
}

// Rules mean what the kernel makes of them.
func TestRules(t *testing.T) {
	p := oracle.Packet{
		Protocol: vipkit.TCP, Source: netip.MustParseAddrPort("198.51.100.9:4000"), Destination: netip.MustParseAddrPort("198.51.100.1:80"),
	}
	for _, c := range []struct{ name, rules, want string }{
		{"nothing", "", "host 198.51.100.1:80 sees 198.51.100.9"},
		{"policy", ":INPUT DROP [0:0]", "dropped by filter INPUT: policy DROP"},
		{"accepted before the policy", ":INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT", "host"},
		{"another port", "-A INPUT -p tcp -m tcp --dport 81:90 -j DROP", "host"},
		{"ports", "-A INPUT -p tcp -m multiport --dports 22,79:80 -j REJECT --reject-with icmp-port-unreachable", "rejected by filter INPUT 1"},
		{"another protocol", "-A INPUT -p udp -j DROP", "host"},
		{"not from there", "-A INPUT ! -s 198.51.100.0/24 -j DROP", "host"},
		{"by the link", "-A INPUT -i eth+ -j DROP", "dropped by filter INPUT 1: -i eth+ -j DROP"},
		{"another link", "-A INPUT -i pods -j DROP", "host"},
		{"a chain that returns", ":MINE - [0:0]\n-A MINE -j RETURN\n-A INPUT -j MINE\n-A INPUT -j DROP", "dropped by filter INPUT 2"},
		{"a chain that ends", ":MINE - [0:0]\n-A INPUT -j MINE", "host"},
		{"goto comes back to who called", ":A - [0:0]\n:B - [0:0]\n-A INPUT -j A\n-A A -g B\n-A A -j DROP", "host"},
		{"a mark", "-A INPUT -j MARK --set-xmark 0x5/0xf\n-A INPUT -m mark --mark 0x5/0x7 -j DROP", "dropped by filter INPUT 2"},
		{"not that mark", "-A INPUT -m mark --mark 0x5 -j DROP", "host"},
		{"new", "-A INPUT -m conntrack --ctstate NEW -j DROP", "dropped by filter INPUT 1"},
		{"established", "-A INPUT -m conntrack ! --ctstate RELATED,ESTABLISHED -j DROP", "dropped by filter INPUT 1"},
		{"for the host", "-A INPUT -m addrtype --dst-type LOCAL -j DROP", "dropped by filter INPUT 1"},
		{"by the host", "-A INPUT -m addrtype --src-type LOCAL -j DROP", "host"},
		{"only logged", "-A INPUT -j LOG", "host"},
		{"another match fails", "-A INPUT -p udp -m statistic --mode random --probability 0.5 -j DROP", "host"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rules := c.rules
			if rules != "" && rules[0] == '-' {
				rules = ":INPUT ACCEPT [0:0]\n" + rules
			} else if rules != "" && rules[:6] != ":INPUT" {
				rules = ":INPUT ACCEPT [0:0]\n" + rules
			}
			h := hostWith(t, "-- iptables --\n*filter\n"+rules+"\nCOMMIT\n")
			require.Contains(t, trace(t, h, p).String(), c.want)
		})
	}
}

func TestSets(t *testing.T) {
	const sets = `create IP hash:ip family inet
add IP 198.51.100.9
create NET hash:net family inet
add NET 198.51.100.0/24
add NET 198.51.100.8/30 nomatch
create PORT bitmap:port range 0-1000
add PORT 80
create TUPLE hash:ip,port family inet skbinfo
add TUPLE 198.51.100.1,tcp:80 skbmark 0x7/0xff
create RANGES hash:ip,port,net family inet
add RANGES 198.51.100.1,tcp:80,198.51.100.0/25
`
	p := oracle.Packet{Protocol: vipkit.TCP, Source: netip.MustParseAddrPort("198.51.100.9:4000"), Destination: netip.MustParseAddrPort("198.51.100.1:80")}
	for _, c := range []struct {
		rule string
		hit  bool
	}{
		{"-m set --match-set IP src", true},
		{"-m set --match-set IP dst", false},
		{"-m set ! --match-set IP dst", true},
		{"-m set --match-set NET src", false}, // excepted
		{"-m set --match-set NET dst", true},
		{"-m set --match-set PORT dst", true},
		{"-m set --match-set PORT src", false},
		{"-m set --match-set TUPLE dst,dst", true},
		{"-m set --match-set TUPLE src,dst", false},
		{"-m set --match-set TUPLE dst", false}, // fewer words than parts
		{"-m set --match-set RANGES dst,dst,src", true},
	} {
		h := hostWith(t, "-- ipset --\n"+sets+"-- iptables --\n*filter\n:INPUT ACCEPT [0:0]\n-A INPUT "+c.rule+" -j DROP\nCOMMIT\n")
		require.Equal(t, c.hit, trace(t, h, p).Outcome == oracle.Dropped, c.rule)
	}
	// SCTP is in no port bitmap (net/netfilter/ipset/ip_set_getport.c).
	sctp := p
	sctp.Protocol = vipkit.SCTP
	h := hostWith(t, "-- ipset --\n"+sets+"-- iptables --\n*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m set --match-set PORT dst -j DROP\nCOMMIT\n")
	require.Equal(t, oracle.ToHost, trace(t, h, sctp).Outcome)
}

// Every way of forwarding, on a host that somebody else has set up.
func TestForwarding(t *testing.T) {
	const dump = `-- ip --
link add vipkit0 up type dummy
addr add 10.96.0.1/32 dev vipkit0
-- ipvsadm --
-A -t 10.96.0.1:80 -s rr
-a -t 10.96.0.1:80 -r 10.244.0.5:8080 -m -w 1
-A -t 10.96.0.1:81 -s rr
-a -t 10.96.0.1:81 -r 10.244.0.6:81 -g -w 1
-A -t 10.96.0.1:82 -s rr
-a -t 10.96.0.1:82 -r 192.0.2.7:82 -i -w 1
-A -f 9 -s rr
-a -f 9 -r 10.244.0.8:8080 -m -w 1
-- iptables --
*mangle
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 83 -j MARK --set-xmark 0x9/0xffffffff
COMMIT
`
	h := hostWith(t, dump)
	ask := func(to string) oracle.Verdict {
		return trace(t, h, oracle.Packet{Protocol: vipkit.TCP, Source: netip.MustParseAddrPort("198.51.100.9:4000"), Destination: netip.MustParseAddrPort(to)})
	}
	require.Equal(t, "endpoint 10.244.0.5:8080 sees 198.51.100.9", ask("10.96.0.1:80").String())
	direct := ask("10.96.0.1:81")
	require.Equal(t, ipvs.Direct, direct.Forward)
	require.Equal(t, "endpoint 10.244.0.6:81 sees 198.51.100.9", direct.String())
	require.Equal(t, "pods", direct.Link)
	tunnel := ask("10.96.0.1:82")
	require.Equal(t, ipvs.Tunnel, tunnel.Forward)
	require.Equal(t, "eth0", tunnel.Link)
	require.Equal(t, "endpoint 10.244.0.8:8080 sees 198.51.100.9", ask("10.96.0.1:83").String(), "by mark before by address")
	require.Equal(t, "host 10.96.0.1:84 sees 198.51.100.9", ask("10.96.0.1:84").String())
}
