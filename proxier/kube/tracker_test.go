package kube_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/proxier"
	"github.com/vipkit/vipkit/proxier/kube"
)

// follower is a caller of a Tracker: it adds up what it is told, and knows which
// objects there are.
type follower struct {
	tracker  *kube.Tracker
	node     kube.Node
	services map[string]*corev1.Service // by namespace/name
	slices   map[string]*discoveryv1.EndpointSlice
	// have is what the changes add up to, and last the error beside them.
	have map[string]proxier.Service
	last error
}

func newFollower(node kube.Node) *follower {
	return &follower{
		tracker: kube.NewTracker(node), node: node,
		services: make(map[string]*corev1.Service),
		slices:   make(map[string]*discoveryv1.EndpointSlice),
		have:     make(map[string]proxier.Service),
	}
}

func (f *follower) set(o metav1.Object) {
	key := o.GetNamespace() + "/" + o.GetName()
	switch o := o.(type) {
	case *corev1.Service:
		f.services[key] = o
		f.tracker.SetService(o)
	case *discoveryv1.EndpointSlice:
		f.slices[key] = o
		f.tracker.SetEndpointSlice(o)
	}
}

func (f *follower) delete(o metav1.Object) {
	key := o.GetNamespace() + "/" + o.GetName()
	switch o.(type) {
	case *corev1.Service:
		delete(f.services, key)
		f.tracker.DeleteService(o.GetNamespace(), o.GetName())
	case *discoveryv1.EndpointSlice:
		delete(f.slices, key)
		f.tracker.DeleteEndpointSlice(o.GetNamespace(), o.GetName())
	}
}

func (f *follower) objects() *kube.Objects {
	return &kube.Objects{
		Services:       slices.Collect(maps.Values(f.services)),
		EndpointSlices: slices.Collect(maps.Values(f.slices)),
	}
}

// want returns what there must be: what Services makes of the objects, and what
// there was of a Service that has a fault.
func (f *follower) want(t require.TestingT) (map[string]proxier.Service, error) {
	services, err := kube.Services(f.objects(), f.node)
	want := make(map[string]proxier.Service)
	for _, s := range services {
		want[s.Name] = s
	}
	for _, fault := range faultsOf(t, err) {
		if fault.Kind != "Service" {
			continue
		}
		of := fault.Namespace + "/" + fault.Name
		for name, s := range f.have {
			if service, _, _ := strings.Cut(name, ":"); service == of {
				want[name] = s
			}
		}
	}
	return want, err
}

func faultsOf(t require.TestingT, err error) []*kube.ObjectError {
	var faults []*kube.ObjectError
	if joined := (interface{ Unwrap() []error })(nil); errors.As(err, &joined) {
		for _, e := range joined.Unwrap() {
			fault, ok := errors.AsType[*kube.ObjectError](e)
			require.True(t, ok, "%v", e)
			faults = append(faults, fault)
		}
	}
	return faults
}

// changes asks for changes, adds them up, and holds them against what must be.
func (f *follower) changes(t require.TestingT) proxier.Changes {
	want, wantErr := f.want(t)
	changes, err := f.tracker.Changes()
	f.last = err
	require.Equal(t, fmt.Sprint(wantErr), fmt.Sprint(err))
	require.True(t, slices.IsSorted(changes.Delete))
	require.True(t, slices.IsSortedFunc(changes.Upsert, func(a, b proxier.Service) int { return strings.Compare(a.Name, b.Name) }))
	for _, name := range changes.Delete {
		require.Contains(t, f.have, name, "deleted, and was not there")
		delete(f.have, name)
	}
	for _, s := range changes.Upsert {
		if was, there := f.have[s.Name]; there {
			require.False(t, was.Equal(s), "%s is as it was", s.Name)
		}
		f.have[s.Name] = s
	}
	require.Equal(t, render(sortedServices(want), nil), render(sortedServices(f.have), nil))
	return changes
}

func sortedServices(m map[string]proxier.Service) []proxier.Service {
	var all []proxier.Service
	for _, name := range slices.Sorted(maps.Keys(m)) {
		all = append(all, m[name])
	}
	return all
}

// TestTrackerAddsUp: whatever happens to objects, and whenever the caller asks,
// the changes add up to what Services makes of the objects.
func TestTrackerAddsUp(t *testing.T) {
	seed := testenv.Seed(t)
	for run := range uint64(20) {
		t.Run(fmt.Sprint(seed, "-", run), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, run))
			f := newFollower(kube.Node{Name: "node-0", Zone: "zone-0"})
			for range testenv.Steps(t, 300) {
				f.step(t, r)
			}
			f.changes(t)

			// The same objects in another order, each twice, make the same of nothing.
			again := newFollower(f.node)
			var events []metav1.Object
			for _, s := range f.services {
				events = append(events, s, s)
			}
			for _, s := range f.slices {
				events = append(events, s, s)
			}
			r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
			for _, o := range events {
				again.set(o)
			}
			again.changes(t)
		})
	}
}

// step is one event or one question.
func (f *follower) step(t *testing.T, r *rand.Rand) {
	switch r.IntN(20) {
	case 0, 1, 2, 3:
		f.changes(t)
	case 4:
		want, wantErr := f.want(t)
		all, err := f.tracker.All()
		require.Equal(t, fmt.Sprint(wantErr), fmt.Sprint(err))
		require.Equal(t, render(sortedServices(want), nil), render(all, nil))
		f.have = want
		f.changes(t)
	case 5:
		f.node.Zone = fmt.Sprintf("zone-%d", r.IntN(2))
		f.tracker.SetNode(f.node)
	case 6: // a list after the watch broke, with other objects
		f.services, f.slices = make(map[string]*corev1.Service), make(map[string]*discoveryv1.EndpointSlice)
		for range r.IntN(12) {
			s, e := randomService(r), randomSlice(r)
			f.services[s.Namespace+"/"+s.Name], f.slices[e.Namespace+"/"+e.Name] = s, e
		}
		f.tracker.Replace(f.objects())
	case 7, 8:
		f.delete(randomService(r))
	case 9, 10:
		f.delete(randomSlice(r))
	case 11: // a resync
		for _, s := range f.services {
			f.set(s.DeepCopy())
		}
		for _, s := range f.slices {
			f.set(s.DeepCopy())
		}
	case 12, 13, 14, 15:
		f.set(randomService(r))
	default:
		f.set(randomSlice(r))
	}
}

// randomService returns one of a few Services, in any of its states.
func randomService(r *rand.Rand) *corev1.Service {
	i := r.IntN(4)
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprintf("ns-%d", i%2), Name: fmt.Sprintf("svc-%d", i)},
		Spec: corev1.ServiceSpec{
			ClusterIP: fmt.Sprintf("10.96.0.%d", i+1),
			Ports:     []corev1.ServicePort{{Name: "a", Port: 80}, {Name: "b", Port: 81}}[:1+r.IntN(2)],
		},
	}
	if r.IntN(4) == 0 {
		s.Spec.Ports = []corev1.ServicePort{{Port: 80}}
	}
	switch r.IntN(10) {
	case 0:
		s.Spec.ClusterIP = corev1.ClusterIPNone
	case 1:
		s.Labels = map[string]string{"service.kubernetes.io/service-proxy-name": "other"}
	case 2:
		s.Spec.Type = corev1.ServiceTypeExternalName
	case 3:
		s.Annotations = map[string]string{kube.AnnotationPrefix + "scheduler": "unheard-of"}
	case 4:
		s.Spec.ClusterIP = "nonsense"
	case 5:
		s.Annotations = map[string]string{kube.AnnotationPrefix + "weight": fmt.Sprint(r.IntN(3))}
	case 6:
		s.Annotations = map[string]string{kube.AnnotationPrefix + "forwarding": "direct"}
	}
	return s
}

// randomSlice returns one of a few slices, of any Service, in any of its states.
func randomSlice(r *rand.Rand) *discoveryv1.EndpointSlice {
	i, of := r.IntN(8), r.IntN(2)
	name, port := []string{"a", "b", ""}[r.IntN(3)], int32(8080)
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: fmt.Sprintf("ns-%d", i%2), Name: fmt.Sprintf("slice-%d", i),
			Labels: map[string]string{discoveryv1.LabelServiceName: fmt.Sprintf("svc-%d", 2*of+i%2)},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
	}
	for range r.IntN(4) {
		e := discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.244.0.%d", 1+r.IntN(4))}}
		node, ready := fmt.Sprintf("node-%d", r.IntN(2)), r.IntN(4) > 0
		e.NodeName, e.Conditions.Ready = &node, &ready
		if r.IntN(2) == 0 {
			e.Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: fmt.Sprintf("zone-%d", r.IntN(2))}}}
		}
		s.Endpoints = append(s.Endpoints, e)
	}
	switch r.IntN(10) {
	case 0:
		s.Labels = nil
	case 1:
		s.AddressType = discoveryv1.AddressTypeFQDN
	case 2:
		s.AddressType = "IPv5"
	case 3:
		s.Annotations = map[string]string{kube.AnnotationPrefix + "weight": "much"}
	case 4:
		s.Annotations = map[string]string{kube.AnnotationPrefix + "weight": "9"}
	case 5:
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{"nonsense"}})
	}
	return s
}

// TestTrackerDump: a real cluster, object by object, comes to what Services makes
// of it, on each node, and goes again.
func TestTrackerDump(t *testing.T) {
	objects := readDump(t)
	var events []metav1.Object
	for _, s := range objects.Services {
		events = append(events, s)
	}
	for _, s := range objects.EndpointSlices {
		events = append(events, s)
	}
	r := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	for _, name := range objects.NodeNames() {
		node, err := objects.Node(name)
		require.NoError(t, err)
		f := newFollower(node)
		r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		for _, o := range events {
			f.set(o)
			f.changes(t)
		}
		require.Len(t, f.have, 21)
		for _, o := range events {
			f.delete(o)
			f.changes(t)
		}
		require.Empty(t, f.have)
	}
}

// TestTrackerFault: a Service with a fault stays as it was, its fault stays until
// it is right or gone, and the others go on.
func TestTrackerFault(t *testing.T) {
	f := newFollower(kube.Node{Name: "node-0"})
	objects := cluster(2)
	right, other := objects.Services[0], objects.Services[1]
	f.set(right)
	f.set(other)
	require.Len(t, f.changes(t).Upsert, 2)

	wrong := right.DeepCopy()
	wrong.Spec.Ports[0].Port = 0
	f.set(wrong)
	more := other.DeepCopy()
	more.Spec.Ports[0].Port = 8080
	f.set(more)
	changes := f.changes(t)
	require.Len(t, changes.Upsert, 1, "the other one")
	require.Empty(t, changes.Delete, "a fault is no deletion")
	for range 2 {
		require.EqualError(t, f.last, "Service load/web-0: spec.ports[0].port: 0, want 1–65535")
		require.Equal(t, proxier.Changes{}, f.changes(t))
	}

	f.set(right)
	require.Equal(t, proxier.Changes{}, f.changes(t), "as it was")
	require.NoError(t, f.last)

	f.set(wrong)
	f.changes(t)
	require.Error(t, f.last)
	f.delete(wrong)
	require.Equal(t, []string{"load/web-0:http"}, f.changes(t).Delete)
	require.NoError(t, f.last)
}

// TestTrackerNothing: events that come to nothing yield nothing, and what a
// caller does with what it got does not come back.
func TestTrackerNothing(t *testing.T) {
	f := newFollower(kube.Node{Name: "node-0"})
	require.Equal(t, proxier.Changes{}, f.changes(t))
	objects := cluster(1)
	f.set(objects.EndpointSlices[0])
	require.Equal(t, proxier.Changes{}, f.changes(t), "no Service yet")
	f.set(objects.Services[0])
	changes := f.changes(t)
	require.Len(t, changes.Upsert, 1)
	require.Len(t, changes.Upsert[0].Endpoints, 10)
	changes.Upsert[0].Endpoints[0].Weight = 99
	changes.Upsert[0].Frontends[0].Port = 99

	labelled := objects.Services[0].DeepCopy()
	labelled.Labels = map[string]string{"app": "web"}
	labelled.Annotations = map[string]string{"example.com/note": "none of ours"}
	f.tracker.SetService(labelled)
	f.tracker.SetEndpointSlice(objects.EndpointSlices[0].DeepCopy())
	f.tracker.DeleteService("load", "never-was")
	f.tracker.DeleteEndpointSlice("load", "never-was")
	f.tracker.SetNode(kube.Node{Name: "node-0", PodCIDRs: nil})
	again, err := f.tracker.Changes()
	require.NoError(t, err)
	require.Equal(t, proxier.Changes{}, again)

	gone := objects.Services[0].DeepCopy()
	gone.Spec.Ports[0].Port = 81
	f.tracker.SetService(gone) // there and back between two questions
	f.tracker.SetService(objects.Services[0])
	again, err = f.tracker.Changes()
	require.NoError(t, err)
	require.Equal(t, proxier.Changes{}, again)
}

// TestTrackerNode: another zone or name of the node is a change of what hints and
// locality say, and of nothing else.
func TestTrackerNode(t *testing.T) {
	f := newFollower(kube.Node{Name: "node-1", Zone: "zone-1"})
	objects := cluster(2)
	for i := range objects.EndpointSlices[0].Endpoints {
		objects.EndpointSlices[0].Endpoints[i].Hints = &discoveryv1.EndpointHints{
			ForZones: []discoveryv1.ForZone{{Name: fmt.Sprintf("zone-%d", i%2)}},
		}
	}
	f.tracker.Replace(objects)
	for i := range objects.Services {
		f.set(objects.Services[i])
		f.set(objects.EndpointSlices[i])
	}
	require.Len(t, f.changes(t).Upsert, 2)

	f.node.Zone = "zone-0"
	f.tracker.SetNode(f.node)
	changes := f.changes(t)
	require.Len(t, changes.Upsert, 1, "the one with hints")
	require.True(t, changes.Upsert[0].Endpoints[1].Elsewhere)

	f.node.Name = "node-2"
	f.tracker.SetNode(f.node)
	require.Len(t, f.changes(t).Upsert, 2, "endpoints of node-1 and node-2")

	f.node.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	f.tracker.SetNode(f.node)
	require.Equal(t, proxier.Changes{}, f.changes(t))
}

// TestTrackerConcurrent is for the race detector: one watch a kind of object.
func TestTrackerConcurrent(t *testing.T) {
	objects := cluster(50)
	tracker := kube.NewTracker(kube.Node{Name: "node-0"})
	done := make(chan struct{}, 2)
	go func() {
		for _, s := range objects.Services {
			tracker.SetService(s)
		}
		done <- struct{}{}
	}()
	go func() {
		for _, s := range objects.EndpointSlices {
			tracker.SetEndpointSlice(s)
		}
		done <- struct{}{}
	}()
	have := make(map[string]proxier.Service)
	for range 20 {
		changes, err := tracker.Changes()
		require.NoError(t, err)
		for _, s := range changes.Upsert {
			have[s.Name] = s
		}
	}
	<-done
	<-done
	changes, err := tracker.Changes()
	require.NoError(t, err)
	for _, s := range changes.Upsert {
		have[s.Name] = s
	}
	want, err := kube.Services(objects, kube.Node{Name: "node-0"})
	require.NoError(t, err)
	require.Equal(t, want, sortedServices(have))
}

// TestTrackerCost: what one changed endpoint allocates does not depend on how
// many Services there are.
func TestTrackerCost(t *testing.T) {
	allocations := func(n int) float64 {
		tracker, slice := loaded(t, n)
		return testing.AllocsPerRun(100, func() { oneEndpoint(t, tracker, slice) })
	}
	few := allocations(10)
	require.InDelta(t, few, allocations(10_000), 3, "the runtime adds one now and then")
	require.Less(t, few, 100.0)
}

// loaded returns a tracker of n Services, and two states of a slice of one.
func loaded(t testing.TB, n int) (*kube.Tracker, [2]*discoveryv1.EndpointSlice) {
	objects := cluster(n)
	tracker := kube.NewTracker(kube.Node{Name: "node-1", Zone: "zone-1"})
	tracker.Replace(objects)
	all, err := tracker.All()
	require.NoError(t, err)
	require.Len(t, all, n)
	slice := objects.EndpointSlices[n/2]
	other := slice.DeepCopy()
	other.Endpoints[3].Addresses[0] = "10.99.0.1"
	return tracker, [2]*discoveryv1.EndpointSlice{slice, other}
}

// oneEndpoint changes one endpoint, and changes it back.
func oneEndpoint(t testing.TB, tracker *kube.Tracker, states [2]*discoveryv1.EndpointSlice) {
	for _, s := range []int{1, 0} {
		tracker.SetEndpointSlice(states[s])
		changes, err := tracker.Changes()
		if err != nil || len(changes.Upsert) != 1 || len(changes.Delete) != 0 {
			t.Fatal(changes, err)
		}
	}
}
