package iptables

import (
	"errors"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/vipkit/vipkit"
)

// failure is what a tool's message says about a refused restore or save.
type failure struct {
	// line is that of the input which the tool names, 0 if it names none.
	line int
	// kind is nil where the message does not tell: see Conn.explain.
	kind error
	// chain is the chain whose absence the tool noticed at the COMMIT line.
	chain string
	// table says that a table could not be had at all.
	table bool
	// locked says that the lock could not be had in time.
	locked bool
	// detail is the tool's own words without its name and its hints.
	detail string
}

var (
	lineNumber   = regexp.MustCompile(`(?:[Ll]ine:? )(\d+)`)
	bareFailure  = regexp.MustCompile(`(?m)line \d+ failed$`)
	missingChain = regexp.MustCompile("(?:Chain|goto) '([^']+)' (?:does not exist|is not a chain)")
	missingXt    = regexp.MustCompile(`(?m)^.*Extension (\w+) revision \d+ not supported, missing kernel module\??\n?`)
	noReason     = regexp.MustCompile(`line \d+ failed$|failed \(No such file or directory\)|^$`)
	kernelAnswer = regexp.MustCompile(`(?m)line \d+: \w+ failed \(.*$`)
	toolName     = regexp.MustCompile(`^ip6?tables(-nft|-legacy)?(-restore|-save)?( v[0-9.]+ \((nf_tables|legacy)\))?: *`)
)

// messages are what iptables 1.8 prints, on either back end, and what that
// means. The first that is found counts. Messages without an entry that
// name a line are about a malformed rule.
var messages = []struct {
	text string
	kind error
}{
	// Who asks and what the host has.
	{"you must be root", fs.ErrPermission},
	{"Permission denied", fs.ErrPermission},
	{"Operation not permitted", fs.ErrPermission},
	{"missing kernel module", errors.ErrUnsupported},
	{"do you need to insmod", errors.ErrUnsupported},
	{"Failed to initialize nft", errors.ErrUnsupported},
	{"Could not fetch rule set generation id", errors.ErrUnsupported},
	{"Can't open socket to ipset", errors.ErrUnsupported},
	{"Kernel module", errors.ErrUnsupported},
	{"Kernel ipset protocol", errors.ErrUnsupported},
	{"is incompatible, use 'nft' tool", errors.ErrUnsupported},
	{"Operation not supported", errors.ErrUnsupported},
	{"Protocol not supported", errors.ErrUnsupported},
	// The kernel's refusals as the nft back end prints them.
	{"Device or resource busy", vipkit.ErrInUse},
	{"Directory not empty", vipkit.ErrInUse},
	{"CHAIN_DEL failed (No such file or directory)", fs.ErrNotExist},
	{"RULE_DELETE failed (No such file or directory)", fs.ErrNotExist},
	{"File exists", fs.ErrExist},
	{"Too many links", fs.ErrInvalid},
	{"Invalid argument", fs.ErrInvalid},
	// What the tool finds out before it asks the kernel.
	{"No chain/target/match by that name", fs.ErrNotExist},
	{"does a matching rule exist in that chain", fs.ErrNotExist},
	{"Chain already exists", fs.ErrExist},
	{"Chain is not empty", vipkit.ErrInUse},
	{"Index of insertion too big", fs.ErrInvalid},
	{"Bad policy name", fs.ErrInvalid},
}

// classify reads what a tool printed when it failed. It is the only place of
// vipkit that looks at a message's words.
func classify(stderr string) failure {
	warnings := missingXt.FindAllStringSubmatch(stderr, -1)
	stderr = missingXt.ReplaceAllString(stderr, "")
	f := failure{detail: shorten(stderr), locked: strings.Contains(stderr, "holding the xtables lock")}
	if m := lineNumber.FindStringSubmatch(stderr); m != nil {
		f.line, _ = strconv.Atoi(m[1])
	}
	if warnings != nil && noReason.MatchString(f.detail) {
		f.kind, f.detail = errors.ErrUnsupported, withModules(f.detail, warnings)
		return f
	}
	if m := missingChain.FindStringSubmatch(stderr); m != nil {
		f.chain, f.kind = m[1], fs.ErrInvalid
		return f
	}
	if first := kernelAnswer.FindString(stderr); first != "" {
		stderr = first // what is behind it may be its consequence
	}
	for _, m := range messages {
		if strings.Contains(stderr, m.text) {
			f.kind = m.kind
			return f
		}
	}
	switch {
	case strings.Contains(stderr, "unable to initialize table"):
		f.table = true
	case bareFailure.MatchString(stderr):
	case f.line > 0:
		f.kind = fs.ErrInvalid
	}
	return f
}

// withModules adds the modules that the tool missed to a message that gives no
// reason of its own.
func withModules(detail string, warnings [][]string) string {
	var parts []string
	if detail != "" {
		parts = append(parts, detail)
	}
	for _, w := range warnings {
		if part := "missing kernel module xt_" + w[1]; !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "; ")
}

// shorten takes the tool's name, its hints and the line number away from a
// message and makes it one line.
func shorten(stderr string) string {
	var parts []string
	for line := range strings.Lines(stderr) {
		line = toolName.ReplaceAllString(strings.TrimSpace(line), "")
		line = toolName.ReplaceAllString(line, "")
		switch {
		case line == "", strings.HasPrefix(line, "Try `"), strings.HasPrefix(line, "Error occurred at line"),
			strings.HasPrefix(line, "modprobe: "), strings.HasPrefix(line, "# Warning: iptables-legacy tables"),
			strings.HasPrefix(line, "# Warning: ip6tables-legacy tables"):
		default:
			parts = append(parts, line)
		}
	}
	return strings.Join(parts, "; ")
}
