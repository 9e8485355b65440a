package proxier

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vipkit/vipkit/conntrack"
)

// ServiceError is why one service is not as it was asked for.
type ServiceError struct {
	// Service is the service's name.
	Service string
	// Err is every reason, joined.
	Err error
}

// Error implements error: `service "shop/cart:grpc": …`.
func (e ServiceError) Error() string {
	return fmt.Sprintf("service %q: %s", e.Service, strings.ReplaceAll(e.Err.Error(), "\n", "; "))
}

// Unwrap returns Err.
func (e ServiceError) Unwrap() error { return e.Err }

// Report says what [Proxier.ApplyServices] did.
type Report struct {
	// Programmed are the services that the kernel now has as wanted, sorted
	// by name.
	Programmed []string
	// Failed are the services that it has not, sorted by name: refused as
	// invalid or in conflict, or stopped by a write that failed. What it had
	// of them before stays; the next call tries again.
	Failed []ServiceError
	// Operations is how many writes there were, failed and skipped ones not
	// counted. Zero: the kernel agreed already.
	Operations int
	// FlowsDeleted is how many stale UDP flows were deleted.
	FlowsDeleted int
	// FlowsPending are stale flows whose deletion failed: it is due at the
	// next call.
	FlowsPending []conntrack.Match
}

// Err returns the errors of the failed services, joined, or nil.
func (r Report) Err() error {
	errs := make([]error, len(r.Failed))
	for i, f := range r.Failed {
		errs[i] = f
	}
	return errors.Join(errs...)
}

// String returns the report in a few lines: how many services are programmed,
// how many operations it took, and each failure.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d services programmed, %d failed, %d operations, %d stale flows deleted\n",
		len(r.Programmed), len(r.Failed), r.Operations, r.FlowsDeleted)
	for _, f := range r.Failed {
		fmt.Fprintf(&b, "failed: %v\n", f)
	}
	for _, m := range r.FlowsPending {
		fmt.Fprintf(&b, "pending: conntrack %v\n", m)
	}
	return b.String()
}

// list returns the refusals sorted by name.
func (r refusals) list() []ServiceError {
	var failed []ServiceError
	for name, errs := range r {
		failed = append(failed, ServiceError{Service: name, Err: errors.Join(errs...)})
	}
	slices.SortFunc(failed, func(a, b ServiceError) int { return strings.Compare(a.Service, b.Service) })
	return failed
}
