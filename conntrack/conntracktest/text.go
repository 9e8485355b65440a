package conntracktest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vipkit/vipkit/conntrack"
)

// Dump returns the flows, one a line as [conntrack.FlowInfo.String] writes them, in
// alphabetical order.
func (f *Fake) Dump() string {
	flows := f.selected(func(conntrack.FlowInfo) bool { return true })
	lines := make([]string, 0, len(flows))
	for _, flow := range flows {
		lines = append(lines, flow.String()+"\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// Load adds the flows of a text such as Dump returns or "conntrack -L" prints.
// Those with a time left age.
func (f *Fake) Load(text string) error {
	var flows []conntrack.FlowInfo
	var errs []error
	n := 0
	for line := range strings.Lines(text) {
		n++
		if strings.TrimSpace(line) == "" {
			continue
		}
		var flow conntrack.FlowInfo
		if err := flow.UnmarshalText([]byte(line)); err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", n, err))
			continue
		}
		flows = append(flows, flow)
	}
	return errors.Join(append(errs, f.Add(flows...))...)
}
