// Command quickstart programs the services of a Kubernetes cluster into a host
// and prints what an operator would see there.
//
// Without arguments it takes the cluster dump that lies beside it and a host in
// memory. With -f it takes what `kubectl get services,endpointslices,nodes -A
// -o yaml` printed, and with -kernel (as root) this host's own kernel.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/proxier"
	"github.com/vipkit/vipkit/proxier/kube"
)

//go:embed cluster-small.yaml
var sample []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	file, node     string
	kernel, remove bool
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o options
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.file, "f", "", "cluster dump, YAML or JSON (- reads standard input; default: the one built in)")
	flags.StringVar(&o.node, "node", "", "name of the node that this host is (default: the first of the dump)")
	flags.BoolVar(&o.kernel, "kernel", false, "write to this host's kernel instead of one in memory; needs root")
	flags.BoolVar(&o.remove, "remove", false, "remove all that is there from before, and add nothing")
	if err := flags.Parse(args); err != nil {
		return flag.ErrHelp // the flag set has said what is wrong
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q (a dump is given with -f)", flags.Arg(0))
	}

	// Faults in the dump concern single objects: the rest is applied.
	services, config, faults := load(o)
	if faults != nil && services == nil {
		return faults
	}
	if o.remove {
		services = nil
	}
	kernel, done, err := open(o)
	if err != nil {
		return err
	}
	defer done()
	p, err := proxier.New(kernel, config)
	if err != nil {
		return err
	}
	if o.kernel {
		if err := prepare(ctx, p, services, stdout); err != nil {
			return err
		}
	}
	report, err := p.ApplyServices(ctx, services)
	if showErr := show(ctx, kernel, stdout); showErr != nil {
		err = errors.Join(err, showErr)
	}
	fmt.Fprintf(stdout, "\n# report\n%v", report)
	return errors.Join(faults, err)
}

// load reads the dump and makes services of it, from the view of one node. The
// error joins what is wrong with single objects; without services it is about
// the whole.
func load(o options) ([]proxier.Service, *proxier.Config, error) {
	data, err := read(o.file)
	if err != nil {
		return nil, nil, err
	}
	objects, faults := kube.Decode(bytes.NewReader(data))
	if objects == nil {
		return nil, nil, faults
	}
	name := o.node
	if names := objects.NodeNames(); name == "" && len(names) > 0 {
		name = names[0]
	}
	var node kube.Node
	if name != "" {
		if node, err = objects.Node(name); err != nil && node.Name == "" {
			return nil, nil, errors.Join(faults, err)
		}
		faults = errors.Join(faults, err)
	}
	services, err := kube.Services(objects, node)
	faults = errors.Join(faults, err)
	pods, err := objects.PodCIDRs()
	faults = errors.Join(faults, err)
	if services == nil && faults == nil {
		services = []proxier.Service{}
	}
	return services, &proxier.Config{
		NodeAddresses: node.Addresses,
		ClusterCIDRs:  pods,
		PodCIDRs:      node.PodCIDRs,
	}, faults
}

func read(file string) ([]byte, error) {
	switch file {
	case "":
		return sample, nil
	case "-":
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(file)
}

// open returns a kernel in memory, or this host's.
func open(o options) (k proxier.Kernel, done func(), err error) {
	if !o.kernel {
		return kerneltest.New().Kernel(), func() {}, nil
	}
	k, closeAll, err := proxier.OpenKernel("")
	if err != nil {
		return k, nil, fmt.Errorf("cannot use this host's kernel; nothing was changed:\n%w", err)
	}
	return k, func() { _ = closeAll() }, nil // nothing is left to do with it
}

// prepare says what is missing before anything is written, and sets the kernel
// parameters that services need.
func prepare(ctx context.Context, p *proxier.Proxier, services []proxier.Service, w io.Writer) error {
	pre := p.Preflight(ctx, services)
	if err := pre.Err(); err != nil {
		return fmt.Errorf("cannot use this host's kernel; nothing was changed:\n%w", err)
	}
	if len(services) == 0 {
		return nil
	}
	wrong := pre.Wrong()
	if err := p.SetSysctls(ctx, wrong); err != nil {
		return err
	}
	for _, s := range wrong {
		fmt.Fprintf(w, "# sysctl -w %s=%s (was %s: %s)\n", s.Name, s.Want, s.Have, s.Why)
	}
	return nil
}
