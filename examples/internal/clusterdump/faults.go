package clusterdump

import (
	"cmp"
	"errors"
	"math"
	"slices"

	"github.com/vipkit/vipkit/proxier/kube"
)

// Faults are errors, each one said once.
type Faults []error

// Add adds an error, or those that it joins.
func (f *Faults) Add(err error) {
	for _, e := range Split(err) {
		if !slices.ContainsFunc(*f, func(have error) bool { return have.Error() == e.Error() }) {
			*f = append(*f, e)
		}
	}
}

// Join returns them as one error, or nil.
func (f Faults) Join() error { return errors.Join(f...) }

// sort puts faults of objects in the order of the dump.
func (f Faults) sort() {
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

// hasObject reports whether one of them is a fault of an object that is meant.
func (f Faults) hasObject(meant func(*kube.ObjectError) bool) bool {
	return slices.ContainsFunc(f, func(err error) bool {
		o := (*kube.ObjectError)(nil)
		return errors.As(err, &o) && meant(o)
	})
}

// Split returns the errors that err joins, or err alone.
func Split(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || errors.Join(joined.Unwrap()...).Error() != err.Error() {
		return []error{err} // one error that has several kinds
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, Split(e)...)
	}
	return all
}
