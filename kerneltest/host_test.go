package kerneltest_test

import (
	"errors"
	"io/fs"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/iptables"
	"github.com/vipkit/vipkit/kerneltest"
)

var (
	someSet  = ipset.Set{Name: "S", Type: ipset.HashIP, Family: vipkit.IPv4}
	create   = []ipset.Change{{Op: ipset.CreateSet, Set: someSet}}
	destroy  = []ipset.Change{{Op: ipset.DestroySet, Set: someSet}}
	withSet  = []iptables.Edit{{Table: "filter", Verb: iptables.Append, Chain: "INPUT", Rule: "-m set --match-set S src -j ACCEPT"}}
	lessRule = []iptables.Edit{{Table: "filter", Verb: iptables.Delete, Chain: "INPUT", Rule: withSet[0].Rule}}
)

// What exists only between facilities: rules and the sets that they name.
func TestHostJoinsRulesAndSets(t *testing.T) {
	ctx := t.Context()
	k := kerneltest.New().Kernel()
	require.ErrorIs(t, k.IPTables.Restore(ctx, vipkit.IPv4, withSet), fs.ErrInvalid, "there is no such set")
	require.Nil(t, k.IPSet.Apply(ctx, create))
	require.NoError(t, k.IPTables.Restore(ctx, vipkit.IPv4, withSet))
	require.ErrorIs(t, errors.Join(k.IPSet.Apply(ctx, destroy)...), vipkit.ErrInUse)
	require.NoError(t, k.IPTables.Restore(ctx, vipkit.IPv4, lessRule))
	require.Nil(t, k.IPSet.Apply(ctx, destroy))
}

// A restore asks for sets while a change of sets asks for rules.
func TestHostDoesNotDeadlock(t *testing.T) {
	ctx := t.Context()
	k := kerneltest.New().Kernel()
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			_ = k.IPSet.Apply(ctx, create)
			_ = k.IPSet.Apply(ctx, destroy)
		})
		wg.Go(func() {
			_ = k.IPTables.Restore(ctx, vipkit.IPv4, withSet)
			_ = k.IPTables.Restore(ctx, vipkit.IPv4, lessRule)
		})
	}
	wg.Wait()
}

// A dump loaded into another host is the same host.
func TestDumpLoadRoundTrip(t *testing.T) {
	const dump = `-- ipvsadm --
-A -t 192.0.2.1:80 -s wlc
-a -t 192.0.2.1:80 -r 192.0.2.100:80 -m -w 5
-- ipset --
create S hash:ip family inet maxelem 65536
add S 192.0.2.5
-- iptables --
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m set --match-set S src -j ACCEPT
COMMIT
-- ip --
ip link add vipkit0 type dummy
ip addr add 192.0.2.7/32 dev vipkit0
-- conntrack --
udp      17 src=192.0.2.9 dst=192.0.2.53 sport=40001 dport=53 src=192.0.2.53 dst=192.0.2.9 sport=53 dport=40001 mark=0
`
	host := kerneltest.New()
	require.NoError(t, host.Load(dump))
	require.Equal(t, dump, host.Dump("vipkit0"))
	require.ErrorContains(t, host.Load("-- nft --\n"), "want one of ipvsadm")
	require.ErrorContains(t, host.Load("-- ipset --\nnonsense\n"), "load ipset")
}
