package proxier_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/kerneltest/oracle"
	"github.com/vipkit/vipkit/proxier"
)

// The files of testdata/packets say what becomes of packets: services, and who
// gets what from whom. Each stands for six scenarios, in both families and all
// three protocols. The oracle answers for the host in memory, here, and
// TestKernelPackets sends the packets between network namespaces.
//
//	config    what differs from packetConfig, as JSON
//	rules     what somebody else's firewall says, as iptables-restore reads it; a line with {proto}
//	          stands for one of each
//	servers   somebody else's virtual servers, as ipvsadm -R reads them; {svc} is -t, -u or --sctp-service
//	services  with {vip1} … for cluster IPs, {ext1} … for other virtual addresses, {np1} … for node
//	          ports, {any} for the unspecified address, {pod-a} and so on for the hosts of the
//	          world, {net} for the clients' network, {everyone} for 0.0.0.0/0
//	packets   a line each: who, where to, what comes of it, alternatives apart by " | "; a line that
//	          begins with "4: ", "6: ", "tcp: " … is for that family or protocol alone
//
// What comes of a packet is "HOST sees ADDRESS", rejected, dropped, unanswered
// (somebody gets it and the answer is lost), answered (a ping), passed (not ours).

// packetHosts are the hosts of the world that packets come from and go to, by
// family. A node with two pods on links of their own, a pod of another node
// beyond a router's link, and a client outside.
//
//	client ── node ─┬─ pod-a
//	                ├─ pod-b
//	                └─ far
var packetHosts = map[string][2]string{
	"client":  {"198.51.100.9", "2001:db8:99::9"},
	"node":    {"198.51.100.1", "2001:db8:99::1"},
	"gateway": {"10.244.0.1", "fd00:244::1"}, // the node, for its pods
	"pod-a":   {"10.244.0.11", "fd00:244::11"},
	"pod-b":   {"10.244.0.12", "fd00:244::12"},
	"router":  {"10.244.1.1", "fd00:244:1::1"}, // the node, for far
	"far":     {"10.244.1.5", "fd00:244:1::5"},
}

// packetNetwork is the node's network, for the oracle.
const packetNetwork = `
addr add 198.51.100.1/24 dev outside
addr add 2001:db8:99::1/64 dev outside
addr add 10.244.0.1/32 dev pod-a
addr add fd00:244::1/128 dev pod-a
route add 10.244.0.11/32 dev pod-a
route add fd00:244::11/128 dev pod-a
addr add 10.244.0.1/32 dev pod-b
addr add fd00:244::1/128 dev pod-b
route add 10.244.0.12/32 dev pod-b
route add fd00:244::12/128 dev pod-b
addr add 10.244.1.1/24 dev far
addr add fd00:244:1::1/64 dev far
`

// packetConfig is what a scenario's config starts from.
func packetConfig() proxier.Config {
	prefixes := func(texts ...string) []netip.Prefix {
		var ps []netip.Prefix
		for _, s := range texts {
			ps = append(ps, netip.MustParsePrefix(s))
		}
		return ps
	}
	node := packetHosts["node"]
	return proxier.Config{
		NodeAddresses: []netip.Addr{netip.MustParseAddr(node[0]), netip.MustParseAddr(node[1])},
		ClusterCIDRs:  prefixes("10.244.0.0/16", "fd00:244::/32"),
		PodCIDRs:      prefixes("10.244.0.0/24", "fd00:244::/64"),
	}
}

// Ports that hosts of the world listen on: endpoints, and a listener of the node
// that no virtual address may expose.
const (
	endpointPort = 8080
	hostPort     = 9999
)

// packetLine is a packet of a scenario.
type packetLine struct {
	text     string // as the file has it
	from, to string
	ping     bool
	want     []string // sorted
}

// packetScenario is a file in one family and protocol.
type packetScenario struct {
	file     string
	index    int // of the file, for its addresses
	family   int
	protocol vipkit.Protocol
	config   string
	rules    string
	servers  string
	services []proxier.Service
	packets  []packetLine
}

func (s packetScenario) name() string {
	return fmt.Sprintf("%s/%v/%v", s.file, [2]vipkit.Family{vipkit.IPv4, vipkit.IPv6}[s.family], s.protocol)
}

// packetScenarios reads all of them.
func packetScenarios(t *testing.T) []packetScenario {
	t.Helper()
	files, err := filepath.Glob("testdata/packets/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var all []packetScenario
	for i, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		for family := range 2 {
			for _, protocol := range []vipkit.Protocol{vipkit.TCP, vipkit.UDP, vipkit.SCTP} {
				s := packetScenario{
					file: strings.TrimSuffix(filepath.Base(file), ".txtar"), index: i + 1,
					family: family, protocol: protocol,
				}
				s.read(t, txtar.Parse(data))
				all = append(all, s)
			}
		}
	}
	return all
}

func (s *packetScenario) read(t *testing.T, archive *txtar.Archive) {
	t.Helper()
	for _, f := range archive.Files {
		text := string(f.Data)
		switch f.Name {
		case "config":
			s.config = text
		case "rules":
			s.rules = s.expand(eachProtocol(text))
		case "servers":
			s.servers = s.expand(text)
		case "services":
			services, err := proxier.ParseServices(s.expand(text))
			require.NoError(t, err, s.name())
			for i := range services {
				services[i].Name = s.name() + "/" + services[i].Name
			}
			s.services = services
		case "packets":
			for line := range strings.Lines(text) {
				line = strings.TrimSpace(line)
				whole := line
				if only, rest, ok := strings.Cut(line, ": "); ok {
					if only != []string{"4", "6"}[s.family] && only != s.protocol.String() {
						continue
					}
					line = rest
				}
				if line != "" && line[0] != '#' {
					p := s.packet(t, line)
					p.text = whole
					s.packets = append(s.packets, p)
				}
			}
		default:
			require.Fail(t, "unknown section", "%s: %s", s.file, f.Name)
		}
	}
	require.NotEmpty(t, s.packets, s.file)
}

// eachProtocol writes each line that names the protocol once for each of them:
// scenarios of a family share one firewall.
func eachProtocol(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.Contains(line, "{proto}") {
			b.WriteString(line)
			continue
		}
		for _, name := range []string{"tcp", "udp", "sctp"} {
			b.WriteString(strings.ReplaceAll(line, "{proto}", name))
		}
	}
	return b.String()
}

// packet reads "client {vip1}:80 pod-a sees gateway | far sees router".
func (s *packetScenario) packet(t *testing.T, line string) packetLine {
	t.Helper()
	words := strings.Fields(line)
	require.Greater(t, len(words), 2, "%s: %s", s.file, line)
	p := packetLine{from: words[0], to: s.expand(words[1])}
	rest := words[2:]
	if words[1] == "ping" {
		p.ping, p.to, rest = true, s.expand(words[2]), words[3:]
	}
	for _, alternative := range strings.Split(strings.Join(rest, " "), " | ") {
		p.want = append(p.want, strings.Join(strings.Fields(alternative), " "))
	}
	slices.Sort(p.want)
	return p
}

var placeholder = regexp.MustCompile(`\{([a-z-]+)([0-9]*)\}(:)?`)

// expand writes the addresses of the scenario's family for the names in braces.
func (s *packetScenario) expand(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(match string) string {
		m := placeholder.FindStringSubmatch(match)
		address := s.value(m[1], m[2])
		if m[3] == ":" && strings.Contains(address, ":") && !strings.Contains(address, "/") {
			return "[" + address + "]:"
		}
		return address + m[3]
	})
}

func (s *packetScenario) value(name, number string) string {
	if h, ok := packetHosts[name]; ok {
		return h[s.family]
	}
	switch name {
	case "svc":
		return map[vipkit.Protocol]string{vipkit.TCP: "-t", vipkit.UDP: "-u", vipkit.SCTP: "--sctp-service"}[s.protocol]
	case "proto":
		return s.protocol.String()
	case "vip":
		return [2]string{fmt.Sprintf("10.96.%d.%s", s.index, number), fmt.Sprintf("fd00:10:96:%d::%s", s.index, number)}[s.family]
	case "ext":
		return [2]string{fmt.Sprintf("203.0.%d.%s", s.index, number), fmt.Sprintf("2001:db8:113:%d::%s", s.index, number)}[s.family]
	case "np":
		return fmt.Sprintf("%d%s", 3000+s.index, number)
	case "any":
		return [2]string{"0.0.0.0", "::"}[s.family]
	case "net":
		return [2]string{"198.51.100.8/29", "2001:db8:99::8/125"}[s.family]
	case "nodenet":
		return [2]string{"198.51.100.0/24", "2001:db8:99::/64"}[s.family]
	case "everyone":
		return [2]string{"0.0.0.0/0", "::/0"}[s.family]
	case "nobody":
		return [2]string{"192.0.2.0/24", "2001:db8:2::/64"}[s.family]
	case "host":
		return [2]string{"32", "128"}[s.family]
	case "icmp":
		return [2]string{"icmp", "ipv6-icmp"}[s.family]
	}
	return "{unknown " + name + "}"
}

// packetGroup are scenarios that run together: they have one configuration and
// one firewall of somebody else.
type packetGroup struct {
	config    proxier.Config
	rules     [2]string
	servers   string
	scenarios []packetScenario
}

// packetGroups puts the scenarios together.
func packetGroups(t *testing.T) []packetGroup {
	t.Helper()
	var groups []packetGroup
	index := make(map[string]int)
	for _, s := range packetScenarios(t) {
		key := s.config
		if s.rules != "" || s.servers != "" {
			key += s.file // a host of its own
		}
		i, ok := index[key]
		if !ok {
			i = len(groups)
			index[key] = i
			g := packetGroup{config: packetConfig()}
			if s.config != "" {
				require.NoError(t, json.Unmarshal([]byte(s.config), &g.config), s.file)
			}
			groups = append(groups, g)
		}
		groups[i].scenarios = append(groups[i].scenarios, s)
		groups[i].rules[s.family] = s.rules
		groups[i].servers += s.servers
	}
	return groups
}

func (g packetGroup) services() []proxier.Service {
	var all []proxier.Service
	for _, s := range g.scenarios {
		all = append(all, s.services...)
	}
	return all
}

// TestPackets asks the oracle.
func TestPackets(t *testing.T) {
	scenarios, packets := 0, 0
	for _, g := range packetGroups(t) {
		snapshot := g.onHost(t)
		for _, s := range g.scenarios {
			scenarios++
			packets += len(s.packets)
			t.Run(s.name(), func(t *testing.T) {
				for _, line := range s.packets {
					got, trace := s.ask(t, snapshot, line)
					require.Equal(t, line.want, got, "%s to %s\n%s", line.from, line.to, trace)
				}
			})
		}
	}
	testenv.Count(t, "packet scenarios", scenarios)
	testenv.Count(t, "packets asked of the oracle", packets)
}

// onHost sets a host in memory up for the group.
func (g packetGroup) onHost(t *testing.T) *oracle.Snapshot {
	t.Helper()
	host := kerneltest.New()
	for i, tool := range []string{"iptables", "ip6tables"} {
		require.NoError(t, host.Load("-- "+tool+" --\n"+g.rules[i]))
	}
	require.NoError(t, host.Load("-- ipvsadm --\n"+g.servers))
	p, err := proxier.New(host.Kernel(), &g.config)
	require.NoError(t, err)
	require.NoError(t, p.SetSysctls(t.Context(), p.Preflight(t.Context(), g.services()).Wrong()))
	report, err := p.ApplyServices(t.Context(), g.services())
	require.NoError(t, err)
	require.Len(t, report.Programmed, len(g.services()))
	network, err := oracle.ParseNetwork(packetNetwork)
	require.NoError(t, err)
	snapshot, err := oracle.Read(t.Context(), host.Kernel(), p.Link(), network)
	require.NoError(t, err)
	return snapshot
}

// ask returns what can come of a packet, sorted, and its traces.
func (s *packetScenario) ask(t *testing.T, snapshot *oracle.Snapshot, line packetLine) (got []string, trace string) {
	t.Helper()
	p := oracle.Packet{Protocol: s.protocol, Source: netip.AddrPortFrom(netip.MustParseAddr(packetHosts[line.from][s.family]), 40000)}
	if line.ping {
		p.Protocol, p.Destination = oracle.Ping, netip.AddrPortFrom(netip.MustParseAddr(line.to), 0)
	} else {
		p.Destination = netip.MustParseAddrPort(line.to)
	}
	if line.from == "node" {
		p.Source = netip.AddrPort{}
	}
	verdicts, err := snapshot.Trace(p)
	require.NoError(t, err, "%v", p)
	for _, v := range verdicts {
		if a := s.said(v, line.ping); !slices.Contains(got, a) {
			got = append(got, a)
		}
		trace += v.Text() + "\n"
	}
	slices.Sort(got)
	return got, trace
}

// said is a verdict in the words of a scenario.
func (s *packetScenario) said(v oracle.Verdict, ping bool) string {
	switch {
	case v.Unanswered != "":
		return "unanswered"
	case v.Outcome == oracle.ToHost && ping:
		return "answered"
	case v.Outcome == oracle.ToHost && v.To.Port() != hostPort:
		return "rejected" // nobody listens
	case v.Outcome == oracle.ToHost:
		return "node sees " + seen(v.Source.Addr(), s.family)
	case v.To.IsValid():
		return hostAt(v.To.Addr(), s.family) + " sees " + seen(v.Source.Addr(), s.family)
	}
	return v.Outcome.String()
}

// hostAt names who has an address.
func hostAt(a netip.Addr, family int) string {
	name := seen(a, family)
	if name == "gateway" || name == "router" {
		return "node"
	}
	return name
}

// seen names an address.
func seen(a netip.Addr, family int) string {
	for name, h := range packetHosts {
		if h[family] == a.String() {
			return name
		}
	}
	return a.String()
}
