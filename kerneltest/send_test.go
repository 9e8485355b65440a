package kerneltest_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/kerneltest/oracle"
	"github.com/vipkit/vipkit/proxier"
)

const network = `
addr add 198.51.100.1/24 dev eth0
addr add 10.244.0.1/24 dev pods
`

// served is a host that serves, and a way to change what.
func served(t *testing.T, text string) (*kerneltest.Host, func(text string)) {
	t.Helper()
	host := kerneltest.New()
	require.NoError(t, host.Load("-- network --\n"+network))
	p, err := proxier.New(host.Kernel(), &proxier.Config{ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}})
	require.NoError(t, err)
	apply := func(text string) {
		services, err := proxier.ParseServices(text)
		require.NoError(t, err)
		_, err = p.ApplyServices(t.Context(), services)
		require.NoError(t, err)
	}
	services, err := proxier.ParseServices(text)
	require.NoError(t, err)
	require.NoError(t, p.SetSysctls(t.Context(), p.Preflight(t.Context(), services).Wrong()))
	apply(text)
	return host, apply
}

func from(client string, protocol vipkit.Protocol) oracle.Packet {
	return oracle.Packet{Protocol: protocol, Source: netip.MustParseAddrPort(client), Destination: netip.MustParseAddrPort("10.96.0.1:80")}
}

// send returns who got the packet, or what became of it.
func send(t *testing.T, h *kerneltest.Host, p oracle.Packet) string {
	t.Helper()
	v, err := h.Send(p)
	require.NoError(t, err)
	if v.Outcome != oracle.ToEndpoint {
		return v.Outcome.String()
	}
	return v.To.String()
}

const two = `
service web tcp
  frontend ClusterIP 10.96.0.1:80
  endpoint 10.244.0.5:8080
  endpoint 10.244.0.6:8080
`

func TestSendTakesTurnsAndKeepsConnections(t *testing.T) {
	h, apply := served(t, two)
	first := from("10.244.0.9:1000", vipkit.TCP)
	require.Equal(t, "10.244.0.5:8080", send(t, h, first))
	require.Equal(t, "10.244.0.6:8080", send(t, h, from("10.244.0.9:1001", vipkit.TCP)))
	require.Equal(t, "10.244.0.5:8080", send(t, h, from("10.244.0.9:1002", vipkit.TCP)))
	require.Equal(t, "10.244.0.5:8080", send(t, h, first), "a connection stays")
	require.Len(t, h.Connections(), 3)

	key := ipvs.Key{Protocol: vipkit.TCP, Addr: netip.MustParseAddr("10.96.0.1"), Port: 80}
	active := func() map[ipvs.DestKey]uint32 {
		counts := make(map[ipvs.DestKey]uint32)
		for d, err := range h.IPVS.Destinations(t.Context(), key) {
			require.NoError(t, err)
			counts[d.DestKey] = d.Active
		}
		return counts
	}
	five := ipvs.DestKey{Addr: netip.MustParseAddr("10.244.0.5"), Port: 8080}
	six := ipvs.DestKey{Addr: netip.MustParseAddr("10.244.0.6"), Port: 8080}
	require.Equal(t, map[ipvs.DestKey]uint32{five: 2, six: 1}, active())

	// Weight 0 takes no new connections and keeps those that are there.
	require.NoError(t, ipvsChange(h, "-e -t 10.96.0.1:80 -r 10.244.0.5:8080 -m -w 0"))
	require.Equal(t, "10.244.0.6:8080", send(t, h, from("10.244.0.9:1003", vipkit.TCP)))
	require.Equal(t, "10.244.0.5:8080", send(t, h, first))

	closed, err := h.Close(first)
	require.NoError(t, err)
	require.True(t, closed)
	require.Equal(t, map[ipvs.DestKey]uint32{five: 1, six: 2}, active())

	// A destination that is gone loses its connections: a packet is lost, the
	// next one begins anew.
	last := from("10.244.0.9:1002", vipkit.TCP)
	apply("service web tcp\n frontend ClusterIP 10.96.0.1:80\n endpoint 10.244.0.6:8080\n")
	require.Equal(t, "dropped", send(t, h, last))
	require.Equal(t, "10.244.0.6:8080", send(t, h, last))
}

func ipvsChange(h *kerneltest.Host, line string) error {
	var c ipvs.Change
	if err := c.UnmarshalText([]byte(line)); err != nil {
		return err
	}
	return errors.Join(h.IPVS.Apply(context.Background(), []ipvs.Change{c})...)
}

func TestSendAffinity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := served(t, two+"  affinity 1m0s\n")
		require.Equal(t, "10.244.0.5:8080", send(t, h, from("10.244.0.9:1", vipkit.TCP)))
		require.Equal(t, "10.244.0.5:8080", send(t, h, from("10.244.0.9:2", vipkit.TCP)))
		require.Equal(t, "10.244.0.6:8080", send(t, h, from("10.244.0.10:1", vipkit.TCP)), "another client")
		time.Sleep(2 * time.Minute) //nolint:forbidigo // synctest: nobody waits
		require.Equal(t, "10.244.0.5:8080", send(t, h, from("10.244.0.10:2", vipkit.TCP)), "nobody's turn is kept")
	})
}

func TestSendAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := served(t, "service dns udp\n frontend ClusterIP 10.96.0.1:80\n endpoint 10.244.0.5:53\n")
		require.Equal(t, "10.244.0.5:53", send(t, h, from("10.244.0.9:1", vipkit.UDP)))
		time.Sleep(4 * time.Minute) //nolint:forbidigo // synctest: nobody waits
		require.Len(t, h.Connections(), 1)
		time.Sleep(2 * time.Minute) //nolint:forbidigo // synctest: nobody waits
		require.Empty(t, h.Connections())
	})
}

// Every scheduler picks one of those that it may.
func TestSendSchedulers(t *testing.T) {
	for _, scheduler := range ipvs.Schedulers() {
		t.Run(scheduler, func(t *testing.T) {
			h, _ := served(t, `
service web tcp
  frontend ClusterIP 10.96.0.1:80
  endpoint 10.244.0.5:8080 weight 3
  endpoint 10.244.0.6:8080 weight 1
  endpoint 10.244.0.7:8080 weight 0
  scheduler `+scheduler+"\n")
			got := make(map[string]int)
			for i := range 40 {
				got[send(t, h, from(fmt.Sprintf("10.244.0.%d:1", 10+i), vipkit.TCP))]++
			}
			require.NotContains(t, got, "10.244.0.7:8080")
			require.Equal(t, 40, got["10.244.0.5:8080"]+got["10.244.0.6:8080"])
			switch scheduler {
			case "rr":
				require.Equal(t, 20, got["10.244.0.5:8080"])
			case "wrr", "wlc":
				require.Equal(t, 30, got["10.244.0.5:8080"])
			case "fo":
				require.Equal(t, 40, got["10.244.0.5:8080"])
			}
		})
	}
}

// What is not modelled is an error that names the rule, never a guess.
func TestTraceDoesNotGuess(t *testing.T) {
	h, _ := served(t, two)
	require.NoError(t, h.Load("-- iptables --\n*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m statistic --mode random --probability 0.5 -j DROP\nCOMMIT\n"))
	_, err := h.Trace(from("10.244.0.9:1", vipkit.TCP))
	require.ErrorContains(t, err, "filter INPUT 1")
	require.ErrorContains(t, err, "does not know -m statistic")
}

func TestTraceNeedsSettings(t *testing.T) {
	h, _ := served(t, "service web tcp\n frontend ExternalIP 10.96.0.1:80\n endpoint 10.244.0.5:8080\n")
	client := from("198.51.100.9:1", vipkit.TCP)
	verdict := func() string {
		v, err := h.Trace(client)
		require.NoError(t, err)
		require.Len(t, v, 1)
		return v[0].String()
	}
	require.Equal(t, "endpoint 10.244.0.5:8080 sees 10.244.0.1", verdict())
	require.NoError(t, h.Sysctl.Set(t.Context(), "net.ipv4.vs.conntrack", "0"))
	require.Equal(t, "endpoint 10.244.0.5:8080 sees 198.51.100.9", verdict(), "no source NAT of what conntrack does not see")
	require.NoError(t, h.Sysctl.Set(t.Context(), "net.ipv4.ip_forward", "0"))
	require.Contains(t, verdict(), "unanswered: this host does not forward the answer")
}

// What a plan would make of packets can be asked before it is applied, and a
// host that was captured sends them the same ways.
func TestPlayAndCapture(t *testing.T) {
	host, _ := served(t, two)
	copied := kerneltest.New()
	network, err := oracle.ParseNetwork(network)
	require.NoError(t, err)
	text, err := kerneltest.Capture(t.Context(), host.Kernel(), "vipkit0", network)
	require.NoError(t, err)
	require.NoError(t, copied.Load(text))
	again, err := kerneltest.Capture(t.Context(), copied.Kernel(), "vipkit0", copied.Network)
	require.NoError(t, err)
	require.Equal(t, text, again)

	p, err := proxier.New(copied.Kernel(), &proxier.Config{ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}})
	require.NoError(t, err)
	services, err := proxier.ParseServices("service web tcp\n frontend ClusterIP 10.96.0.1:80\n endpoint 10.244.0.7:8080\n")
	require.NoError(t, err)
	plan, err := p.Plan(t.Context(), services)
	require.NoError(t, err)
	client := from("10.244.0.9:1", vipkit.TCP)
	before, err := copied.Trace(client)
	require.NoError(t, err)
	require.Len(t, before, 2)
	require.NoError(t, copied.Play(t.Context(), plan))
	after, err := copied.Trace(client)
	require.NoError(t, err)
	require.Len(t, after, 1)
	require.Equal(t, "10.244.0.7:8080", after[0].To.String())
	applied, err := proxier.New(copied.Kernel(), &proxier.Config{ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}})
	require.NoError(t, err)
	left, err := applied.Plan(t.Context(), services)
	require.NoError(t, err)
	require.Empty(t, left.String(), "playing a plan is applying it")
}
