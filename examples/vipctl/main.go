package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/vipkit/vipkit/examples/internal/clusterdump"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Exit statuses.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// errUsage marks errors of a command line that cannot be understood.
var errUsage = errors.New("usage")

// usageError is wrong whatever the dump says.
type usageError struct{ error }

func (usageError) Is(target error) bool { return target == errUsage }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// command is one of vipctl's.
type command struct {
	name, help string
	// flags declares what it has beside the common ones, and check says what is
	// wrong with them; nil: nothing.
	flags func(*flag.FlagSet, *options)
	check func(*options) error
	run   func(context.Context, *options, *clusterdump.Cluster, io.Writer) error
}

var commands = []command{
	{"plan", planHelp, nil, nil, plan},
	{"list", listHelp, nil, nil, list},
	{"trace", traceHelp, traceFlags, checkTrace, trace},
}

// options are the command line.
type options struct {
	files  []string
	node   string
	output string
	trace  traceOptions
}

func (o *options) json() bool { return o.output == "json" }

// run is the program: it returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	// Written at the end: a reader who goes away ("| head") stops nothing midway.
	var out bytes.Buffer
	name, err := dispatch(ctx, args, stdin, &out)
	_, failed := out.WriteTo(stdout)
	if err = errors.Join(err, failed); err == nil {
		return exitOK
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(stderr, "%s: %s\n", name, strings.TrimSuffix(line, "\n"))
	}
	if errors.Is(err, errUsage) {
		fmt.Fprintf(stderr, "%s -h says how\n", name)
		return exitUsage
	}
	return exitFailure
}

// dispatch runs the command that args name, and returns how it is called.
func dispatch(ctx context.Context, args []string, stdin io.Reader, out io.Writer) (name string, err error) {
	name = "vipctl"
	if len(args) == 0 {
		return name, usagef("no command: want %s", commandNames())
	}
	if args[0] == "help" && len(args) == 2 {
		args = []string{args[1], "-h"}
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		fmt.Fprint(out, help)
		return name, nil
	}
	i := slices.IndexFunc(commands, func(c command) bool { return c.name == args[0] })
	if i < 0 {
		return name, usagef("no command %q: want %s", args[0], commandNames())
	}
	c := commands[i]
	name += " " + c.name
	o, err := c.parse(args[1:])
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(out, c.help)
		return name, nil
	}
	if err != nil {
		return name, err
	}
	cluster, err := clusterdump.Source{Files: o.files, Stdin: stdin, Node: o.node, NodeFlag: "--node"}.Load()
	if err != nil {
		return name, err
	}
	return name, c.run(ctx, o, cluster, out)
}

func commandNames() string {
	var names []string
	for _, c := range commands {
		names = append(names, c.name)
	}
	return strings.Join(names, ", ") + " or help"
}

// longFlag is a flag in an error of package flag, which writes all of them with
// one dash.
var longFlag = regexp.MustCompile(` -([a-z][a-z-]+)`)

// parse reads the rest of the command line.
func (c command) parse(args []string) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Func("f", "", func(s string) error { o.files = append(o.files, s); return nil })
	flags.StringVar(&o.node, "node", "", "")
	flags.StringVar(&o.output, "o", "text", "")
	if c.flags != nil {
		c.flags(flags, o)
	}
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil, err
	case err != nil:
		return nil, usagef("%s", longFlag.ReplaceAllString(err.Error(), " --$1"))
	case flags.NArg() > 0:
		return nil, usagef("unexpected argument %q", flags.Arg(0))
	case o.output != "text" && o.output != "json":
		return nil, usagef("-o %s: want text or json", o.output)
	case len(o.files) == 0:
		return nil, usagef("-f is missing: the file that has the cluster's dump, or - for standard input")
	}
	if i := slices.Index(o.files, "-"); i >= 0 && slices.Contains(o.files[i+1:], "-") {
		return nil, usagef("-f -: standard input can be read once only")
	}
	if c.check != nil {
		return o, c.check(o)
	}
	return o, nil
}

// writeJSON writes a value as a document of its own, in lines.
func writeJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
