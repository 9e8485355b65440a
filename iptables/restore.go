package iptables

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxRuleLen bounds a rule's text. iptables-restore reads lines into a buffer of
// 10240 bytes and takes the rest of a longer one for a line of its own.
const maxRuleLen = 8192

// String returns the edit as a line of iptables-restore's input behind its
// table: "nat -A VIPKIT-SVC -j RETURN".
func (e Edit) String() string { return e.Table + " " + e.line() }

// line returns the edit as a line of iptables-restore's input.
func (e Edit) line() string {
	counters := ""
	if e.Counters != (Counters{}) {
		counters = e.Counters.String() + " "
	}
	switch e.Verb {
	case NewChain:
		return ":" + e.Chain + " - [0:0]"
	case SetPolicy:
		return ":" + e.Chain + " " + e.Policy + " " + e.Counters.String()
	case Append:
		return ruleLine(counters+"-A "+e.Chain, e.Rule)
	case Insert:
		return ruleLine(counters+"-I "+e.Chain+" "+strconv.Itoa(e.Pos), e.Rule)
	case Delete:
		return ruleLine("-D "+e.Chain, e.Rule)
	case DeleteChain:
		return "-X " + e.Chain
	}
	return fmt.Sprintf("verb %d on chain %s", e.Verb, e.Chain)
}

// input is what iptables-restore reads, and which edit each line came from.
type input struct {
	text string
	// edits has the index of the edit of each line, counted from 1, and -1 for
	// lines that are no edit. tables has the line's table.
	edits  []int
	tables []string
}

// render writes edits, table by table in the order of their first one.
func render(edits []Edit) input {
	in := input{edits: []int{-1}, tables: []string{""}}
	var b strings.Builder
	write := func(table, line string, edit int) {
		b.WriteString(line + "\n")
		in.edits = append(in.edits, edit)
		in.tables = append(in.tables, table)
	}
	for _, table := range tablesOf(edits) {
		write(table, "*"+table, -1)
		for i, e := range edits {
			if e.Table == table {
				write(table, e.line(), i)
			}
		}
		write(table, "COMMIT", -1)
	}
	in.text = b.String()
	return in
}

// tablesOf returns the tables of edits in the order of the first of each.
func tablesOf(edits []Edit) []string {
	var tables []string
	for _, e := range edits {
		if !slices.Contains(tables, e.Table) {
			tables = append(tables, e.Table)
		}
	}
	return tables
}

// RestoreText returns edits as the input that Restore gives to iptables-restore:
// what an operator would pipe into it.
func RestoreText(edits []Edit) string { return render(edits).text }
