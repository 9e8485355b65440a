// Command quickstart programs the services of a Kubernetes cluster into a host
// and prints what an operator would see there.
//
// Without arguments it takes the cluster dump that lies beside it and a host in
// memory. With -f it takes what `kubectl get services,endpointslices,nodes -A
// -o yaml` printed, and with -kernel (as root) this host's own kernel.
//
// Its exit status is 0 if the host is as the dump wants it, 1 if something is
// wrong, which is then said on standard error a line each, and 2 for a command
// line that makes no sense. A dump with faults takes nothing away from the host:
// what is right in it is applied, and everything else stays as it was.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/vipkit/vipkit/examples/internal/clusterdump"
	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/proxier"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], open, os.Stdin, os.Stdout, os.Stderr))
}

// options are the command line.
type options struct {
	file, node     string
	kernel, remove bool
}

const usage = `usage: quickstart [-f FILE] [-node NAME] [-kernel] [-remove]

Programs the services of a Kubernetes cluster into a host in memory, or with
-kernel into this one, and prints what is then there.

`

// parse reads the command line. It has said what is wrong when it returns an
// error.
func parse(args []string, stderr io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	flags.StringVar(&o.file, "f", "", "dump of the cluster, YAML or JSON, in `FILE`; - is standard input (default: the one built in)")
	flags.StringVar(&o.node, "node", "", "`NAME` of the node that the host is (default: the first by name)")
	flags.BoolVar(&o.kernel, "kernel", false, "write to this host's kernel instead of one in memory; needs root")
	flags.BoolVar(&o.remove, "remove", false, "remove what earlier runs added, and add nothing; kernel parameters stay")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "unexpected argument %q: a dump is given with -f\n", flags.Arg(0))
		flags.Usage()
		return o, errors.New("unexpected argument")
	}
	return o, nil
}

// opener opens the kernel that services are written to: this host's, or one in
// memory.
type opener func(real bool) (k proxier.Kernel, closeAll func() error, err error)

func open(real bool) (proxier.Kernel, func() error, error) {
	if real {
		return proxier.OpenKernel("")
	}
	return kerneltest.New().Kernel(), func() error { return nil }, nil
}

// run is the program: it returns the exit status.
func run(ctx context.Context, args []string, open opener, stdin io.Reader, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	// Written at the end: a reader who goes away ("| head") stops nothing midway.
	var out bytes.Buffer
	err = o.run(ctx, open, stdin, &out)
	_, failed := out.WriteTo(stdout)
	if err = errors.Join(err, failed); err == nil {
		return 0
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintln(stderr, "quickstart:", strings.TrimSuffix(line, "\n"))
	}
	return 1
}

// errUnchanged ends the list of what is wrong where the host is as it was.
var errUnchanged = errors.New("nothing was changed")

func (o options) run(ctx context.Context, open opener, stdin io.Reader, out io.Writer) (err error) {
	want := &clusterdump.Cluster{} // for -remove: no services
	if !o.remove {
		if want, err = o.load(stdin); err != nil {
			return errors.Join(err, errUnchanged)
		}
	}
	// From here on a signal ends the work in good order, and a second one at once.
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	kernel, closeAll, err := open(o.kernel)
	if err != nil {
		return errors.Join(want.Faults.Join(), missing(err), errUnchanged)
	}
	err = apply(ctx, kernel, want, out)
	return errors.Join(want.Faults.Join(), err, closeAll())
}
