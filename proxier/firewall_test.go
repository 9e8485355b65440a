package proxier_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
	"github.com/vipkit/vipkit/iptables"
	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/proxier"
)

type countingConntrack struct{ conntrack.Client }

func (countingConntrack) Count(context.Context) (n, limit int, err error) { return 950, 1000, nil }

const (
	acceptOpen        = "-m set --match-set VIPKIT-OPEN-4 dst,dst -j ACCEPT"
	acceptEstablished = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
)

// TestPreflightFirewall says of rules of others what can be said without guessing.
func TestPreflightFirewall(t *testing.T) {
	for _, tt := range []struct {
		name   string
		table  string
		rules  string
		chain  string // of the obstacle; empty: there is none
		rule   iptables.Rule
		except int
		allow  []iptables.Rule
	}{
		{name: "nothing", table: "filter", rules: ":INPUT ACCEPT\n:FORWARD ACCEPT\n"},
		{
			name: "input policy", table: "filter", rules: ":INPUT DROP\n:FORWARD ACCEPT\n",
			chain: "INPUT", allow: []iptables.Rule{acceptEstablished, acceptOpen},
		},
		{
			name: "forward policy", table: "filter", rules: ":INPUT ACCEPT\n:FORWARD DROP\n",
			chain: "FORWARD", allow: []iptables.Rule{acceptEstablished},
		},
		{
			name: "output policy", table: "filter", rules: ":OUTPUT DROP\n-A OUTPUT -o lo -j ACCEPT\n",
			chain: "OUTPUT", except: 1, allow: []iptables.Rule{acceptEstablished, "-m ipvs --ipvs -j ACCEPT"},
		},
		{
			name: "input policy, answers pass", table: "filter", rules: ":INPUT DROP\n-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n",
			chain: "INPUT", except: 1, allow: []iptables.Rule{acceptOpen},
		},
		{name: "forward policy, answers pass", table: "filter", rules: ":FORWARD DROP\n-A FORWARD -m comment --comment \"they asked\" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"},
		{
			name: "a rule without a condition", table: "filter", rules: ":INPUT ACCEPT\n-A INPUT -m comment --comment last -j REJECT --reject-with icmp-port-unreachable\n",
			chain: "INPUT", rule: "-j REJECT --reject-with icmp-port-unreachable", allow: []iptables.Rule{acceptEstablished, acceptOpen},
		},
		{
			name: "behind jumps", table: "filter",
			rules: ":INPUT ACCEPT\n:a - [0:0]\n:b - [0:0]\n-A INPUT -j a\n-A a -s 10.0.0.0/8 -j b\n-A a -j b\n-A b -p tcp -j RETURN\n-A b -j DROP\n",
			chain: "INPUT", rule: "-j DROP", except: 1, allow: []iptables.Rule{acceptEstablished, acceptOpen},
		},
		{
			name: "allowed behind jumps", table: "filter",
			rules: ":FORWARD DROP\n:a - [0:0]\n-A FORWARD -j a\n-A a " + acceptEstablished + "\n",
		},
		{name: "accepted before", table: "filter", rules: ":FORWARD DROP\n-A FORWARD -j ACCEPT\n-A FORWARD -j DROP\n"},
		{name: "returned before", table: "filter", rules: ":FORWARD ACCEPT\n:a - [0:0]\n-A FORWARD -j a\n-A a -j RETURN\n-A a -j DROP\n"},
		{name: "with a condition", table: "filter", rules: ":FORWARD ACCEPT\n-A FORWARD -s 192.0.2.0/24 -j DROP\n"},
		{
			name: "goto", table: "filter", rules: ":FORWARD DROP\n:a - [0:0]\n-A FORWARD -g a\n-A FORWARD -j ACCEPT\n",
			chain: "FORWARD", allow: []iptables.Rule{acceptEstablished},
		},
		{name: "another table", table: "mangle", rules: ":FORWARD DROP\n", chain: "FORWARD"},
		{name: "before everything", table: "raw", rules: ":PREROUTING ACCEPT\n-A PREROUTING -j DROP\n", chain: "PREROUTING", rule: "-j DROP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			host := kerneltest.New()
			require.NoError(t, host.IPTables.Load(vipkit.IPv4, "*"+tt.table+"\n"+tt.rules+"COMMIT\n"))
			_, pre := preflight(t, host.Kernel(), nil, preflightServices)
			require.NoError(t, pre.Err())
			if tt.chain == "" {
				require.Empty(t, pre.Obstacles)
				return
			}
			require.Len(t, pre.Obstacles, 1)
			o := pre.Obstacles[0]
			require.NotEmpty(t, o.Blocks)
			require.Equal(t, []any{vipkit.IPv4, "nft", tt.table, tt.chain, tt.rule, tt.except}, []any{o.Family, o.Backend, o.Table, o.Chain, o.Rule, o.Exceptions})
			require.ElementsMatch(t, tt.allow, o.Allow)
			if len(o.Allow) == 0 {
				return
			}
			// What it says to type is enough.
			p, _ := preflight(t, host.Kernel(), nil, preflightServices)
			services, err := proxier.ParseServices(preflightServices)
			require.NoError(t, err)
			_, err = p.ApplyServices(t.Context(), services)
			require.NoError(t, err)
			for _, r := range o.Allow {
				require.NoError(t, host.IPTables.Restore(t.Context(), o.Family, []iptables.Edit{{Table: o.Table, Verb: iptables.Insert, Chain: o.Chain, Pos: 1, Rule: r}}))
			}
			_, pre = preflight(t, host.Kernel(), nil, preflightServices)
			require.Empty(t, pre.Obstacles)
		})
	}
}

// elsewhereIPTables is a host with rules in both back ends.
type elsewhereIPTables struct{ iptables.Client }

func (elsewhereIPTables) Elsewhere(_ context.Context, f vipkit.Family) (iptables.Elsewhere, error) {
	if f == vipkit.IPv6 {
		return iptables.Elsewhere{Backend: "legacy"}, nil
	}
	tables := []iptables.Table{{Name: "filter", Chains: []iptables.Chain{{Name: "FORWARD", Policy: "DROP"}}}}
	return iptables.Elsewhere{Backend: "legacy", Tables: tables}, nil
}

func TestPreflightElsewhere(t *testing.T) {
	kernel := kerneltest.New().Kernel()
	kernel.IPTables = elsewhereIPTables{kernel.IPTables}
	_, pre := preflight(t, kernel, nil, preflightServices)
	require.Equal(t, []string{"iptables, legacy back end: 0 rules in filter: they are in force too"}, pre.Warnings)
	require.Len(t, pre.Obstacles, 1)
	require.Equal(t, "iptables filter FORWARD (legacy): the policy DROP blocks answers of endpoints to clients elsewhere\n\tto allow it: iptables -t filter -I FORWARD "+acceptEstablished, pre.Obstacles[0].String())
}
