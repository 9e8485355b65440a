package iptables

import (
	"context"
	"errors"

	"github.com/vipkit/vipkit"
)

// Table is one table with its chains, as iptables-save prints it.
type Table struct {
	// Name is "raw", "mangle", "nat", "filter" or "security".
	Name string
	// Chains are in the order of iptables-save.
	Chains []Chain
}

// Chain is a chain and its rules.
type Chain struct {
	// Name is at most 28 bytes.
	Name string
	// Policy is "ACCEPT" or "DROP" for a built-in chain and "" for one of
	// somebody's own.
	Policy string
	// Rules are in the order in which packets meet them.
	Rules []Rule
	// Counters are those of the policy; RuleCounters those of Rules, one each.
	// They are read only where that was asked for ([Config].Counters,
	// [ParseCounters]), and are zero and nil otherwise: what a chain is does
	// not depend on what it has seen.
	Counters     Counters
	RuleCounters []Counters
}

// Rule is the specification of a rule in the words of iptables-save, without
// the leading "-A CHAIN": "-p tcp -m tcp --dport 22 -j ACCEPT". Two rules are
// equal (==) when iptables-save prints them alike. [Normalize] makes a
// rule that somebody wrote into what the tool would print.
type Rule string

// ErrLocked means that another process held the lock of the legacy back end for as
// long as the context let Restore wait. The error is of kind
// context.DeadlineExceeded too, and its Detail names the process where that can be
// found out.
var ErrLocked = errors.New("xtables lock is held by another process")

// Verb is what an [Edit] does.
type Verb uint8

// Verbs of an Edit, each a line of iptables-restore's input.
const (
	// NewChain declares a chain of the caller's own: creates it, or flushes it
	// if it is there (":CHAIN - [0:0]").
	NewChain Verb = iota + 1
	// Append adds a rule at the end ("-A CHAIN RULE").
	Append
	// Insert adds a rule at position Pos, counted from 1 and at most one more
	// than there are rules ("-I CHAIN POS RULE"). Not for a chain that the same
	// edits have declared: append to that in order. Nor, except as the first rule,
	// in front of one that the same edits add and delete again: nft refuses it.
	Insert
	// Delete removes the first rule equal to Rule ("-D CHAIN RULE"). Not for a
	// chain that the same edits have declared: leave the rule out.
	Delete
	// DeleteChain removes an empty chain that nothing jumps to ("-X CHAIN").
	DeleteChain
	// SetPolicy sets a built-in chain's policy and its counters, to zero if none
	// are given (":CHAIN POLICY [0:0]"). The chain's rules stay.
	SetPolicy
)

// Edit is one line of a restore. It is comparable.
type Edit struct {
	Table string
	Verb  Verb
	Chain string
	// Pos is that of Insert, and 0 for every other verb.
	Pos int
	// Rule is that of Append, Insert and Delete, in any form that the tools
	// take. A chain that it jumps to must be there by then.
	Rule Rule
	// Policy is that of SetPolicy, "ACCEPT" or "DROP", and "" for every other
	// verb.
	Policy string
	// Counters are what a rule of Append or Insert, or the policy of SetPolicy,
	// begins with. A rule that is moved keeps its own that way.
	Counters Counters
}

// Info is what the tools say of themselves.
type Info struct {
	// Version is that of the tools, such as 1.8.9.
	Version [3]int
	// Backend is "nft" or "legacy".
	Backend string
	// RandomFully reports whether MASQUERADE takes --random-fully (1.6.2).
	RandomFully bool
}

// Client is iptables of both families, or something that answers alike. All
// methods are safe for concurrent use. A context that is done before the call
// leaves everything unchanged.
type Client interface {
	// Info returns the tool's version and back end for a family. It fails
	// with errors.ErrUnsupported where the tool is missing.
	Info(ctx context.Context, f vipkit.Family) (Info, error)

	// Save returns the named tables, or with none named every table that is in
	// use, in the order raw, mangle, nat, filter, security. A named table that
	// is not in use (no rule, no chain but the built-in ones, whose policies
	// are ACCEPT) comes with no chains. Rules are as [Normalize] writes them;
	// counters come with them if the implementation was told so. It changes
	// nothing, and fails with fs.ErrInvalid for a table that the kernel does not
	// have, fs.ErrPermission, or errors.ErrUnsupported.
	Save(ctx context.Context, f vipkit.Family, tables ...string) ([]Table, error)

	// Restore carries out edits with one iptables-restore --noflush. All edits
	// of one table happen together or not at all, in the order given;
	// tables follow one another in the order of their first edit. An error is
	// a *vipkit.OpError whose Object is the edit refused (of the legacy back
	// end sometimes all edits of its table in short) and whose Detail is
	// the tool's own words; its kind is fs.ErrInvalid (no such match, target or
	// set, a jump to a chain that is not there, a loop, a rule malformed or out
	// of place), fs.ErrNotExist (no such chain, no such rule to delete),
	// vipkit.ErrInUse (a chain to delete has rules, or jumps to it),
	// fs.ErrPermission, errors.ErrUnsupported, or the context's (with
	// [ErrLocked] where another process kept the lock until then). What the
	// tables before the refused one were asked is then done. Edits that
	// [Validate] refuses change nothing at all.
	Restore(ctx context.Context, f vipkit.Family, edits []Edit) error
}
