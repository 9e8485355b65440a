package iptables

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
)

// TestClassify reads messages as iptables 1.8.9 prints them, each recorded.
func TestClassify(t *testing.T) {
	const (
		nft    = "iptables-nft-restore v1.8.9 (nf_tables): "
		legacy = "iptables-restore v1.8.9 (legacy): "
		hint   = "Try `iptables-restore -h' or 'iptables-restore --help' for more information.\n"
	)
	for _, c := range []struct {
		stderr string
		want   failure
	}{
		// The nft back end.
		{nft + "Set nosuch doesn't exist.\n\nError occurred at line: 3\n" + hint,
			failure{line: 3, kind: fs.ErrInvalid, detail: "Set nosuch doesn't exist."}},
		{nft + "Chain 'NONE' does not exist\nError occurred at line: 4\n" + hint,
			failure{line: 4, kind: fs.ErrInvalid, chain: "NONE", detail: "Chain 'NONE' does not exist"}},
		{nft + "Couldn't load match `nope':No such file or directory\n\nError occurred at line: 3\n" + hint,
			failure{line: 3, kind: fs.ErrInvalid, detail: "Couldn't load match `nope':No such file or directory"}},
		{"iptables-nft-restore: line 2 failed: No chain/target/match by that name.\n",
			failure{line: 2, kind: fs.ErrNotExist, detail: "line 2 failed: No chain/target/match by that name."}},
		{"ip6tables-nft-restore: line 2 failed: Bad rule (does a matching rule exist in that chain?).\n",
			failure{line: 2, kind: fs.ErrNotExist, detail: "line 2 failed: Bad rule (does a matching rule exist in that chain?)."}},
		{"iptables-nft-restore: line 2 failed: Index of insertion too big.\n",
			failure{line: 2, kind: fs.ErrInvalid, detail: "line 2 failed: Index of insertion too big."}},
		{nft + "\nline 4: CHAIN_DEL failed (Device or resource busy): chain A\n",
			failure{line: 4, kind: vipkit.ErrInUse, detail: "line 4: CHAIN_DEL failed (Device or resource busy): chain A"}},
		{nft + "\nline 5: RULE_APPEND failed (Too many links): rule in chain B\n",
			failure{line: 5, kind: fs.ErrInvalid, detail: "line 5: RULE_APPEND failed (Too many links): rule in chain B"}},
		{nft + "\nline 2: RULE_APPEND failed (No such file or directory): rule in chain INPUT\n",
			failure{line: 2, kind: fs.ErrInvalid, detail: "line 2: RULE_APPEND failed (No such file or directory): rule in chain INPUT"}},
		{nft + "\nline 3: RULE_APPEND failed (Invalid argument): rule in chain G\nline 4: RULE_APPEND failed (Invalid argument): rule in chain G\n",
			failure{line: 3, kind: fs.ErrInvalid, detail: "line 3: RULE_APPEND failed (Invalid argument): rule in chain G; line 4: RULE_APPEND failed (Invalid argument): rule in chain G"}},
		{nft + "\nline 3: RULE_INSERT failed (No such file or directory): rule in chain A\nline 4: RULE_DELETE failed (No such file or directory): rule in chain A\n",
			failure{line: 3, kind: fs.ErrInvalid, detail: "line 3: RULE_INSERT failed (No such file or directory): rule in chain A; line 4: RULE_DELETE failed (No such file or directory): rule in chain A"}},
		{nft + "Could not fetch rule set generation id: Permission denied (you must be root)\n",
			failure{kind: fs.ErrPermission, detail: "Could not fetch rule set generation id: Permission denied (you must be root)"}},
		{nft + "iptables-nft-restore: line 1 table name 'bogus' invalid\nError occurred at line: 1\n" + hint,
			failure{line: 1, kind: fs.ErrInvalid, detail: "line 1 table name 'bogus' invalid"}},
		// The legacy back end.
		{"iptables-restore: line 2 failed\n", failure{line: 2, detail: "line 2 failed"}},
		{legacy + "Couldn't load target `NONE':No such file or directory\n\nError occurred at line: 3\n" + hint,
			failure{line: 3, kind: fs.ErrInvalid, detail: "Couldn't load target `NONE':No such file or directory"}},
		{legacy + "goto 'T2' is not a chain\nError occurred at line: 37\n" + hint,
			failure{line: 37, kind: fs.ErrInvalid, chain: "T2", detail: "goto 'T2' is not a chain"}},
		{legacy + "unknown option \"--bogus\"\nError occurred at line: 2\n" + hint,
			failure{line: 2, kind: fs.ErrInvalid, detail: "unknown option \"--bogus\""}},
		{"Bad argument `INPUT'\nError occurred at line: 2\n" + hint,
			failure{line: 2, kind: fs.ErrInvalid, detail: "Bad argument `INPUT'"}},
		{legacy + "iptables-restore: unable to initialize table 'nat'\nError occurred at line: 1\n" + hint,
			failure{line: 1, table: true, detail: "unable to initialize table 'nat'"}},
		{"Fatal: can't open lock file /run/xtables.lock: Permission denied\n",
			failure{kind: fs.ErrPermission, detail: "Fatal: can't open lock file /run/xtables.lock: Permission denied"}},
		{"Another app is currently holding the xtables lock. Stopped waiting after 1s.\n",
			failure{locked: true, detail: "Another app is currently holding the xtables lock. Stopped waiting after 1s."}},
		{"iptables-save v1.8.9 (legacy): Cannot initialize: Permission denied (you must be root)\n",
			failure{kind: fs.ErrPermission, detail: "Cannot initialize: Permission denied (you must be root)"}},
		{"iptables-save v1.8.9 (legacy): Cannot initialize: Table does not exist (do you need to insmod?)\n",
			failure{kind: errors.ErrUnsupported, detail: "Cannot initialize: Table does not exist (do you need to insmod?)"}},
		// Kernels without the modules.
		{"Warning: Extension set revision 0 not supported, missing kernel module?\n" + nft + "\nline 3: RULE_APPEND failed (No such file or directory): rule in chain A\n",
			failure{line: 3, kind: errors.ErrUnsupported, detail: "line 3: RULE_APPEND failed (No such file or directory): rule in chain A; missing kernel module xt_set"}},
		{"Warning: Extension MASQUERADE revision 0 not supported, missing kernel module?\niptables-restore: line 4 failed\n",
			failure{line: 4, kind: errors.ErrUnsupported, detail: "line 4 failed; missing kernel module xt_MASQUERADE"}},
		// The warning alone is no reason: tools print it for revisions that no kernel
		// has any more.
		{"Warning: Extension set revision 0 not supported, missing kernel module?\nWarning: Extension set revision 0 not supported, missing kernel module?\n" +
			nft + "Set nosuch doesn't exist.\n\nError occurred at line: 3\n" + hint,
			failure{line: 3, kind: fs.ErrInvalid, detail: "Set nosuch doesn't exist."}},
		{"Warning: Extension set revision 0 not supported, missing kernel module?\nWarning: Extension set revision 0 not supported, missing kernel module?\n",
			failure{kind: errors.ErrUnsupported, detail: "missing kernel module xt_set"}},
		{nft + "Kernel module xt_set is not loaded in.\n\n",
			failure{kind: errors.ErrUnsupported, detail: "Kernel module xt_set is not loaded in."}},
		{"modprobe: ERROR: could not insert 'ip_tables': Unknown symbol in module, or unknown parameter (see dmesg)\niptables-save v1.8.9 (legacy): Cannot initialize: iptables who? (do you need to insmod?)\n",
			failure{kind: errors.ErrUnsupported, detail: "Cannot initialize: iptables who? (do you need to insmod?)"}},
		{nft + "Could not fetch rule set generation id: Invalid argument\n",
			failure{kind: errors.ErrUnsupported, detail: "Could not fetch rule set generation id: Invalid argument"}},
		// What nobody has seen.
		{"", failure{}},
		{"something else\n", failure{detail: "something else"}},
	} {
		require.Equal(t, c.want, classify(c.stderr), "%s", c.stderr)
	}
}

func TestDiagnose(t *testing.T) {
	before := Table{Name: "nat", Chains: []Chain{
		{Name: "PREROUTING", Policy: "ACCEPT", Rules: []Rule{"-j USED"}},
		{Name: "EMPTY"}, {Name: "USED"}, {Name: "FULL", Rules: []Rule{"-j RETURN"}},
	}}
	first := []Edit{
		{Table: "nat", Verb: NewChain, Chain: "NEW"},
		{Table: "filter", Verb: NewChain, Chain: "ELSEWHERE"},
		{Table: "nat", Verb: DeleteChain, Chain: "EMPTY"},
	}
	for _, c := range []struct {
		e    Edit
		want error
	}{
		{Edit{Table: "nat", Verb: Append, Chain: "NONE"}, fs.ErrNotExist},
		{Edit{Table: "nat", Verb: Append, Chain: "ELSEWHERE"}, fs.ErrNotExist},
		{Edit{Table: "nat", Verb: Append, Chain: "EMPTY"}, fs.ErrNotExist},
		{Edit{Table: "nat", Verb: Append, Chain: "NEW"}, fs.ErrInvalid},
		{Edit{Table: "nat", Verb: Insert, Chain: "INPUT", Pos: 9}, fs.ErrInvalid},
		{Edit{Table: "nat", Verb: Delete, Chain: "FULL"}, fs.ErrNotExist},
		{Edit{Table: "nat", Verb: DeleteChain, Chain: "EMPTY"}, fs.ErrNotExist},
		{Edit{Table: "nat", Verb: DeleteChain, Chain: "FULL"}, vipkit.ErrInUse},
		{Edit{Table: "nat", Verb: DeleteChain, Chain: "USED"}, vipkit.ErrInUse},
	} {
		require.Equal(t, c.want, diagnose(before, append(first, c.e), len(first)), "%v", c.e)
	}
}

// TestRefusedEdits finds the edits behind a line of the input.
func TestRefusedEdits(t *testing.T) {
	edits := []Edit{
		{Table: "nat", Verb: NewChain, Chain: "A"},                          // 2
		{Table: "filter", Verb: NewChain, Chain: "F"},                       // 7
		{Table: "nat", Verb: Append, Chain: "A", Rule: "-j B"},              // 3
		{Table: "filter", Verb: Append, Chain: "F", Rule: "-j MASQUERADE"},  // 8
		{Table: "nat", Verb: Insert, Chain: "A", Pos: 1, Rule: "-j RETURN"}, // 4
	}
	in := render(edits)
	require.Equal(t, "*nat\n:A - [0:0]\n-A A -j B\n-I A 1 -j RETURN\nCOMMIT\n*filter\n:F - [0:0]\n-A F -j MASQUERADE\nCOMMIT\n", in.text)
	for _, c := range []struct {
		f    failure
		want string
	}{
		{failure{}, ""},
		{failure{line: 99}, ""},
		{failure{line: 3}, "nat -A A -j B"},
		{failure{line: 8}, "filter -A F -j MASQUERADE"},
		{failure{line: 5, chain: "B"}, "nat -A A -j B"},
		{failure{line: 5}, "nat :A - [0:0]; -A A -j B; -I A 1 -j RETURN"},
		{failure{line: 9}, "filter -A F -j MASQUERADE"}, // the only rule there is
	} {
		require.Equal(t, c.want, describe(in.refused(edits, c.f)), "%+v", c.f)
	}
	require.Equal(t, "nat :A - [0:0]; :A - [0:0]; :A - [0:0]; and 1 more", describe([]Edit{edits[0], edits[0], edits[0], edits[0]}))
}
