package dummytest

import (
	"context"
	"iter"
	"maps"
	"net/netip"

	"github.com/vipkit/vipkit/dummy"
)

// loMTU is that of lo, in bytes.
const loMTU = 65536

// all returns the links, of which every host has lo.
func (f *Fake) all() map[string]*link {
	if f.links == nil {
		f.links = make(map[string]*link)
		f.addLink(dummy.Link{Name: "lo", Up: true, MTU: loMTU})
		for _, s := range []string{"127.0.0.1/8", "::1/128"} {
			a := dummy.HostAddress{HostKey: dummy.HostKey{Prefix: netip.MustParsePrefix(s)}, Scope: dummy.ScopeHost, Flags: dummy.Permanent}
			f.links["lo"].setOther(a)
		}
	}
	return f.links
}

func (f *Fake) addLink(l dummy.Link) *link {
	f.last++
	f.links[l.Name] = &link{Link: l, index: f.last, addrs: make(map[dummy.Address]bool), others: make(map[dummy.HostKey]dummy.HostAddress)}
	return f.links[l.Name]
}

func (l *link) setOther(a dummy.HostAddress) {
	a.Link, a.Index = l.Name, l.index
	l.others[a.HostKey] = a
}

// SetHostAddress gives a link an address that is no virtual address, as somebody
// else would, or gives one that it has other flags. A link that is not there is
// made: up, and of no kind. The address's Index is not looked at.
func (f *Fake) SetHostAddress(a dummy.HostAddress) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.all()[a.Link]
	if l == nil {
		l = f.addLink(dummy.Link{Name: a.Link, Up: true, MTU: 1500})
	}
	l.setOther(a)
	f.wake()
}

// DeleteHostAddress takes away what SetHostAddress gave. It reports whether it was
// there.
func (f *Fake) DeleteHostAddress(link string, key dummy.HostKey) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.all()[link]
	if l == nil {
		return false
	}
	key.Index = l.index
	_, ok := l.others[key]
	delete(l.others, key)
	f.wake()
	return ok
}

// Overflow makes every watch say that changes were lost.
func (f *Fake) Overflow() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.overflows++
	f.wake()
}

// wake wakes all watches.
func (f *Fake) wake() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// look returns the addresses of the host, how often there was an overflow, and
// what is closed when that changes.
func (f *Fake) look() (addrs map[dummy.HostKey]dummy.HostAddress, overflows int, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	addrs = make(map[dummy.HostKey]dummy.HostAddress)
	for _, l := range f.all() {
		maps.Copy(addrs, l.others)
		for a := range l.addrs {
			if a.Means == dummy.ByAddress {
				k := dummy.HostKey{Prefix: netip.PrefixFrom(a.Addr, a.Addr.BitLen()), Index: l.index}
				addrs[k] = dummy.HostAddress{HostKey: k, Link: l.Name, Scope: scopeOf(a.Addr), Flags: dummy.Permanent}
			}
		}
	}
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return addrs, f.overflows, f.changed
}

// Watch implements [dummy.Watcher]. It yields what changed together in an order
// that differs from call to call.
func (f *Fake) Watch(ctx context.Context) iter.Seq2[dummy.Event, error] {
	return func(yield func(dummy.Event, error) bool) {
		err := f.call(ctx, Call{Op: "watch"}, func() error { return nil })
		if err == nil && f.watch(ctx, func(e dummy.Event) bool { return yield(e, nil) }) {
			err = ctx.Err()
		}
		if err != nil {
			yield(dummy.Event{}, err)
		}
	}
}

// watch tells what happens until ctx is done, or until yield returns false, which
// it passes on.
func (f *Fake) watch(ctx context.Context, yield func(dummy.Event) bool) bool {
	told := make(map[dummy.HostKey]dummy.HostAddress)
	_, seen, _ := f.look()
	for listed := true; ctx.Err() == nil; listed = false {
		now, overflows, changed := f.look()
		if overflows != seen {
			seen, listed = overflows, true
			if !yield(dummy.Event{Kind: dummy.Overflow}) {
				return false
			}
		}
		for k, a := range told {
			if _, is := now[k]; !is && !yield(dummy.Event{Kind: dummy.Gone, Address: a}) {
				return false
			}
		}
		for k, a := range now {
			if was, is := told[k]; (!is || was != a) && !yield(dummy.Event{Kind: dummy.Present, Address: a}) {
				return false
			}
		}
		if told = now; listed && !yield(dummy.Event{Kind: dummy.Listed}) {
			return false
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
	return true
}

// siteLocal is what was once for use within a site (RFC 3879).
var siteLocal = netip.MustParsePrefix("fec0::/10")

// scopeOf returns the scope of a virtual address.
func scopeOf(a netip.Addr) dummy.Scope {
	if siteLocal.Contains(a) {
		return dummy.ScopeSite
	}
	return dummy.ScopeGlobal
}
