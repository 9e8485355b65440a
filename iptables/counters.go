package iptables

import (
	"fmt"
	"strconv"
	"strings"
)

// Counters say what a rule has matched, or what has met a chain's policy. Rules
// that a restore does not touch keep theirs. Policies keep theirs on the nft back
// end; the legacy tools (1.8.9) set those of all policies of a table to zero with
// whatever they change in it.
type Counters struct {
	Packets, Bytes uint64
}

// String returns the counters as iptables-save prints them: "[7:420]".
func (c Counters) String() string { return fmt.Sprintf("[%d:%d]", c.Packets, c.Bytes) }

// parseCounters reads what String writes.
func parseCounters(s string) (Counters, error) {
	inner, ok := strings.CutPrefix(s, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	packets, bytes, two := strings.Cut(inner, ":")
	p, err := strconv.ParseUint(packets, 10, 64)
	b, err2 := strconv.ParseUint(bytes, 10, 64)
	if !ok || !closed || !two || err != nil || err2 != nil {
		return Counters{}, fmt.Errorf("counters %q, want [PACKETS:BYTES]", s)
	}
	return Counters{Packets: p, Bytes: b}, nil
}

// cutCounters takes the counters off the beginning of a line that has some.
func cutCounters(line string) (Counters, string, error) {
	if line[0] != '[' {
		return Counters{}, line, nil
	}
	text, rest, ok := strings.Cut(line, " ")
	if !ok {
		return Counters{}, "", fmt.Errorf("counters without a rule: %q", line)
	}
	c, err := parseCounters(text)
	return c, rest, err
}
