package iptables

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseRestore reads the input of iptables-restore --noflush as edits: what
// [RestoreText] writes, and what operators write as long as it has no commands
// but -A, -I, -D and -X and declares no built-in chain without its policy. Whether
// the edits make sense is for [Validate] to say.
func ParseRestore(text string) ([]Edit, error) {
	var edits []Edit
	table, n := "", 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "" || line[0] == '#':
			continue
		case table == "" && line[0] == '*' && len(line) > 1:
			table = line[1:]
			continue
		case table == "":
			return nil, fmt.Errorf("iptables-restore line %d: %q is in no table", n, line)
		case line == "COMMIT":
			table = ""
			continue
		}
		e, err := parseEdit(line)
		if err != nil {
			return nil, fmt.Errorf("iptables-restore line %d: %w", n, err)
		}
		e.Table = table
		edits = append(edits, e)
	}
	if table != "" {
		return nil, fmt.Errorf("iptables-restore: table %s ends without COMMIT", table)
	}
	return edits, nil
}

// parseEdit reads a line of a table.
func parseEdit(line string) (Edit, error) {
	if line[0] == ':' {
		return parseDeclaration(line[1:])
	}
	counters, rest, err := cutCounters(line)
	if err != nil {
		return Edit{}, err
	}
	command, rest, _ := strings.Cut(rest, " ")
	chain, rest, _ := strings.Cut(strings.TrimSpace(rest), " ")
	e := Edit{Chain: chain, Rule: Rule(strings.TrimSpace(rest)), Counters: counters}
	switch command {
	case "-A":
		e.Verb = Append
	case "-D":
		e.Verb = Delete
	case "-X":
		e.Verb = DeleteChain
	case "-I":
		e.Verb, e.Pos = Insert, 1
		word, rest, _ := strings.Cut(string(e.Rule), " ")
		if pos, err := strconv.Atoi(word); err == nil {
			e.Pos, e.Rule = pos, Rule(strings.TrimSpace(rest))
		}
	default:
		return Edit{}, fmt.Errorf("%q is neither a chain nor one of -A, -I, -D, -X", line)
	}
	if chain == "" {
		return Edit{}, fmt.Errorf("%q names no chain", line)
	}
	return e, nil
}

// parseDeclaration reads a chain's line without its colon.
func parseDeclaration(line string) (e Edit, err error) {
	fields := strings.Fields(line)
	if len(fields) < 2 || len(fields) > 3 {
		return Edit{}, fmt.Errorf("chain %q, want NAME POLICY [PACKETS:BYTES]", line)
	}
	e = Edit{Verb: NewChain, Chain: fields[0]}
	if fields[1] == "-" {
		return e, nil
	}
	e.Verb, e.Policy = SetPolicy, fields[1]
	if len(fields) == 3 {
		e.Counters, err = parseCounters(fields[2])
	}
	return e, err
}
