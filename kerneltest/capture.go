package kerneltest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/tools/txtar"

	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/kerneltest/oracle"
	"github.com/vipkit/vipkit/proxier"
)

// Capture returns what [Dump] does, and the kernel parameters and the network
// that decide about packets: [Host.Load] makes a host of it that sends packets
// the same ways ([Host.Trace]). Flows are left out. A user's bug report is a test.
func Capture(ctx context.Context, k proxier.Kernel, link string, network oracle.Network) (string, error) {
	text, err := Dump(ctx, k, link)
	if err != nil {
		return "", err
	}
	a := txtar.Parse([]byte(text))
	kept := a.Files[:0]
	for _, f := range a.Files {
		if f.Name != "conntrack" {
			kept = append(kept, f)
		}
	}
	a.Files = kept
	var parameters strings.Builder
	for _, name := range oracle.Parameters() {
		value, err := k.Sysctl.Get(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("capture: %w", err)
		}
		fmt.Fprintf(&parameters, "%s = %s\n", name, value)
	}
	a.Files = append(a.Files,
		txtar.File{Name: "sysctl", Data: []byte(parameters.String())},
		txtar.File{Name: "network", Data: []byte(network.String())})
	return string(txtar.Format(a)), nil
}

// Play carries out a plan that was not applied, on a host in memory: what it
// makes of packets can be asked then. The error joins those of the operations,
// each of which was tried.
func (h *Host) Play(ctx context.Context, plan proxier.Plan) error {
	k := h.Kernel()
	var errs []error
	for _, step := range plan.Steps {
		for _, l := range step.Links {
			errs = append(errs, playLink(ctx, k, l))
		}
		errs = append(errs, k.IPSet.Apply(ctx, step.Sets)...)
		for _, r := range step.Rules {
			errs = append(errs, k.IPTables.Restore(ctx, r.Family, r.Edits))
		}
		errs = append(errs, k.IPVS.Apply(ctx, step.Servers)...)
		for _, a := range step.Addresses {
			errs = append(errs, k.Dummy.Apply(ctx, a.Link, []dummy.Change{a.Change})...)
		}
		if len(step.Flows) > 0 {
			_, err := k.Conntrack.DeleteMatching(ctx, step.Flows)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func playLink(ctx context.Context, k proxier.Kernel, l proxier.LinkChange) error {
	switch l.Verb {
	case proxier.LinkAdd:
		return k.Dummy.CreateLink(ctx, l.Link)
	case proxier.LinkSetUp:
		return k.Dummy.UpdateLink(ctx, l.Link)
	case proxier.LinkDel:
		return k.Dummy.DeleteLink(ctx, l.Link.Name)
	}
	return fmt.Errorf("play: unknown verb %q", l.Verb)
}
