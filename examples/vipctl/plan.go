package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/vipkit/vipkit/examples/internal/clusterdump"
	"github.com/vipkit/vipkit/kerneltest"
	"github.com/vipkit/vipkit/proxier"
)

// planned is what plan -o json prints.
type planned struct {
	Node    string        `json:"node"`
	Steps   []plannedStep `json:"steps"`
	Refused []refusal     `json:"refused"`
}

type plannedStep struct {
	Phase      string   `json:"phase"`
	Reason     string   `json:"reason"`
	Operations []string `json:"operations"`
}

// plan prints what would be written to the node.
func plan(ctx context.Context, o *options, c *clusterdump.Cluster, out io.Writer) error {
	p, err := proxier.New(kerneltest.New().Kernel(), &c.Config)
	if err != nil {
		return errors.Join(c.Faults.Join(), err)
	}
	plan, err := p.Plan(ctx, c.Services)
	if err != nil {
		return errors.Join(c.Faults.Join(), err)
	}
	if !o.json() {
		fmt.Fprint(out, plan)
		return faults(c, plan.Refused)
	}
	v := planned{Node: c.Node.Name, Steps: []plannedStep{}, Refused: refusals(c, plan.Refused)}
	for _, s := range plan.Steps {
		text := proxier.Plan{Steps: []proxier.Step{s}}.String()
		v.Steps = append(v.Steps, plannedStep{
			Phase: s.Phase.String(), Reason: s.Phase.Reason(),
			Operations: strings.Split(strings.TrimSuffix(text, "\n"), "\n"),
		})
	}
	return errors.Join(faults(c, plan.Refused), writeJSON(out, v))
}
