package kube

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Decode reads what "kubectl get services,endpointslices,nodes -A" prints with
// -o yaml or -o json: Lists, single objects, several documents one after the
// other, in any mixture. It takes v1 Services and Nodes and discovery.k8s.io/v1
// EndpointSlices; objects of any other kind are faults. A Service or
// EndpointSlice without namespace is in "default". Of objects with the same
// kind, namespace and name the first counts.
//
// The Objects are never nil: what is right is returned beside the error, which
// joins an [*ObjectError] for each fault. Input without any object or list is
// [ErrEmpty]; a List without items is a cluster without services, and right.
func Decode(r io.Reader) (*Objects, error) {
	d := decoder{objects: &Objects{origins: make(map[ref]position)}}
	stream, err := io.ReadAll(r)
	if err != nil {
		return d.objects, fmt.Errorf("read: %w", err) // half of a file is no state
	}
	number := 0
	for _, doc := range documents(stream) {
		values, err := doc.values()
		for _, v := range values {
			number++
			d.document(v, position{document: number})
		}
		if err != nil {
			number++
			d.fault(position{document: number}, ref{}, "", err)
		}
	}
	if !d.found && len(d.faults) == 0 {
		return d.objects, ErrEmpty
	}
	return d.objects, errors.Join(d.faults...)
}

// decoder is the state of one Decode.
type decoder struct {
	objects *Objects
	faults  []error
	// found says that there was an object or a list, right or not.
	found bool
}

// header is what says how to read a value.
type header struct {
	metav1.TypeMeta `json:""`

	Metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Items json.RawMessage `json:"items"`
}

func (d *decoder) fault(at position, of ref, field string, err error) {
	f := objectFaults{at: at, of: of}
	f.wrap(field, err)
	d.faults = append(d.faults, f.list...)
}

// document reads an object or a list of objects.
func (d *decoder) document(raw json.RawMessage, at position) {
	if bytes.Equal(raw, []byte("null")) {
		return // comments between two markers
	}
	d.found = true
	h, of, ok := d.header(raw, at)
	if !ok {
		return
	}
	item := metav1.TypeMeta{}
	switch h.TypeMeta {
	case typeList:
	case typeServiceList:
		item = typeService
	case typeNodeList:
		item = typeNode
	case typeSliceList:
		item = typeSlice
	default:
		d.object(raw, h, of, at)
		return
	}
	var items []json.RawMessage
	if h.Items == nil {
		d.fault(at, of, "items", errors.New("missing"))
		return
	}
	if faults := unmarshal(h.Items, &items, "items"); len(faults) > 0 {
		d.typeFaults(faults, at, of)
		return
	}
	for i, raw := range items {
		at.item = i + 1
		h, of, ok := d.header(raw, at)
		if !ok {
			continue
		}
		if h.TypeMeta == (metav1.TypeMeta{}) { // items of typed lists say no kind
			h.TypeMeta, of.kind = item, item.Kind
		}
		d.object(raw, h, of, at)
	}
}

// The types that Decode takes.
var (
	typeService     = metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}
	typeNode        = metav1.TypeMeta{APIVersion: "v1", Kind: "Node"}
	typeSlice       = metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"}
	typeList        = metav1.TypeMeta{APIVersion: "v1", Kind: "List"}
	typeServiceList = metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceList"}
	typeNodeList    = metav1.TypeMeta{APIVersion: "v1", Kind: "NodeList"}
	typeSliceList   = metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSliceList"}
)

// header reads what kind of object raw is, and which. Faults in the metadata
// are left to the reader of the whole object; without a kind there is none.
func (d *decoder) header(raw json.RawMessage, at position) (header, ref, bool) {
	var h header
	faults := unmarshal(raw, &h, "")
	of := ref{h.Kind, h.Metadata.Namespace, h.Metadata.Name}
	if len(faults) > 0 && (h.Kind == "" || h.APIVersion == "") {
		d.typeFaults(faults, at, of)
		return h, of, false
	}
	return h, of, true
}

func (d *decoder) typeFaults(faults []typeFault, at position, of ref) {
	for _, f := range faults {
		d.fault(at, of, f.field, f.err)
	}
}

// object reads one object that is no list.
func (d *decoder) object(raw json.RawMessage, h header, of ref, at position) {
	o := d.objects
	switch h.TypeMeta {
	case typeService:
		if s, ok := object(d, &corev1.Service{}, raw, of, at); ok {
			o.Services = append(o.Services, s)
		}
	case typeSlice:
		if s, ok := object(d, &discoveryv1.EndpointSlice{}, raw, of, at); ok {
			o.EndpointSlices = append(o.EndpointSlices, s)
		}
	case typeNode:
		if n, ok := object(d, &corev1.Node{}, raw, of, at); ok {
			o.Nodes = append(o.Nodes, n)
		}
	default:
		field, what := "kind", fmt.Sprintf("%q of apiVersion %q", h.Kind, h.APIVersion)
		if h.Kind == "" {
			what = "missing"
		}
		d.fault(at, of, field, fmt.Errorf(
			"%s, want Service (v1), EndpointSlice (discovery.k8s.io/v1) or Node (v1)", what))
	}
}

// object reads raw into an object of one type, and remembers where it was.
func object[T metav1.Object](d *decoder, into T, raw json.RawMessage, of ref, at position) (T, bool) {
	if faults := unmarshal(raw, into, ""); len(faults) > 0 {
		d.typeFaults(faults, at, of)
		return into, false
	}
	if of.name == "" {
		d.fault(at, of, "metadata.name", errors.New("missing"))
		return into, false
	}
	if of.namespace == "" && of.kind != typeNode.Kind {
		of.namespace = metav1.NamespaceDefault
		into.SetNamespace(of.namespace)
	}
	if first, ok := d.objects.origins[of]; ok {
		d.fault(at, of, "", fmt.Errorf("is in %v already, and that one counts", first))
		return into, false
	}
	d.objects.origins[of] = at
	return into, true
}
