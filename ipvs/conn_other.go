//go:build !linux

package ipvs

import (
	"context"
	"errors"
	"iter"
)

// Conn is the kernel's IPVS; this system has none.
type Conn struct{}

var _ Client = (*Conn)(nil)

// Open fails with errors.ErrUnsupported.
func Open(*Config) (*Conn, error) {
	return nil, ReadError("ipvs open", "", errors.ErrUnsupported)
}

// Close implements [io.Closer].
func (*Conn) Close() error { return nil }

// Requests returns zeros.
func (*Conn) Requests() (messages, sends int64) { return 0, 0 }

// Info implements [Client].
func (*Conn) Info(context.Context) (Info, error) {
	return Info{}, ReadError("ipvs info", "", errors.ErrUnsupported)
}

// Services implements [Client].
func (*Conn) Services(context.Context) iter.Seq2[ServiceInfo, error] {
	return func(yield func(ServiceInfo, error) bool) {
		yield(ServiceInfo{}, ReadError("ipvs list services", "", errors.ErrUnsupported))
	}
}

// Servers implements [Client].
func (*Conn) Servers(context.Context, func(Key) bool) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		yield(Row{}, ReadError("ipvs list services", "", errors.ErrUnsupported))
	}
}

// Destinations implements [Client].
func (*Conn) Destinations(_ context.Context, of Key) iter.Seq2[DestinationInfo, error] {
	return func(yield func(DestinationInfo, error) bool) {
		yield(DestinationInfo{}, ReadError("ipvs list destinations", of.String(), errors.ErrUnsupported))
	}
}

// Timeouts implements [Client].
func (*Conn) Timeouts(context.Context) (Timeouts, error) {
	return Timeouts{}, ReadError("ipvs get timeouts", "", errors.ErrUnsupported)
}

// SetTimeouts implements [Client].
func (*Conn) SetTimeouts(_ context.Context, t Timeouts) error {
	return ReadError("ipvs set timeouts", t.String(), errors.ErrUnsupported)
}

// Daemons implements [Client].
func (*Conn) Daemons(context.Context) ([]Daemon, error) {
	return nil, ReadError("ipvs list daemons", "", errors.ErrUnsupported)
}

// StartDaemon implements [Client].
func (*Conn) StartDaemon(_ context.Context, d Daemon) error {
	return ReadError(opStartDaemon, d.String(), errors.ErrUnsupported)
}

// StopDaemon implements [Client].
func (*Conn) StopDaemon(_ context.Context, state DaemonState) error {
	return ReadError(opStopDaemon, "--stop-daemon "+state.String(), errors.ErrUnsupported)
}

// Apply implements [Client].
func (*Conn) Apply(_ context.Context, changes []Change) []error {
	errs := make([]error, len(changes))
	for i, c := range changes {
		errs[i] = ChangeError(c, errors.ErrUnsupported)
	}
	return errs
}
