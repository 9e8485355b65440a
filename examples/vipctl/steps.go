package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// text writes a trace for people: the steps that all verdicts begin with; the
// rest once for those that differ in nothing but the endpoint; what becomes of
// the packet; the endpoints.
func (v traced) text(out io.Writer) {
	fmt.Fprintf(out, "node     %s\npacket   %s\nservice  %s\n\n", v.Node, v.Packet.text(), v.Service.text(v.Packet))
	common, width := v.common(), 0
	for _, one := range v.Verdicts {
		for _, s := range one.Steps {
			width = max(width, len(s.Where))
		}
	}
	writeSteps(out, v.Verdicts[0].Steps[:common], width)
	for _, group := range v.groups(common) {
		rest := group[0].Steps[common:]
		if len(rest) > 0 && len(v.Verdicts) > 1 {
			fmt.Fprintf(out, "\nif it is %s:\n", names(group))
		}
		writeSteps(out, rest, width)
	}
	fmt.Fprintln(out)
	v.verdicts(out)
}

func writeSteps(out io.Writer, steps []step, width int) {
	for _, s := range steps {
		line := fmt.Sprintf("%-*s  %s", width, s.Where, s.What)
		if s.Then != "" {
			line += "  => " + s.Then
		}
		fmt.Fprintln(out, line)
	}
}

// verdicts writes what becomes of the packet.
func (v traced) verdicts(out io.Writer) {
	var reached []verdict
	said := make(map[string]bool)
	for _, one := range v.Verdicts {
		if one.Outcome == "endpoint" {
			reached = append(reached, one)
			continue
		}
		if line := one.text(v.Packet); !said[line] {
			said[line] = true
			fmt.Fprintf(out, "verdict  %s\n", line)
		}
	}
	switch len(reached) {
	case 0:
		return
	case 1:
		fmt.Fprint(out, "verdict  an endpoint gets it\n\n")
	default:
		fmt.Fprintf(out, "verdict  one of %d endpoints gets it\n\n", len(reached))
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ENDPOINT\tSEES\tLEAVES BY\tANSWER")
	for _, one := range reached {
		link, answer := one.Link, "comes back"
		if link == "" {
			link = "stays here"
		}
		if one.Unanswered != "" {
			answer = "lost: " + one.Unanswered
		}
		fmt.Fprintf(w, "%v\t%s\t%s\t%s\n", one.To, one.Sees.Address, link, answer)
	}
	_ = w.Flush() // to a buffer
}

// text returns what becomes of a packet that no endpoint gets.
func (v verdict) text(p packet) string {
	switch {
	case v.Outcome == "host" && p.Protocol == "ping":
		return "answered by the node itself"
	case v.Outcome == "host":
		return "for the node itself: a listener there gets it, if there is one"
	case v.Outcome == "passed":
		return fmt.Sprintf("passes: it goes on to %v on link %s, and no service has to do with it", v.To, v.Link)
	}
	return v.Outcome + " by " + v.Reason
}

// text returns "198.51.100.9 > 10.96.0.1:443 tcp, from outside on link eth0".
func (p packet) text() string {
	route := fmt.Sprintf("> %v %s", p.To, p.Protocol)
	switch {
	case p.Source == end{}:
		return "the node itself " + route
	case p.From == "host":
		return fmt.Sprintf("%v %s, of the node itself", p.Source, route)
	case p.From == "pod":
		return fmt.Sprintf("%v %s, from a pod of the node on link %s", p.Source, route, p.Link)
	}
	return fmt.Sprintf("%v %s, from outside on link %s", p.Source, route, p.Link)
}

func (t *tuple) text(p packet) string {
	switch {
	case t == nil && p.Protocol == "ping":
		return "none: a ping is for whoever has the address"
	case t == nil:
		return "none has this address, port and protocol"
	}
	return fmt.Sprintf("%s (%v, policy %v)", t.Name, t.Kind, t.Policy)
}

// common returns how many steps all verdicts begin with.
func (v traced) common() int {
	first := v.Verdicts[0].Steps
	n := len(first)
	for _, one := range v.Verdicts[1:] {
		n = min(n, len(one.Steps))
		for i := range n {
			if one.Steps[i] != first[i] {
				n = i
				break
			}
		}
	}
	return n
}

// groups returns the verdicts, together those that differ in nothing but the
// endpoint after the steps that all have in common.
func (v traced) groups(common int) [][]verdict {
	var groups [][]verdict
	place := make(map[string]int)
	for _, one := range v.Verdicts {
		var b strings.Builder
		fmt.Fprintf(&b, "%s %s %s\n", one.Outcome, one.Link, one.Unanswered)
		writeSteps(&b, one.Steps[common:], 0)
		key := b.String()
		if one.To != nil {
			key = strings.NewReplacer(one.To.String(), "ENDPOINT", one.To.Address, "ENDPOINT").Replace(key)
		}
		i, ok := place[key]
		if !ok {
			i = len(groups)
			place[key] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], one)
	}
	return groups
}

// names lists the endpoints of a group.
func names(group []verdict) string {
	var all []string
	for _, one := range group {
		name := "another one"
		if one.To != nil {
			name = one.To.String()
		}
		all = append(all, name)
	}
	text := some(all)
	if len(group) > 1 {
		text += " (the first is shown)"
	}
	return text
}
