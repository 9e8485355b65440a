package proxier_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/ports"
	"github.com/vipkit/vipkit/proxier"
)

// Node ports are held for as long as a service has them; one that a program of
// the host has is refused by the program's name, and the others proceed.
func TestHoldPorts(t *testing.T) {
	host := kerneltest.New()
	config := packetConfig()
	config.HoldPorts = true
	p, err := proxier.New(host.Kernel(), &config)
	require.NoError(t, err)
	key := func(addr string, port uint16) ports.Key {
		return ports.Key{Protocol: vipkit.TCP, Addr: netip.MustParseAddr(addr), Port: port}
	}
	apply := func(text string) (proxier.Report, error) {
		services, err := proxier.ParseServices(text)
		require.NoError(t, err)
		return p.ApplyServices(t.Context(), services)
	}
	const one = `
service a/one tcp
  frontend ClusterIP 10.96.0.1:80
  frontend NodePort 0.0.0.0:30001
  endpoint 10.244.0.5:80
`
	const other = `
service b/two tcp
  frontend NodePort 0.0.0.0:30002
  endpoint 10.244.0.5:80
`
	host.Ports.Take(key("198.51.100.1", 30002), "process 4711: nginx")
	report, err := apply(one + other)
	require.ErrorIs(t, err, vipkit.ErrInUse)
	require.ErrorContains(t, err, `service "b/two": frontends[0]: hold port tcp 198.51.100.1:30002: in use (process 4711: nginx)`)
	require.Equal(t, []string{"a/one"}, report.Programmed)
	require.Equal(t, map[ports.Key]bool{key("198.51.100.1", 30001): true}, host.Ports.Held())

	host.Ports.Take(key("198.51.100.1", 30002), "")
	_, err = apply(one + other)
	require.NoError(t, err, "asked again")
	require.Len(t, host.Ports.Held(), 2)

	// A port that goes to another service is held throughout.
	_, err = apply("service c/three tcp\n frontend NodePort 0.0.0.0:30001\n endpoint 10.244.0.6:80\n")
	require.NoError(t, err)
	require.Equal(t, map[ports.Key]bool{key("198.51.100.1", 30001): true}, host.Ports.Held())

	_, err = p.Apply(t.Context(), proxier.Changes{Delete: []string{"c/three"}})
	require.NoError(t, err)
	require.Empty(t, host.Ports.Held())

	_, err = apply(one)
	require.NoError(t, err)
	before := host.Dump("vipkit0")
	require.NoError(t, p.Close())
	require.Empty(t, host.Ports.Held())
	require.Equal(t, before, host.Dump("vipkit0"), "the kernel stays as it is")

	// Planning takes nothing.
	_, err = p.Plan(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, host.Ports.Held())

	kernel := host.Kernel()
	kernel.Ports = nil
	_, err = proxier.New(kernel, &config)
	require.ErrorContains(t, err, "config: holdPorts: the kernel has no client for ports")
}
