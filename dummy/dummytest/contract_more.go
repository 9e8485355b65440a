package dummytest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/dummy"
)

func testCancelled(h host) {
	h.create(theLink)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := h.Link(ctx, theLink)
	require.ErrorIs(h.t, err, context.Canceled)
	require.ErrorIs(h.t, h.CreateLink(ctx, dummy.Link{Name: "vipkit1"}), context.Canceled)
	require.ErrorIs(h.t, h.UpdateLink(ctx, dummy.Link{Name: theLink}), context.Canceled)
	require.ErrorIs(h.t, h.DeleteLink(ctx, theLink), context.Canceled)
	for _, err := range h.Watch(ctx) {
		require.ErrorIs(h.t, err, context.Canceled)
	}
	for _, err := range h.Addresses(ctx, theLink) {
		require.ErrorIs(h.t, err, context.Canceled)
	}
	errs := h.Apply(ctx, theLink, []dummy.Change{add(address("10.96.0.1")), add(route("10.96.0.2"))})
	require.Len(h.t, errs, 2)
	for _, err := range errs {
		require.ErrorIs(h.t, err, context.Canceled)
	}
	h.holds(theLink)
	_, err = h.Link(context.Background(), "vipkit1")
	require.ErrorIs(h.t, err, fs.ErrNotExist)
}

// testConcurrent changes and reads from several goroutines.
func testConcurrent(h host) {
	h.create(theLink)
	var wg sync.WaitGroup
	failures := make([]error, 4)
	for g := range failures {
		wg.Go(func() {
			for i := range 20 {
				a := address(fmt.Sprintf("10.%d.0.%d", g, i+1))
				if i%2 == 0 {
					a = route(fmt.Sprintf("fd00:%d::%x", g, i+1))
				}
				failures[g] = errors.Join(append(h.Apply(context.Background(), theLink, []dummy.Change{add(a)}), failures[g])...)
				found := false
				for have, err := range h.Addresses(context.Background(), theLink) {
					if errors.Is(err, vipkit.ErrInterrupted) {
						found = true // others were writing: nothing was said
						break
					}
					failures[g] = errors.Join(failures[g], err)
					found = found || have == a
				}
				if !found {
					failures[g] = errors.Join(failures[g], fmt.Errorf("%s is not there", a))
				}
			}
		})
	}
	wg.Wait()
	require.NoError(h.t, errors.Join(failures...))
	n := slices.Collect(func(yield func(dummy.Address) bool) {
		for a, err := range h.Addresses(context.Background(), theLink) {
			require.NoError(h.t, err)
			if !yield(a) {
				return
			}
		}
	})
	require.Len(h.t, n, 80)
}
