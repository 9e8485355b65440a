package iptables_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/iptables"
)

// printed is a rule as somebody wrote it and as iptables-save 1.8.9 printed it,
// the same on both back ends.
type printed struct {
	table, chain string
	wrote, want  iptables.Rule
}

// readPrinted reads a file of testdata: "TABLE CHAIN RULE" and, behind a tab in
// the next line, what was printed; or only what was printed where that is all
// that vipkit has to understand.
func readPrinted(t *testing.T, name string) (all []printed) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if want, ok := strings.CutPrefix(line, "\t"); ok {
			all[len(all)-1].want = iptables.Rule(want)
			continue
		}
		words := append(strings.SplitN(line, " ", 3), "")
		all = append(all, printed{words[0], words[1], iptables.Rule(words[2]), iptables.Rule(words[2])})
	}
	require.NotEmpty(t, all)
	return all
}

// families names the files of each.
var families = map[vipkit.Family]string{vipkit.IPv4: "ipv4", vipkit.IPv6: "ipv6"}

// TestPrinted holds Normalize against the tools, and shows that a rule that they
// print can be taken apart.
func TestPrinted(t *testing.T) {
	for f, name := range families {
		for _, file := range []string{"printed-" + name + ".txt", "printed-" + name + "-ipvs.txt", "foreign-" + name + ".txt"} {
			for _, p := range readPrinted(t, file) {
				require.Equal(t, p.want, iptables.Normalize(f, p.wrote), "%s", p.wrote)
				require.Equal(t, p.want, iptables.Normalize(f, p.want), "not stable")
				_, err := p.want.Parse()
				require.NoError(t, err, "%s", p.want)
			}
		}
	}
}

// TestSpec pins the shape of what Parse returns for rules as the tools print them.
func TestSpec(t *testing.T) {
	set := func(value string) iptables.Condition { return iptables.Condition{Set: true, Value: value} }
	not := func(value string) iptables.Condition { return iptables.Condition{Set: true, Not: true, Value: value} }
	option := func(name string, args ...string) iptables.Option { return iptables.Option{Name: name, Args: args} }
	negated := func(name string, args ...string) iptables.Option {
		return iptables.Option{Not: true, Name: name, Args: args}
	}
	ext := func(name string, options ...iptables.Option) iptables.Extension {
		return iptables.Extension{Name: name, Options: options}
	}
	accept := ext("ACCEPT")
	matches := func(m ...iptables.Extension) []iptables.Extension { return m }
	for rule, want := range map[iptables.Rule]iptables.Spec{
		"":                               {},
		"-j X":                           {Target: ext("X")},
		"-g X":                           {Target: ext("X"), Goto: true},
		"! -i eth+ -o lo -j ACCEPT":      {In: not("eth+"), Out: set("lo"), Target: accept},
		"-s 10.0.0.0/8 ! -d 10.1.0.7/32": {Source: set("10.0.0.0/8"), Destination: not("10.1.0.7/32")},
		"-p 47 -j ACCEPT":                {Protocol: set("47"), Target: accept},
		"! -p udp -f -j ACCEPT":          {Protocol: not("udp"), Fragment: set(""), Target: accept},
		"-m set ! --match-set S dst,dst,src --return-nomatch ! --update-counters --packets-gt 3": {
			Matches: matches(ext("set", negated("--match-set", "S", "dst,dst,src"), option("--return-nomatch"), negated("--update-counters"), option("--packets-gt", "3"))),
		},
		"-m addrtype --dst-type LOCAL --limit-iface-in -j X": {
			Matches: matches(ext("addrtype", option("--dst-type", "LOCAL"), option("--limit-iface-in"))), Target: ext("X"),
		},
		"-m conntrack ! --ctstate INVALID,NEW --ctorigdst 10.0.0.1 --ctorigdstport 80:81 --ctdir ORIGINAL": {
			Matches: matches(ext("conntrack", negated("--ctstate", "INVALID,NEW"), option("--ctorigdst", "10.0.0.1"), option("--ctorigdstport", "80:81"), option("--ctdir", "ORIGINAL"))),
		},
		"-m ipvs --vproto 6 --vaddr 10.0.0.0/24 ! --vport 80 --vdir ORIGINAL --vmethod MASQ": {
			Matches: matches(ext("ipvs", option("--vproto", "6"), option("--vaddr", "10.0.0.0/24"), negated("--vport", "80"), option("--vdir", "ORIGINAL"), option("--vmethod", "MASQ"))),
		},
		"-m ipvs ! --ipvs":                    {Matches: matches(ext("ipvs", negated("--ipvs")))},
		"-m mark ! --mark 0x4000/0xc000":      {Matches: matches(ext("mark", negated("--mark", "0x4000/0xc000")))},
		"-m physdev --physdev-is-in":          {Matches: matches(ext("physdev", option("--physdev-is-in")))},
		`-m comment --comment "a \"b\" -j c"`: {Matches: matches(ext("comment", option("--comment", `a "b" -j c`)))},
		"-m statistic --mode nth --every 3 --packet 0": {
			Matches: matches(ext("statistic", option("--mode", "nth"), option("--every", "3"), option("--packet", "0"))),
		},
		"-p tcp -m tcp --sport 1:5 ! --dport 80 --tcp-flags FIN,SYN,RST,ACK SYN -m multiport --dports 1,5:7": {
			Protocol: set("tcp"), Matches: matches(
				ext("tcp", option("--sport", "1:5"), negated("--dport", "80"), option("--tcp-flags", "FIN,SYN,RST,ACK", "SYN")),
				ext("multiport", option("--dports", "1,5:7"))),
		},
		"-p ipv6-icmp -m icmp6 --icmpv6-type 1/4": {Protocol: set("ipv6-icmp"), Matches: matches(ext("icmp6", option("--icmpv6-type", "1/4")))},
		"-j MARK --set-xmark 0x4000/0xffffffff":   {Target: ext("MARK", option("--set-xmark", "0x4000/0xffffffff"))},
		"-j MASQUERADE --to-ports 5-7 --random --random-fully": {
			Target: ext("MASQUERADE", option("--to-ports", "5-7"), option("--random"), option("--random-fully")),
		},
		"-j SET --add-set A src --exist --timeout 30 --del-set B dst --map-set S dst,dst --map-mark": {
			Target: ext("SET", option("--add-set", "A", "src"), option("--exist"), option("--timeout", "30"), option("--del-set", "B", "dst"), option("--map-set", "S", "dst,dst"), option("--map-mark")),
		},
		"-p tcp -j DNAT --to-destination [fd00::1-fd00::5]:80-90 --random --persistent": {
			Protocol: set("tcp"), Target: ext("DNAT", option("--to-destination", "[fd00::1-fd00::5]:80-90"), option("--random"), option("--persistent")),
		},
		"-j CT --notrack":                           {Target: ext("CT", option("--notrack"))},
		"-j CT --ctevents new,destroy --zone 3":     {Target: ext("CT", option("--ctevents", "new,destroy"), option("--zone", "3"))},
		"-j TCPMSS --clamp-mss-to-pmtu":             {Target: ext("TCPMSS", option("--clamp-mss-to-pmtu"))},
		"-j REJECT --reject-with icmp6-no-route":    {Target: ext("REJECT", option("--reject-with", "icmp6-no-route"))},
		`-j LOG --log-prefix "x: " --log-level 7`:   {Target: ext("LOG", option("--log-prefix", "x: "), option("--log-level", "7"))},
		"-m bpf --bytecode \"4,48 0 0 9,21 0 1 6\"": {Matches: matches(ext("bpf", option("--bytecode", "4,48 0 0 9,21 0 1 6")))},
	} {
		have, err := rule.Parse()
		require.NoError(t, err, "%s", rule)
		require.Equal(t, want, have, "%s", rule)
	}
}
