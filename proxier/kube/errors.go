package kube

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// ErrEmpty means that the input of [Decode] held no object and no list.
var ErrEmpty = errors.New("nothing found: the input holds no Service, EndpointSlice or Node")

// ObjectError is one fault of one object.
type ObjectError struct {
	// Document is the document of the input, from 1. Zero: the object is not
	// from [Decode].
	Document int
	// Item is the object's place in a List, from 1. Zero: the document is the
	// object itself.
	Item int
	// Kind, Namespace and Name are the object's, empty where it has none or
	// none that can be read.
	Kind, Namespace, Name string
	// Field is the path to the fault: "spec.ports[0].port", with places from
	// 0 as in the API. Empty: the object as a whole.
	Field string
	// Err says what is wrong.
	Err error
}

// Error implements error: "document 2, item 14 (Service shop/cart):
// spec.ports[0].port: 70000, want 1–65535".
func (e *ObjectError) Error() string {
	var b strings.Builder
	at, object := position{e.Document, e.Item}, ref{e.Kind, e.Namespace, e.Name}.String()
	switch {
	case e.Document == 0:
		b.WriteString(object)
	case object == "":
		b.WriteString(at.String())
	default:
		b.WriteString(at.String() + " (" + object + ")")
	}
	if e.Field != "" {
		b.WriteString(": " + printable(e.Field))
	}
	return b.String() + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *ObjectError) Unwrap() error { return e.Err }

// position is where in the input an object is.
type position struct{ document, item int }

func (p position) String() string {
	s := "document " + strconv.Itoa(p.document)
	if p.item != 0 {
		s += ", item " + strconv.Itoa(p.item)
	}
	return s
}

// ref identifies an object among those of a cluster.
type ref struct{ kind, namespace, name string }

func (r ref) String() string {
	s := r.name
	if r.namespace != "" {
		s = r.namespace + "/" + cmp.Or(s, "?")
	}
	return printable(strings.TrimSpace(r.kind + " " + s))
}

// printable returns s, quoted if it could break the line that it is written in.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// objectFaults collects the faults of one object.
type objectFaults struct {
	at   position
	of   ref
	list []error
}

func (f *objectFaults) add(field, format string, args ...any) {
	f.wrap(field, fmt.Errorf(format, args...))
}

func (f *objectFaults) wrap(field string, err error) {
	f.list = append(f.list, &ObjectError{
		Document: f.at.document, Item: f.at.item,
		Kind: f.of.kind, Namespace: f.of.namespace, Name: f.of.name,
		Field: field, Err: err,
	})
}

// has reports whether there is a fault of the field.
func (f *objectFaults) has(field string) bool {
	return slices.ContainsFunc(f.list, func(err error) bool {
		o, ok := errors.AsType[*ObjectError](err)
		return ok && o.Field == field
	})
}

// field returns the path of the i-th element of a list, and of what is in it:
// field("spec.ports", 2, "port") is "spec.ports[2].port".
func field(list string, i int, within ...string) string {
	return strings.Join(append([]string{list + "[" + strconv.Itoa(i) + "]"}, within...), ".")
}
