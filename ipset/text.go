package ipset

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/vipkit/vipkit"
)

// String returns the set as "ipset save" prints it, without bucketsize and
// initval: "create allow hash:ip,port family inet hashsize 1024 maxelem 65536
// comment". Sizes left to the kernel are left out.
func (s Set) String() string {
	b, _ := s.AppendText(nil)
	return string(b)
}

// AppendText implements [encoding.TextAppender]; see [Set.String].
func (s Set) AppendText(b []byte) ([]byte, error) {
	b = append(append(append(b, "create "...), s.Name...), ' ')
	b = append(b, s.Type...)
	switch s.Family {
	case vipkit.IPv4:
		b = append(b, " family inet"...)
	case vipkit.IPv6:
		b = append(b, " family inet6"...)
	}
	if s.Type == BitmapPort {
		b = strconv.AppendUint(append(b, " range "...), uint64(s.PortFrom), 10)
		b = strconv.AppendUint(append(b, '-'), uint64(s.PortTo), 10)
	}
	if s.HashSize != 0 {
		b = strconv.AppendUint(append(b, " hashsize "...), uint64(s.HashSize), 10)
	}
	if s.MaxElem != 0 {
		b = strconv.AppendUint(append(b, " maxelem "...), uint64(s.MaxElem), 10)
	}
	b = appendLifetime(b, s.Timeout)
	for _, o := range []struct {
		on   bool
		word string
	}{{s.Counters, " counters"}, {s.Comment, " comment"}, {s.SkbInfo, " skbinfo"}} {
		if o.on {
			b = append(b, o.word...)
		}
	}
	if s.Extra != "" {
		b = append(append(b, ' '), s.Extra...)
	}
	return b, nil
}

func appendLifetime(b []byte, d time.Duration) []byte {
	if d == 0 {
		return b
	}
	if d == Forever {
		return append(b, " timeout 0"...)
	}
	return strconv.AppendInt(append(b, " timeout "...), int64(d/time.Second), 10)
}

// MarshalText implements [encoding.TextMarshaler]; see [Set.String].
func (s Set) MarshalText() ([]byte, error) { return s.AppendText(nil) }

// String returns the key as the tool writes it: "10.0.0.1,tcp:80",
// "10.0.0.1,udp:53,10.0.0.0/8", "10.0.0.0/8", "fd00::1", "8080".
func (k EntryKey) String() string { return string(k.append(nil)) }

func (k EntryKey) append(b []byte) []byte {
	if !k.Net.IsValid() {
		return strconv.AppendUint(b, uint64(k.Port), 10)
	}
	b = appendNet(b, k.Net)
	if k.Protocol != 0 {
		b = append(append(b, ','), k.Protocol.String()...)
		b = strconv.AppendUint(append(b, ':'), uint64(k.Port), 10)
	}
	if k.Net2.IsValid() {
		b = appendNet(append(b, ','), k.Net2)
	}
	return b
}

func appendNet(b []byte, n netip.Prefix) []byte {
	if n.IsSingleIP() {
		return n.Addr().AppendTo(b)
	}
	return n.AppendTo(b)
}

// String returns the entry as it stands in a line of "ipset save" after the
// set's name: `10.0.0.1,tcp:80 timeout 5 comment "web" skbmark 0x1`.
func (e Entry) String() string { return string(e.append(nil, Counters{})) }

// String returns the entry with its counters, those that are zero left out:
// "10.0.0.1,tcp:80 packets 3 bytes 180".
func (e CountedEntry) String() string { return string(e.Entry.append(nil, e.Counters)) }

func (e Entry) append(b []byte, n Counters) []byte {
	b = e.EntryKey.append(b)
	b = appendLifetime(b, e.Timeout)
	if e.NoMatch {
		b = append(b, " nomatch"...)
	}
	if n.Packets != 0 {
		b = strconv.AppendUint(append(b, " packets "...), n.Packets, 10)
	}
	if n.Bytes != 0 {
		b = strconv.AppendUint(append(b, " bytes "...), n.Bytes, 10)
	}
	if e.Comment != "" {
		b = append(append(append(b, ` comment "`...), e.Comment...), '"')
	}
	if e.Mark != 0 || e.MarkMask != 0 {
		b = strconv.AppendUint(append(b, " skbmark 0x"...), uint64(e.Mark), 16)
		if e.MarkMask != 0xffffffff {
			b = strconv.AppendUint(append(b, "/0x"...), uint64(e.MarkMask), 16)
		}
	}
	if e.Priority != 0 {
		b = strconv.AppendUint(append(b, " skbprio "...), uint64(e.Priority>>16), 16)
		b = strconv.AppendUint(append(b, ':'), uint64(e.Priority&0xffff), 16)
	}
	if e.Queue != 0 {
		b = strconv.AppendUint(append(b, " skbqueue "...), uint64(e.Queue), 10)
	}
	return b
}

// String returns the operation's word: "create", "add".
func (o Op) String() string {
	switch o {
	case CreateSet:
		return "create"
	case DestroySet:
		return "destroy"
	case FlushSet:
		return "flush"
	case SwapSets:
		return "swap"
	case RenameSet:
		return "rename"
	case AddEntry:
		return "add"
	case UpdateEntry:
		return "update"
	case DeleteEntry:
		return "del"
	}
	return fmt.Sprintf("op(%d)", uint8(o))
}

// String returns the change as a line of "ipset restore". UpdateEntry is "add"
// with -exist.
func (c Change) String() string {
	b, _ := c.AppendText(nil)
	return string(b)
}

// AppendText implements [encoding.TextAppender]; see [Change.String].
func (c Change) AppendText(b []byte) ([]byte, error) {
	switch c.Op {
	case CreateSet:
		return c.Set.AppendText(b)
	case DestroySet, FlushSet:
		return append(append(append(b, c.Op.String()...), ' '), c.Set.Name...), nil
	case SwapSets, RenameSet:
		b = append(append(append(b, c.Op.String()...), ' '), c.Set.Name...)
		return append(append(b, ' '), c.Other...), nil
	case AddEntry, UpdateEntry:
		b = append(append(append(b, "add "...), c.Set.Name...), ' ')
		b = c.Entry.append(b, c.Counters)
		if c.Op == UpdateEntry {
			b = append(b, " -exist"...)
		}
		return b, nil
	case DeleteEntry:
		b = append(append(append(b, "del "...), c.Set.Name...), ' ')
		return c.Entry.EntryKey.append(b), nil
	}
	return append(append(append(b, c.Op.String()...), ' '), c.Set.Name...), nil
}

// MarshalText implements [encoding.TextMarshaler]; see [Change.String].
func (c Change) MarshalText() ([]byte, error) { return c.AppendText(nil) }
