package conntrack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"

	"github.com/vipkit/vipkit"
)

// Frontend is a virtual address and port. It is comparable.
type Frontend struct {
	// Protocol is TCP, UDP or SCTP.
	Protocol vipkit.Protocol
	// Addr is the virtual address and port.
	Addr netip.AddrPort
}

// String returns the frontend as "udp 10.96.0.10:53".
func (f Frontend) String() string { return fmt.Sprintf("%v %v", f.Protocol, f.Addr) }

// Validate reports every fault of the frontend.
func (f Frontend) Validate() error {
	return Match{Protocol: f.Protocol, OriginalDst: f.Addr}.Validate()
}

func (f Frontend) filter() Filter {
	return Filter{Family: vipkit.FamilyOf(f.Addr.Addr()), Protocol: f.Protocol, OriginalDst: f.Addr}
}

// Stale returns the flows to the given frontends whose endpoint is none of those
// that are live: those of endpoints that are gone, and those from before IPVS knew
// the frontend, which the virtual address itself would answer. Flows to other
// frontends are never among them, and a frontend without live endpoints has only
// stale flows.
//
// All that it needs is the kernel's own state, so it also finds what a process
// that has died did not come to delete. Up to six frontends cost a dump each that
// the kernel filters, more of them one dump a family; an empty table costs one
// question. A frontend that [Frontend.Validate] refuses is fs.ErrInvalid, and then
// nothing is read.
func Stale(ctx context.Context, c Client, live map[Frontend][]netip.AddrPort) ([]Flow, error) {
	type pair struct {
		frontend Frontend
		endpoint netip.AddrPort
	}
	var errs []error
	pairs := make(map[pair]bool)
	for frontend, endpoints := range live {
		if err := frontend.Validate(); err != nil {
			errs = append(errs, &vipkit.OpError{Op: "conntrack list", Object: frontend.String(), Kind: fs.ErrInvalid, Err: err})
		}
		for _, e := range endpoints {
			pairs[pair{frontend, e}] = true
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if len(live) == 0 {
		return nil, ctx.Err()
	}
	if n, _, err := c.Count(ctx); err != nil || n == 0 {
		return nil, err
	}
	var stale []Flow
	for _, filter := range filtersOf(maps.Keys(live), len(live)) {
		for f, err := range c.Flows(ctx, filter) {
			if err != nil {
				return nil, err
			}
			key := Frontend{f.Protocol, f.Original.Dst}
			if _, ours := live[key]; ours && !pairs[pair{key, f.Reply.Src}] {
				stale = append(stale, f.Flow)
			}
		}
	}
	return stale, nil
}

// DeleteStale deletes the flows that [Stale] finds, and returns how many it
// deleted. Whatever it returns, calling it again is right.
func DeleteStale(ctx context.Context, c Client, live map[Frontend][]netip.AddrPort) (int, error) {
	stale, err := Stale(ctx, c, live)
	if err != nil || len(stale) == 0 {
		return 0, err
	}
	return c.Delete(ctx, stale)
}
