package kube

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/json"
)

// typeFault is a value of the wrong type.
type typeFault struct {
	field string
	err   error
}

// unmarshal reads JSON as the API server does: names of fields count with their
// case, unknown ones are passed over. Where a decoder would name the first
// wrong value, without its place in lists, this names all of them, below path.
func unmarshal(raw stdjson.RawMessage, into any, path string) []typeFault {
	err := json.Unmarshal(raw, into)
	if err == nil {
		return nil
	}
	if faults := wrongTypes(raw, reflect.TypeOf(into).Elem(), path, nil); len(faults) > 0 {
		return faults
	}
	return []typeFault{{path, err}}
}

// wrongTypes appends a fault for each value in raw that a value of type t
// cannot hold.
func wrongTypes(raw stdjson.RawMessage, t reflect.Type, path string, faults []typeFault) []typeFault {
	if string(raw) == "null" {
		return faults
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[stdjson.Unmarshaler]()) {
		return wrongLeaf(raw, t, path, faults)
	}
	switch t.Kind() {
	case reflect.Struct:
		var members map[string]stdjson.RawMessage
		if stdjson.Unmarshal(raw, &members) != nil {
			return append(faults, wrong(raw, "object", path))
		}
		return wrongMembers(members, raw, t, path, faults)
	case reflect.Map:
		var members map[string]stdjson.RawMessage
		if stdjson.Unmarshal(raw, &members) != nil {
			return append(faults, wrong(raw, "object", path))
		}
		for _, name := range slices.Sorted(maps.Keys(members)) {
			faults = wrongTypes(members[name], t.Elem(), join(path, name), faults)
		}
		return faults
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return wrongLeaf(raw, t, path, faults)
		}
		var elements []stdjson.RawMessage
		if stdjson.Unmarshal(raw, &elements) != nil {
			return append(faults, wrong(raw, "list", path))
		}
		for i, e := range elements {
			faults = wrongTypes(e, t.Elem(), field(path, i), faults)
		}
		return faults
	default:
		return wrongLeaf(raw, t, path, faults)
	}
}

// wrongMembers is wrongTypes for the fields of a struct, in their order.
func wrongMembers(members map[string]stdjson.RawMessage, raw stdjson.RawMessage, t reflect.Type, path string, faults []typeFault) []typeFault {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" && f.Anonymous {
			faults = wrongTypes(raw, f.Type, path, faults)
		} else if value, ok := members[name]; ok {
			faults = wrongTypes(value, f.Type, join(path, name), faults)
		}
	}
	return faults
}

// wrongLeaf is wrongTypes for a type that has no parts.
func wrongLeaf(raw stdjson.RawMessage, t reflect.Type, path string, faults []typeFault) []typeFault {
	if json.Unmarshal(raw, reflect.New(t).Interface()) == nil {
		return faults
	}
	var kind string
	switch t.Kind() {
	case reflect.Bool:
		kind = "boolean"
	case reflect.String:
		kind = "string"
	case reflect.Int32, reflect.Int64:
		kind = fmt.Sprintf("integer of %d bits", t.Bits())
	default:
		kind = t.Name() // Time, IntOrString, Quantity
	}
	return append(faults, wrong(raw, kind, path))
}

// wrong returns the fault of one value, of which it shows the beginning.
func wrong(raw stdjson.RawMessage, kind, path string) typeFault {
	line := new(bytes.Buffer)
	_ = stdjson.Compact(line, raw) // raw was parsed already
	shown := []rune(line.String())
	if len(shown) > 40 {
		shown = append(shown[:40], '…')
	}
	return typeFault{path, fmt.Errorf("%s is no %s", string(shown), kind)}
}

func join(path, name string) string {
	return strings.TrimPrefix(path+"."+name, ".")
}
