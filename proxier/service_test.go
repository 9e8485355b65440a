package proxier_test

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/proxier"
)

func valid() proxier.Service {
	return proxier.Service{
		Name: "ns/web:http", Protocol: vipkit.TCP,
		Frontends: []proxier.Frontend{{Kind: proxier.ClusterIP, Addr: netip.MustParseAddr("10.96.0.1"), Port: 80}},
		Endpoints: []proxier.Endpoint{proxier.ReadyEndpoint(netip.MustParseAddrPort("10.244.0.5:8080"))},
	}
}

func TestServiceValidate(t *testing.T) {
	require.NoError(t, valid().Validate())
	require.NoError(t, proxier.Service{Name: "none", Protocol: vipkit.UDP}.Validate(), "no frontends, no endpoints")
	addr := netip.MustParseAddr
	for _, c := range []struct {
		name  string
		spoil func(*proxier.Service)
		want  string
	}{
		{"no name", func(s *proxier.Service) { s.Name = "" }, "name: 0 bytes"},
		{"long name", func(s *proxier.Service) { s.Name = strings.Repeat("x", 256) }, "name: 256 bytes"},
		{"quoted name", func(s *proxier.Service) { s.Name = `a"b` }, "holds a quotation mark"},
		{"name of two lines", func(s *proxier.Service) { s.Name = "a\nb" }, "control character"},
		{"no protocol", func(s *proxier.Service) { s.Protocol = 0 }, "protocol 0: want tcp, udp or sctp"},
		{"ICMP", func(s *proxier.Service) { s.Protocol = 1 }, "protocol 1: want"},
		{"no port", func(s *proxier.Service) { s.Frontends[0].Port = 0 }, "frontends[0].port: 0"},
		{"no kind", func(s *proxier.Service) { s.Frontends[0].Kind = 0 }, "frontends[0].kind"},
		{"unspecified", func(s *proxier.Service) { s.Frontends[0].Addr = addr("0.0.0.0") }, "frontends[0].addr: 0.0.0.0 is unspecified"},
		{"no address", func(s *proxier.Service) { s.Frontends[0].Addr = netip.Addr{} }, "frontends[0].addr: invalid IP is no address"},
		{"loopback", func(s *proxier.Service) { s.Frontends[0].Addr = addr("127.0.0.1") }, "is a loopback address"},
		{"multicast", func(s *proxier.Service) { s.Frontends[0].Addr = addr("224.0.0.1") }, "is a multicast address"},
		{"broadcast", func(s *proxier.Service) { s.Frontends[0].Addr = addr("255.255.255.255") }, "is the broadcast address"},
		{"mapped", func(s *proxier.Service) { s.Frontends[0].Addr = addr("::ffff:10.96.0.1") }, "want 10.96.0.1"},
		{"zone", func(s *proxier.Service) { s.Frontends[0].Addr = addr("fd00::1%eth0") }, "has a zone"},
		{"node port at an address", func(s *proxier.Service) { s.Frontends[0].Kind = proxier.NodePort }, "a node port has 0.0.0.0 or ::"},
		{"one frontend twice", func(s *proxier.Service) { s.Frontends = append(s.Frontends, s.Frontends[0]) }, "frontends[1]: 10.96.0.1:80 is frontends[0] already"},
		{"endpoint of another family", func(s *proxier.Service) { s.Endpoints[0].Addr = addr("fd00::5") }, "endpoints[0].addr: fd00::5 is IPv6 and no frontend is"},
		{"endpoint without port", func(s *proxier.Service) { s.Endpoints[0].Port = 0 }, "endpoints[0].port: 0"},
		{"heavy endpoint", func(s *proxier.Service) { s.Endpoints[0].Weight = 65536 }, "endpoints[0].weight: 65536"},
		{"lower threshold alone", func(s *proxier.Service) { s.Endpoints[0].Lower = 2 }, "endpoints[0].lower: 2 is above upper, 0"},
		{"thresholds crossed", func(s *proxier.Service) { s.Endpoints[0].Upper, s.Endpoints[0].Lower = 1, 2 }, "endpoints[0].lower: 2 is above upper, 1"},
		{"one endpoint twice", func(s *proxier.Service) { s.Endpoints = append(s.Endpoints, s.Endpoints[0]) }, "endpoints[1]: 10.244.0.5:8080 is endpoints[0] already"},
		{"policy", func(s *proxier.Service) { s.External = 9 }, "external: proxier.Policy(9)"},
		{"range with host bits", func(s *proxier.Service) { s.SourceRanges = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8")} }, "sourceRanges[0]: 10.0.0.1/8 has bits beyond its length, want 10.0.0.0/8"},
		{"half a second", func(s *proxier.Service) { s.Affinity.Timeout = time.Second / 2 }, "affinity.timeout: 500ms, want whole seconds"},
		{"two days", func(s *proxier.Service) { s.Affinity.Timeout = 48 * time.Hour }, "affinity.timeout: 48h0m0s"},
		{"33 bits", func(s *proxier.Service) { s.Affinity.Bits4 = 33 }, "affinity.bits4: 33"},
		{"scheduler", func(s *proxier.Service) { s.Scheduler = "a scheduler" }, "scheduler: \"a scheduler\""},
		{"flags", func(s *proxier.Service) { s.Flags = 1 << 30 }, "flags: 0x40000000"},
		{"one-packet TCP", func(s *proxier.Service) { s.Flags = ipvs.OnePacket }, "one-packet scheduling is for udp only"},
		{"verdict", func(s *proxier.Service) { s.WithoutEndpoints = 5 }, "withoutEndpoints"},
		{"host port on loopback", func(s *proxier.Service) {
			s.Frontends[0].Kind, s.Frontends[0].Addr = proxier.HostPort, addr("127.0.0.1")
		}, "frontends[0].addr: 127.0.0.1 is a loopback"},
		{"way of forwarding", func(s *proxier.Service) { s.Forward = 7 }, "forward: proxier.Forward(7)"},
		{"direct to another port", func(s *proxier.Service) { s.Forward = proxier.Direct }, "forward: Direct does not translate ports, but frontends[0] has 80 and endpoints[0] 8080"},
		{"direct node port", func(s *proxier.Service) {
			s.Forward, s.Frontends[0] = proxier.Direct, proxier.Frontend{Kind: proxier.NodePort, Addr: addr("0.0.0.0"), Port: 8080}
		}, "forward: Direct needs a virtual address, which endpoints hold too: frontends[0] is a NodePort"},
		{"full NAT and policy Local", func(s *proxier.Service) { s.Forward, s.External = proxier.FullNAT, proxier.Local }, "forward: FullNAT hides the client's address"},
		{"tunnel of nothing", func(s *proxier.Service) { s.Tunnel.Type = ipvs.GRE }, "tunnel: is for forward Tunnel only"},
		{"gue without port", func(s *proxier.Service) { s.Forward, s.Tunnel.Type = proxier.Tunnel, ipvs.GUE }, "tunnel: "},
		{"health check at the service's port", func(s *proxier.Service) { s.Frontends[0].Kind, s.HealthCheckPort = proxier.LoadBalancerIP, 80 }, "healthCheckPort: 80 is the port of frontends[0]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := valid()
			c.spoil(&s)
			require.ErrorContains(t, s.Validate(), c.want)
		})
	}
	s := valid()
	s.Name, s.Protocol, s.Frontends[0].Port = "", 0, 0
	err := s.Validate()
	require.ErrorContains(t, err, "name")
	require.ErrorContains(t, err, "protocol")
	require.ErrorContains(t, err, "frontends[0].port", "every fault at once")
}

func TestConfigValidate(t *testing.T) {
	kernel := kerneltest.New().Kernel()
	for _, c := range []struct {
		config proxier.Config
		want   string
	}{
		{proxier.Config{Prefix: "FIFTEEN_LETTERS"}, "prefix"},
		{proxier.Config{Prefix: "A-B"}, "prefix"},
		{proxier.Config{Link: "a/b"}, "link"},
		{proxier.Config{Means: dummy.Means(7)}, "means"},
		{proxier.Config{NodeAddresses: []netip.Addr{{}}}, "nodeAddresses[0]"},
		{proxier.Config{PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.2.3/8")}}, "podCIDRs[0]"},
		{proxier.Config{MasqueradeMark: 3}, "masqueradeMark 0x3: want one bit"},
		{proxier.Config{LocalMarks: proxier.MarkRange{First: 9, Last: 8}}, "localMarks"},
		{proxier.Config{LocalMarks: proxier.MarkRange{First: 0x3000, Last: 0x8000}}, "some hold the masquerade bit 0x4000"},
		{proxier.Config{MasqueradeMark: 0x10000000}, "some hold the masquerade bit"},
		{proxier.Config{HostAddresses: []netip.Addr{{}}}, "hostAddresses[0]"},
		{proxier.Config{PodLink: "a link+"}, "podLink \"a link+\""},
	} {
		_, err := proxier.New(kernel, &c.config)
		require.ErrorContains(t, err, c.want)
	}
	_, err := proxier.New(proxier.Kernel{}, nil)
	require.ErrorContains(t, err, "a client of the kernel is missing")
}

// Services survive being printed, and being JSON.
func TestServiceTextAndJSON(t *testing.T) {
	for seed := range uint64(50) {
		services := randomServices(rand.New(rand.NewPCG(seed, 3)))
		var text strings.Builder
		for _, s := range services {
			text.WriteString(s.String())
		}
		parsed, err := proxier.ParseServices(text.String())
		require.NoError(t, err)
		require.Equal(t, services, parsed)

		data, err := json.Marshal(services)
		require.NoError(t, err)
		var back []proxier.Service
		require.NoError(t, json.Unmarshal(data, &back))
		require.Equal(t, len(services), len(back))
		for i := range services {
			require.True(t, services[i].Equal(back[i]), "%s", data)
		}
	}
}

func TestParseServicesFaults(t *testing.T) {
	_, err := proxier.ParseServices(`  frontend ClusterIP 10.0.0.1:80
service a
service b icmp
service c tcp
  frontend Cluster 10.0.0.1:80
  frontend ClusterIP 10.0.0.1
  endpoint 10.0.0.1:80 heavy
  endpoint 10.0.0.1:80 weight
  endpoint 10.0.0.1:80 weight -1
  affinity 10m bits4 300
  ranges 10.0.0.0
  internal Nowhere
  external
  colour blue
`)
	for _, want := range []string{
		"line 1: ", "before the first service", "line 2: ", "want: service NAME PROTOCOL", "line 3: ", `unknown protocol "icmp"`,
		`unknown kind of frontend "Cluster"`, "line 6: ", `unknown word "heavy"`, "weight wants a value", `weight: strconv.ParseUint: parsing "-1"`,
		"bits4: 300 is out of range", "line 11: ", `unknown policy "Nowhere"`, "line 13: ", "want a value", "line 14: ", "unknown word",
	} {
		require.ErrorContains(t, err, want)
	}
}

func FuzzParseServices(f *testing.F) {
	f.Add(valid().String())
	f.Add("service a tcp\n  endpoint [fd00::1]:80 weight 0 serving terminating elsewhere local\n  affinity 3h0m0s bits6 64\n")
	f.Fuzz(func(t *testing.T, text string) {
		services, err := proxier.ParseServices(text)
		if err != nil {
			return
		}
		var printed strings.Builder
		for _, s := range services {
			printed.WriteString(s.String())
		}
		again, err := proxier.ParseServices(printed.String())
		require.NoError(t, err)
		require.Equal(t, len(services), len(again))
		for i := range services {
			require.True(t, services[i].Equal(again[i]), "%v\n%v", services[i], again[i])
		}
	})
}

func TestPhasesHaveReasons(t *testing.T) {
	for p := proxier.CreateLink; p <= proxier.DeleteLink; p++ {
		require.NotEmpty(t, p.String())
		require.NotEmpty(t, p.Reason(), "%v", p)
	}
	require.Equal(t, "no phase", proxier.Phase(0).String())
	require.Empty(t, proxier.Phase(99).Reason())
}
