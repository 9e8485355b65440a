package kube

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/vipkit/vipkit/proxier"
)

// tracked is a Service and what belongs to it. The Service may not be there,
// while there are slices of it or something still to be removed.
type tracked struct {
	of     ref
	object *corev1.Service // nil: there is none
	slices []*discoveryv1.EndpointSlice
	due    bool // and in the list of those
	// given is what the caller has, by name.
	given       []proxier.Service
	faults      []error // of the Service
	sliceFaults []error
}

// find returns where in the entry's slices one of the name is or belongs.
func (e *tracked) find(name string) (int, bool) {
	return slices.BinarySearchFunc(e.slices, name, func(s *discoveryv1.EndpointSlice, name string) int {
		return strings.Compare(s.Name, name)
	})
}

// read returns what the Service is to be now, by name, and remembers its faults.
func (e *tracked) read(node Node) []proxier.Service {
	e.faults, e.sliceFaults = nil, nil
	from := make([]endpointSlice, len(e.slices))
	for i, s := range e.slices {
		f := &objectFaults{of: ref{kindSlice, s.Namespace, s.Name}}
		from[i] = readSlice(s, node, f)
		e.sliceFaults = append(e.sliceFaults, f.list...)
	}
	if e.object == nil {
		return nil
	}
	f := &objectFaults{of: e.of}
	want := translate(nil, e.object, from, node, f)
	slices.SortFunc(want, byName)
	e.faults = f.list
	return want
}

// change adds to changes what makes want of what the caller has.
func (e *tracked) change(want []proxier.Service, changes *proxier.Changes) {
	have := e.given
	for i := range want {
		for len(have) > 0 && have[0].Name < want[i].Name {
			changes.Delete = append(changes.Delete, have[0].Name)
			have = have[1:]
		}
		same := false
		if len(have) > 0 && have[0].Name == want[i].Name {
			same = have[0].Equal(want[i])
			have = have[1:]
		}
		if !same {
			changes.Upsert = append(changes.Upsert, clone(&want[i]))
		}
	}
	for i := range have {
		changes.Delete = append(changes.Delete, have[i].Name)
	}
	e.given = want
}

// faults returns all faults that there are now, in the order of Services.
func (t *Tracker) faults() error {
	if len(t.faulty) == 0 {
		return nil
	}
	var own, ofSlices []error
	for _, of := range slices.SortedFunc(maps.Keys(t.faulty), compareRefs) {
		own = append(own, t.faulty[of].faults...)
		ofSlices = append(ofSlices, t.faulty[of].sliceFaults...)
	}
	slices.SortStableFunc(ofSlices, func(a, b error) int {
		x, _ := errors.AsType[*ObjectError](a)
		y, _ := errors.AsType[*ObjectError](b)
		return compareRefs(ref{x.Kind, x.Namespace, x.Name}, ref{y.Kind, y.Namespace, y.Name})
	})
	return errors.Join(append(own, ofSlices...)...)
}

func compareRefs(a, b ref) int {
	return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
}

func clone(s *proxier.Service) proxier.Service {
	c := *s
	c.Frontends, c.Endpoints, c.SourceRanges = slices.Clone(s.Frontends), slices.Clone(s.Endpoints), slices.Clone(s.SourceRanges)
	return c
}
