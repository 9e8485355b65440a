package main

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/vipkit/vipkit/proxier"
	"github.com/vipkit/vipkit/proxier/kube"
)

//go:embed cluster-small.yaml
var sample []byte

// wanted is what a dump says, from the view of one node.
type wanted struct {
	// about says which node that is, in a sentence.
	about    string
	config   proxier.Config
	services []proxier.Service
	// faults are what is wrong with single objects. With any, services are
	// not all that the cluster has.
	faults faults
}

// faults are errors, each one said once.
type faults []error

// add adds an error, or those that it joins.
func (f *faults) add(err error) {
	for _, e := range split(err) {
		if !slices.ContainsFunc(*f, func(have error) bool { return have.Error() == e.Error() }) {
			*f = append(*f, e)
		}
	}
}

// sort puts faults of objects in the order of the dump.
func (f faults) sort() {
	place := func(err error) (document, item int) {
		if o := (*kube.ObjectError)(nil); errors.As(err, &o) {
			return o.Document, o.Item
		}
		return math.MaxInt, 0
	}
	slices.SortStableFunc(f, func(a, b error) int {
		document, item := place(a)
		otherDocument, otherItem := place(b)
		return cmp.Or(cmp.Compare(document, otherDocument), cmp.Compare(item, otherItem))
	})
}

func (f faults) join() error { return errors.Join(f...) }

// split returns the errors that err joins, or err alone.
func split(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || errors.Join(joined.Unwrap()...).Error() != err.Error() {
		return []error{err} // one error that has several kinds
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, split(e)...)
	}
	return all
}

// load reads the dump and makes services of it. The error says why nothing can
// be done with it.
func (o options) load(stdin io.Reader) (*wanted, error) {
	data, err := o.read(stdin)
	if err != nil {
		return nil, err
	}
	w := &wanted{}
	objects, err := kube.Decode(bytes.NewReader(data))
	w.faults.add(err)
	if len(objects.Services) == 0 {
		if !errors.Is(err, kube.ErrEmpty) {
			w.faults.add(errors.New("the dump has no Service that can be read; to remove everything there is -remove"))
		}
		return nil, w.faults.join()
	}
	node, err := w.chooseNode(objects, o.node)
	if err != nil {
		w.faults.add(err)
		return nil, w.faults.join()
	}
	w.services, err = kube.Services(objects, node)
	w.faults.add(err)
	pods, err := objects.PodCIDRs()
	w.faults.add(err)
	w.config = proxier.Config{NodeAddresses: node.Addresses, ClusterCIDRs: pods, PodCIDRs: node.PodCIDRs}
	w.faults.sort()
	w.leaveUncertain(node)
	return w, nil
}

func (o options) read(stdin io.Reader) ([]byte, error) {
	switch o.file {
	case "":
		return sample, nil
	case "-":
		return io.ReadAll(stdin)
	}
	return os.ReadFile(o.file)
}

// chooseNode returns the node of that name, or with none the first.
func (w *wanted) chooseNode(objects *kube.Objects, name string) (kube.Node, error) {
	names := objects.NodeNames()
	if name == "" {
		if w.hasFault(func(f *kube.ObjectError) bool { return strings.HasPrefix(f.Kind, "Node") }) {
			return kube.Node{}, errors.New("the first Node may be one that cannot be read: choose with -node")
		}
		if len(names) == 0 {
			w.about = "no node in the dump: node ports answer nowhere, no endpoint is local"
			return kube.Node{}, nil
		}
		name = names[0]
	}
	if !slices.Contains(names, name) {
		return kube.Node{}, fmt.Errorf("-node %s: not among the nodes of the dump: %s", name, strings.Join(names, ", "))
	}
	w.about = fmt.Sprintf("node %s of %s", name, strings.Join(names, ", "))
	node, err := objects.Node(name)
	w.faults.add(err)
	return node, nil
}

// leaveUncertain takes out the services of which a fault may hide a part that is
// in the host already: their endpoints, or the addresses of their node ports.
func (w *wanted) leaveUncertain(node kube.Node) {
	noEndpoints := w.hasFault(func(f *kube.ObjectError) bool {
		return f.Kind == "" || f.Kind == "List" || strings.HasPrefix(f.Kind, "EndpointSlice")
	})
	noAddress := w.hasFault(func(f *kube.ObjectError) bool {
		return f.Kind == "Node" && f.Name == node.Name && strings.HasPrefix(f.Field, "status.addresses")
	})
	w.services = slices.DeleteFunc(w.services, func(s proxier.Service) bool {
		isNodePort := func(fe proxier.Frontend) bool { return fe.Kind == proxier.NodePort }
		switch {
		case noEndpoints && len(s.Endpoints) == 0:
			w.faults.add(fmt.Errorf("service %q: left as it was: its endpoints may be in what cannot be read", s.Name))
		case noAddress && slices.ContainsFunc(s.Frontends, isNodePort):
			w.faults.add(fmt.Errorf("service %q: left as it was: an address of its node port cannot be read", s.Name))
		default:
			return false
		}
		return true
	})
}

func (w *wanted) hasFault(is func(*kube.ObjectError) bool) bool {
	return slices.ContainsFunc(w.faults, func(err error) bool {
		f := (*kube.ObjectError)(nil)
		return errors.As(err, &f) && is(f)
	})
}
