package ipvs

import (
	"context"
	"errors"
	"iter"

	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit/internal/nl"
)

const (
	opServices     = "ipvs list services"
	opDestinations = "ipvs list destinations"
)

// Services implements [Client].
func (c *Conn) Services(ctx context.Context) iter.Seq2[ServiceInfo, error] {
	return func(yield func(ServiceInfo, error) bool) {
		all, err := dump(ctx, c, cmdGetService, decodeService)
		if err != nil {
			yield(ServiceInfo{}, ReadError(opServices, "", err))
			return
		}
		for i := range all {
			if !yield(all[i], nil) {
				return
			}
		}
	}
}

// Destinations implements [Client].
func (c *Conn) Destinations(ctx context.Context, of Key) iter.Seq2[DestinationInfo, error] {
	return func(yield func(DestinationInfo, error) bool) {
		err := of.checkLookup()
		var all []DestinationInfo
		if err == nil {
			all, err = c.dumpDestinations(ctx, of)
		}
		if err != nil {
			yield(DestinationInfo{}, ReadError(opDestinations, of.String(), err))
			return
		}
		for i := range all {
			if !yield(all[i], nil) {
				return
			}
		}
	}
}

// Servers implements [Client]. Virtual servers come in one dump; the destinations
// of each by getsockopt where that tells all, and in a dump where not.
func (c *Conn) Servers(ctx context.Context, full func(Key) bool) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		services, err := dump(ctx, c, cmdGetService, decodeSettings)
		if err != nil {
			yield(Row{}, ReadError(opServices, "", err))
			return
		}
		call, counting := c.calls.Get().(*optionCall), c.calls.Get().(*optionCall)
		defer c.calls.Put(call)
		defer c.calls.Put(counting)
		var known counter
		counted := false
		for i := range services {
			row := Row{Service: services[i]}
			if full != nil && !full(row.Key) {
				if !yield(row, nil) {
					return
				}
				continue
			}
			if !counted {
				counted = true
				known, err = c.options.counts(counting, len(services))
			}
			if err == nil {
				row.Destinations, err = c.destinationsOf(ctx, call, &known, &row.Key)
			}
			if errors.Is(err, unix.ESRCH) {
				err = nil // deleted in the meantime
				continue
			}
			if err != nil {
				yield(Row{}, ReadError(opDestinations, row.Key.String(), err))
				return
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}

// destinationsOf reads the destinations of a virtual server the shortest way.
func (c *Conn) destinationsOf(ctx context.Context, call *optionCall, known *counter, of *Key) ([]Destination, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if of.Addr.Is4() {
		if count, ok := known.of(of); ok && count == 0 {
			return nil, nil
		} else if ok {
			all, err := c.options.destinations(call, of, count)
			if !errors.Is(err, errSockopt) {
				return all, err
			}
		}
	}
	infos, err := c.dumpDestinations(ctx, *of)
	if err != nil {
		return nil, err
	}
	all := make([]Destination, len(infos))
	for i := range infos {
		all[i] = infos[i].Destination
	}
	return all, nil
}

// dumpDestinations reads the destinations of a virtual server.
func (c *Conn) dumpDestinations(ctx context.Context, of Key) ([]DestinationInfo, error) {
	family, err := c.familyID(ctx)
	if err != nil {
		return nil, err
	}
	w := c.writers.Get().(*writer)
	defer c.writers.Put(w)
	w.batch.Reset()
	appendGetDestinations(&w.batch, family, &of, unix.NLM_F_DUMP)
	var all []DestinationInfo
	err = nl.Retry(func() error {
		all = all[:0]
		return c.dumps.Read(ctx, &w.batch, func(m nl.Message) error {
			d, ok := decodeDestination(m, of)
			if !ok {
				return errMalformed
			}
			all = append(all, d)
			return nil
		})
	})
	return all, err
}
