package dummytest

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/dummy"
)

// patience is how long an event may take.
const patience = 10 * time.Second

// text returns a host's addresses as text, and checks that each has a link.
func (h host) text() (texts []string) {
	h.t.Helper()
	list, err := dummy.HostAddresses(context.Background(), h)
	require.NoError(h.t, err)
	for _, a := range list {
		require.Positive(h.t, a.Index)
		require.True(h.t, a.Usable())
		texts = append(texts, a.String())
	}
	return texts
}

func testHostAddresses(h host) {
	lo := []string{"lo inet 127.0.0.1/8 scope host", "lo inet6 ::1/128 scope host"}
	require.ElementsMatch(h.t, lo, h.text())
	h.create(theLink)
	h.apply(theLink, add(address("10.96.0.1")), add(address("fd00::1")), add(route("10.96.0.2")), add(route("fd00::2")))
	require.ElementsMatch(h.t, append([]string{theLink + " inet 10.96.0.1/32 scope global", theLink + " inet6 fd00::1/128 scope global"}, lo...), h.text())
	require.NoError(h.t, h.UpdateLink(context.Background(), dummy.Link{Name: theLink}))
	require.ElementsMatch(h.t, append([]string{theLink + " inet 10.96.0.1/32 scope global"}, lo...), h.text())
	require.NoError(h.t, h.DeleteLink(context.Background(), theLink))
	require.ElementsMatch(h.t, lo, h.text())
}

// watcher follows a Watch and holds what it was told.
type watcher struct {
	host
	next func() (dummy.Event, error, bool)
	held map[dummy.HostKey]dummy.HostAddress
}

func (h host) watch() (*watcher, func()) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	next, stop := iter.Pull2(h.Watch(ctx))
	w := &watcher{h, next, make(map[dummy.HostKey]dummy.HostAddress)}
	for w.step().Kind != dummy.Listed {
	}
	return w, func() {
		stop()
		cancel()
	}
}

// step takes the next event and checks that it tells something new.
func (w *watcher) step() dummy.Event {
	w.t.Helper()
	event, err, ok := w.next()
	require.True(w.t, ok)
	require.NoError(w.t, err)
	have, is := w.held[event.Address.HostKey]
	switch event.Kind {
	case dummy.Present:
		require.False(w.t, is && have == event.Address, "told twice: %v", event)
		w.held[event.Address.HostKey] = event.Address
	case dummy.Gone:
		require.True(w.t, is, "end of what was not told: %v", event)
		require.Equal(w.t, have, event.Address)
		delete(w.held, event.Address.HostKey)
	default:
		require.Zero(w.t, event.Address)
	}
	return event
}

// until takes events until exactly n virtual addresses are held.
func (w *watcher) until(n int) {
	w.t.Helper()
	for len(w.held) != n+2 { // and those of lo
		w.step()
	}
}

func testWatch(h host) {
	w, stop := h.watch()
	defer stop()
	w.until(0)
	h.create(theLink)
	h.apply(theLink, add(address("10.96.0.1")), add(route("10.96.0.2")))
	require.Equal(h.t, "present "+theLink+" inet 10.96.0.1/32 scope global", w.step().String())
	h.apply(theLink, add(address("fd00::1")), add(address("10.96.0.3")))
	w.until(3)
	h.apply(theLink, del(address("10.96.0.1")))
	require.Equal(h.t, "gone "+theLink+" inet 10.96.0.1/32 scope global", w.step().String())
	require.NoError(h.t, h.UpdateLink(context.Background(), dummy.Link{Name: theLink}))
	require.Equal(h.t, "gone "+theLink+" inet6 fd00::1/128 scope global", w.step().String())
	// Two watches do not disturb each other, and writing from the loop is fine.
	other, stopOther := h.watch()
	require.Equal(h.t, w.held, other.held)
	var adds, dels []dummy.Change
	for i := range 500 {
		a := dummy.Address{Addr: netip.MustParseAddr(fmt.Sprintf("10.1.%d.%d", i/250, i%250))}
		adds, dels = append(adds, add(a)), append(dels, del(a))
	}
	h.apply(theLink, adds...)
	w.until(501)
	stopOther()
	h.apply(theLink, dels[:300]...)
	w.until(201)
	require.NoError(h.t, h.DeleteLink(context.Background(), theLink))
	w.until(0)
	list, err := dummy.HostAddresses(context.Background(), h)
	require.NoError(h.t, err)
	for _, a := range list {
		require.Equal(h.t, a, w.held[a.HostKey])
	}
	require.Len(h.t, maps.Clone(w.held), len(list))
}

// testWatchEnds ends watches early, by their context, and while they wait.
func testWatchEnds(h host) {
	for _, err := range h.Watch(context.Background()) {
		require.NoError(h.t, err)
		break
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var last error
	n := 0
	for event, err := range h.Watch(ctx) {
		require.NoError(h.t, last, "nothing comes behind an error")
		if last = err; err == nil {
			n++
		} else {
			require.Zero(h.t, event)
		}
		if event.Kind == dummy.Listed {
			time.AfterFunc(50*time.Millisecond, cancel)
		}
	}
	require.Equal(h.t, context.Canceled, last)
	require.Equal(h.t, 3, n, "two addresses, and Listed")
}
