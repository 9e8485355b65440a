package iptables

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// lower is the form in which names are looked up.
func lower(s string) string { return strings.ToLower(s) }

// number reads an unsigned number as the tool does (strtoul with base 0).
func number(s string, bits int) (uint64, error) {
	if digits := strings.TrimPrefix(strings.TrimPrefix(s, "0x"), "0X"); digits == "" || strings.ContainsAny(s, "_oObB+") && digits == s {
		return 0, fmt.Errorf("number %q", s)
	}
	return strconv.ParseUint(s, 0, bits)
}

// hexNumber writes a number as the tool writes masks.
func hexNumber(s string) string {
	n, err := number(s, 32)
	if err != nil {
		return s
	}
	return fmt.Sprintf("0x%x", n)
}

// canonicalMark writes a mark to compare with as the tool does.
func canonicalMark(s string) string {
	value, mask, err := parseMark(s)
	switch {
	case err != nil:
		return s
	case mask == 0xffffffff:
		return fmt.Sprintf("0x%x", value)
	}
	return fmt.Sprintf("0x%x/0x%x", value, mask)
}

// parseMark reads "VALUE[/MASK]", each in any base; the mask is all ones where
// none is given.
func parseMark(s string) (value, mask uint32, err error) {
	first, second, masked := strings.Cut(s, "/")
	v, err := number(first, 32)
	if err != nil {
		return 0, 0, fmt.Errorf("mark %q", s)
	}
	m := uint64(0xffffffff)
	if masked {
		if m, err = number(second, 32); err != nil {
			return 0, 0, fmt.Errorf("mask of mark %q", s)
		}
	}
	return uint32(v), uint32(m), nil
}

// inOrder returns a function that sorts a list with commas into an order, and
// leaves it alone if it has other words.
func inOrder(names ...string) func(string) string {
	return func(s string) string {
		list := strings.Split(strings.ToUpper(s), ",")
		for _, w := range list {
			if !slices.Contains(names, w) {
				return s
			}
		}
		slices.SortFunc(list, func(a, b string) int { return slices.Index(names, a) - slices.Index(names, b) })
		return strings.Join(slices.Compact(list), ",")
	}
}

// sameEnds writes a range of one number as that number.
func sameEnds(separator string) func(string) string {
	return func(s string) string {
		if from, to, ok := strings.Cut(s, separator); ok && from == to {
			return from
		}
		return s
	}
}

// portRange writes a port or a range as the tool does, with both ends and in
// decimal. Names of services stay.
func portRange(s string) string {
	from, to, isRange := strings.Cut(s, ":")
	if !isRange {
		return port(s)
	}
	if from == "" {
		from = "0"
	}
	if to == "" {
		to = "65535"
	}
	return sameEnds(":")(port(from) + ":" + port(to))
}

func port(s string) string {
	n, err := number(s, 16)
	if err != nil {
		return s
	}
	return strconv.FormatUint(n, 10)
}

// portList writes the ports of a list with commas. The tool refuses a range of one
// port in it, so that stays one.
func portList(s string) string {
	list := strings.Split(s, ",")
	for i, p := range list {
		from, to, isRange := strings.Cut(p, ":")
		if list[i] = port(from); isRange {
			list[i] += ":" + port(to)
		}
	}
	return strings.Join(list, ",")
}

// tcpFlagNames are in the order in which the tool prints them.
var tcpFlagNames = []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG"}

// flagList writes TCP flags as the tool does.
func flagList(s string) string {
	var set [6]bool
	for w := range strings.SplitSeq(strings.ToUpper(s), ",") {
		i := slices.Index(tcpFlagNames, w)
		switch {
		case i >= 0:
			set[i] = true
		case w == "ALL":
			set = [6]bool{true, true, true, true, true, true}
		case w != "NONE":
			return s
		}
	}
	var list []string
	for i, name := range tcpFlagNames {
		if set[i] {
			list = append(list, name)
		}
	}
	if list == nil {
		return "NONE"
	}
	return strings.Join(list, ",")
}

// probability writes a probability as what the kernel keeps of it: 31 bits.
func probability(s string) string {
	p, err := strconv.ParseFloat(s, 64)
	if err != nil || !(p >= 0 && p <= 1) {
		return s
	}
	const one = 1 << 31
	return strconv.FormatFloat(math.Round(p*one)/one, 'f', 11, 64)
}

// shortAddress writes an address without the prefix length of a single one, and a
// mask as a prefix length, as the options of matches are printed.
func shortAddress(s string) string {
	address, mask, _ := strings.Cut(s, "/")
	p, err := parsePrefix(s)
	switch {
	case err != nil:
		return s
	case p.IsSingleIP():
		return p.Addr().String()
	case mask == "":
		return s
	}
	return fmt.Sprintf("%s/%d", address, p.Bits())
}

// protocolNumber writes a protocol as its number.
func protocolNumber(s string) string {
	name := protocolName(s)
	if n, ok := protocols[name]; ok {
		return strconv.Itoa(n)
	}
	return name
}

// inverse turns a table of names into one by value.
func inverse(values map[string][]string) map[string]string {
	names := make(map[string]string)
	for value, all := range values {
		for _, name := range all {
			names[name] = value
		}
	}
	return names
}
