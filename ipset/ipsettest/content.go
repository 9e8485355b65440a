package ipsettest

import (
	"io/fs"
	"net/netip"
	"strings"
	"time"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipset"
)

// content is a set and its entries. Their Timeout is not kept but counted down
// from expires.
type content struct {
	set     ipset.Set
	entries map[ipset.EntryKey]held
	// left is what entries had counted that are gone from a bitmap:port, where a
	// port's counters outlive its entry.
	left map[ipset.EntryKey]ipset.Counters
}

type held struct {
	ipset.CountedEntry
	expires time.Time // zero: never
}

func newContent(s ipset.Set) *content {
	return &content{set: s, entries: make(map[ipset.EntryKey]held), left: make(map[ipset.EntryKey]ipset.Counters)}
}

// remove removes an entry.
func (c *content) remove(k ipset.EntryKey) {
	if c.set.Type == ipset.BitmapPort {
		c.left[k] = c.entries[k].Counters
	}
	delete(c.entries, k)
}

func (c *content) flush() {
	for k := range c.entries {
		c.remove(k)
	}
}

// fits refuses an entry of a set that is said to be of another type or family.
func (c *content) fits(s ipset.Set) error {
	if s.Type != c.set.Type || s.Family != c.set.Family {
		return invalid("the set is %s %v, not %s %v", c.set.Type, c.set.Family, s.Type, s.Family)
	}
	return nil
}

// test looks for a key as the kernel does for a packet: a network for itself, an
// address for the most specific network that covers it (ip_set_hash_gen.h,
// mtype_test).
func (c *content) test(k ipset.EntryKey) bool {
	part := &k.Net
	if k.Net2.IsValid() {
		part = &k.Net2
	}
	host := part.Addr()
	last := part.Bits()
	if strings.HasSuffix(string(c.set.Type), "net") && part.IsSingleIP() {
		last = 1
	}
	for bits := part.Bits(); bits >= last; bits-- {
		*part = netip.PrefixFrom(host, bits).Masked()
		if h, ok := c.entries[k]; ok {
			return !h.NoMatch
		}
	}
	return false
}

func (c *content) list(now time.Time) []ipset.CountedEntry {
	c.expire(now)
	entries := make([]ipset.CountedEntry, 0, len(c.entries))
	for _, h := range c.entries {
		e := h.CountedEntry
		if c.set.Timeout != 0 {
			e.Timeout = ipset.Forever
			if !h.expires.IsZero() {
				e.Timeout = max(time.Second, h.expires.Sub(now).Truncate(time.Second))
			}
		}
		entries = append(entries, e)
	}
	return entries
}

func (c *content) expire(now time.Time) {
	if c.set.Timeout == 0 {
		return
	}
	for k, h := range c.entries {
		if !h.expires.IsZero() && !now.Before(h.expires) {
			c.remove(k)
		}
	}
}

// change adds, updates or deletes an entry.
func (c *content) change(ch ipset.Change) error {
	s, e, now := c.set, ch.Entry, time.Now()
	if err := c.fits(ch.Set); err != nil {
		return err
	}
	if s.Type == ipset.BitmapPort && (e.Port < s.PortFrom || e.Port > s.PortTo) {
		return invalid("port %d is outside %d-%d", e.Port, s.PortFrom, s.PortTo)
	}
	c.expire(now)
	_, exists := c.entries[e.EntryKey]
	if ch.Op == ipset.DeleteEntry {
		if !exists {
			return fs.ErrNotExist
		}
		c.remove(e.EntryKey)
		return nil
	}
	switch {
	case e.Comment != "" && !s.Comment:
		return invalid("the set was created without comment")
	case (e.MarkMask != 0 || e.Priority != 0 || e.Queue != 0) && !s.SkbInfo:
		return invalid("the set was created without skbinfo")
	case e.Timeout != 0 && s.Timeout == 0:
		return invalid("the set was created without timeout")
	case (ch.Counters != ipset.Counters{} || ch.Op == ipset.AddEntry && ch.Set.Counters) && !s.Counters:
		return invalid("the set was created without counters")
	case exists && ch.Op == ipset.AddEntry:
		return fs.ErrExist
	case !exists && s.Type != ipset.BitmapPort && uint64(len(c.entries)) >= uint64(s.MaxElem):
		return vipkit.ErrFull
	}
	h := held{CountedEntry: ipset.CountedEntry{Entry: e, Counters: ch.Counters}}
	h.Counters = c.counters(ch)
	left := e.Timeout
	if left == 0 {
		left = s.Timeout
	}
	if left > 0 {
		h.expires = now.Add(left)
	}
	h.Timeout = 0
	c.entries[e.EntryKey] = h
	return nil
}

// counters returns what an entry that is added or updated goes on from.
func (c *content) counters(ch ipset.Change) ipset.Counters {
	n := ch.Counters
	if ch.Op == ipset.AddEntry && ch.Set.Counters {
		return n
	}
	old := c.left[ch.Entry.EntryKey]
	if h, there := c.entries[ch.Entry.EntryKey]; there {
		old = h.Counters
	}
	if n.Packets == 0 {
		n.Packets = old.Packets
	}
	if n.Bytes == 0 {
		n.Bytes = old.Bytes
	}
	return n
}
