package kube

import (
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/vipkit/vipkit/proxier"
)

// A Tracker turns the events of a watch into changes for [proxier.Proxier.Apply].
// It takes events in any order, an EndpointSlice before its Service as well, and
// each as often as it comes. What it yields adds up to what [Services] makes of
// the objects that there are. The cost follows the events since the last call and
// the faults that there are, not the number of Services.
//
// One difference to Services keeps a cluster going: a Service with a fault stays
// as it last was without one, until it is right again or deleted.
//
// A Tracker keeps the objects that it gets, as the caches of watches share them:
// nobody may change them afterwards. It is safe for concurrent use, because
// different kinds of objects come by different watches, and starts no goroutine.
type Tracker struct {
	mu       sync.Mutex
	node     Node
	services map[ref]*tracked
	owners   map[ref]*tracked // of slices
	due      []*tracked
	faulty   map[ref]*tracked
}

// NewTracker returns a tracker without objects, for the proxy of one node. Name
// and Zone of the node matter.
func NewTracker(node Node) *Tracker {
	return &Tracker{
		node:     node,
		services: make(map[ref]*tracked),
		owners:   make(map[ref]*tracked),
		faulty:   make(map[ref]*tracked),
	}
}

// SetNode takes what the node is now ([Objects.Node] reads one). Another name or
// zone makes the next call read everything anew.
func (t *Tracker) SetNode(node Node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if node.Name != t.node.Name || node.Zone != t.node.Zone {
		for _, e := range t.services {
			t.touch(e)
		}
	}
	t.node = node
}

// SetService takes a Service that was added, or changed in any way.
func (t *Tracker) SetService(s *corev1.Service) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.setService(s)
}

// DeleteService takes the deletion of a Service. One that is not there is no
// error.
func (t *Tracker) DeleteService(namespace, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.services[ref{kindService, namespace, name}]; e != nil {
		e.object = nil
		t.touch(e)
	}
}

// SetEndpointSlice takes an EndpointSlice that was added, or changed in any way.
func (t *Tracker) SetEndpointSlice(s *discoveryv1.EndpointSlice) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.setSlice(s)
}

// DeleteEndpointSlice takes the deletion of an EndpointSlice. One that is not
// there is no error.
func (t *Tracker) DeleteEndpointSlice(namespace, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deleteSlice(ref{kindSlice, namespace, name})
}

// Replace takes all Services and EndpointSlices that there are: the list that a
// watch begins with, also anew after it broke. Others are deleted.
func (t *Tracker) Replace(objects *Objects) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.services {
		e.object, e.slices = nil, nil
		t.touch(e)
	}
	clear(t.owners)
	for _, s := range objects.Services {
		t.setService(s)
	}
	for _, s := range objects.EndpointSlices {
		t.setSlice(s)
	}
}

// Changes returns what has changed since the last call, and nothing for events
// that come to nothing, such as a new label or a resync. Both lists are sorted by
// name, and the caller's own.
//
// The error joins an [*ObjectError] for each fault that there is now, reported
// before or not, in the order of Services. It is nil once all objects are right.
//
// A change is yielded once. Where Apply fails, [Tracker.All] and
// [proxier.Proxier.ApplyServices] make up for it.
func (t *Tracker) Changes() (proxier.Changes, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changes(), t.faults()
}

// All returns all services, sorted by name and the caller's own, for
// [proxier.Proxier.ApplyServices]: at the start, and after a failure. The next
// Changes are those since then. The error is that of Changes. A Service that has
// had a fault ever since the start is not among them, and ApplyServices would
// remove what an earlier process wrote for it: look at the error first.
func (t *Tracker) All() ([]proxier.Service, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changes()
	var all []proxier.Service
	for _, e := range t.services {
		for i := range e.given {
			all = append(all, clone(&e.given[i]))
		}
	}
	slices.SortFunc(all, byName)
	return all, t.faults()
}

// at returns the entry of a Service, and makes it due.
func (t *Tracker) at(of ref) *tracked {
	e := t.services[of]
	if e == nil {
		e = &tracked{of: of}
		t.services[of] = e
	}
	t.touch(e)
	return e
}

// touch makes an entry due to be read.
func (t *Tracker) touch(e *tracked) {
	if !e.due {
		e.due = true
		t.due = append(t.due, e)
	}
}

func (t *Tracker) setService(s *corev1.Service) {
	t.at(ref{kindService, s.Namespace, s.Name}).object = s
}

func (t *Tracker) setSlice(s *discoveryv1.EndpointSlice) {
	slice := ref{kindSlice, s.Namespace, s.Name}
	of, ours := serviceOf(s)
	if was := t.owners[slice]; was != nil && (!ours || was.of != of) {
		t.deleteSlice(slice)
	}
	if !ours {
		return
	}
	e := t.at(of)
	t.owners[slice] = e
	i, found := e.find(s.Name)
	if found {
		e.slices[i] = s
	} else {
		e.slices = slices.Insert(e.slices, i, s)
	}
}

func (t *Tracker) deleteSlice(slice ref) {
	e := t.owners[slice]
	if e == nil {
		return
	}
	delete(t.owners, slice)
	if i, found := e.find(slice.name); found {
		e.slices = slices.Delete(e.slices, i, i+1)
	}
	t.touch(e)
}

// changes reads what is due.
func (t *Tracker) changes() proxier.Changes {
	var changes proxier.Changes
	for _, e := range t.due {
		e.due = false
		want := e.read(t.node)
		if len(e.faults) == 0 {
			e.change(want, &changes)
		}
		if len(e.faults)+len(e.sliceFaults) > 0 {
			t.faulty[e.of] = e
		} else {
			delete(t.faulty, e.of)
		}
		if e.object == nil && len(e.slices) == 0 {
			delete(t.services, e.of)
		}
	}
	clear(t.due)
	t.due = t.due[:0]
	slices.SortFunc(changes.Upsert, byName)
	slices.Sort(changes.Delete)
	return changes
}
