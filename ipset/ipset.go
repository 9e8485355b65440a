package ipset

import (
	"context"
	"iter"
	"net/netip"
	"time"

	"github.com/vipkit/vipkit"
)

// Type is a set type by the kernel's name.
type Type string

// Set types.
const (
	HashIP        Type = "hash:ip"
	HashNet       Type = "hash:net"
	HashIPPort    Type = "hash:ip,port"
	HashIPPortIP  Type = "hash:ip,port,ip"
	HashIPPortNet Type = "hash:ip,port,net"
	BitmapPort    Type = "bitmap:port"
)

// MaxNameLen is the longest name that a set can have, in bytes
// (IPSET_MAXNAMELEN less the terminator).
const MaxNameLen = 31

// Set is a set's identity and the parameters it was created with. It is
// comparable.
type Set struct {
	// Name is 1–31 bytes.
	Name string
	Type Type
	// Family is that of the addresses; zero for bitmap:port.
	Family vipkit.Family
	// HashSize is the initial number of buckets. The kernel rounds it up to
	// a power of two of at least 64 and enlarges it by itself: compare sets
	// with [Set.Compatible]. Zero: the kernel's default (1024).
	HashSize uint32
	// MaxElem is the most entries a hash can hold. Zero: the kernel's
	// default (65536).
	MaxElem uint32
	// PortFrom and PortTo bound a bitmap:port (inclusive).
	PortFrom, PortTo uint16
	// Timeout is the default lifetime of entries, in whole seconds up to
	// 2147483 s, or [Forever]; entries can only have one of their own if this
	// is not zero.
	Timeout time.Duration
	// Comment, Counters and SkbInfo say whether entries can carry those.
	Comment, Counters, SkbInfo bool
	// Extra is what a set in the kernel was created with beyond the fields
	// above, in the tool's words ("netmask 24 forceadd"). It is only read: a
	// set to create has none.
	Extra string
}

// EntryKey identifies an entry within a set. Which fields count depends on the
// set's type; the others are zero. It is comparable.
type EntryKey struct {
	// Net is the first address or network. A single address has the full
	// prefix length. Addresses are unmapped and networks masked.
	Net netip.Prefix
	// Protocol and Port are the second part of hash:ip,port*. Port alone is
	// the whole of bitmap:port.
	Protocol vipkit.Protocol
	Port     uint16
	// Net2 is the third part of hash:ip,port,ip and hash:ip,port,net.
	Net2 netip.Prefix
}

// Entry is an entry and its extensions, comparable with ==.
type Entry struct {
	EntryKey
	// Comment is at most 255 bytes, without a quotation mark. The set must
	// have been created with Comment.
	Comment string
	// Mark and MarkMask are what the SET target's --map-mark gives a packet.
	// The set must have been created with SkbInfo, as for Priority and Queue.
	// A zero MarkMask with a Mark that is not zero is refused: write
	// 0xffffffff.
	Mark, MarkMask uint32
	// Timeout is the time left, in whole seconds up to 2147483 s, or
	// [Forever]; only in sets with one. Zero in a write is the set's default.
	Timeout time.Duration
	// Priority is the traffic class that --map-prio gives a packet, major
	// number in the upper half; zero: none.
	Priority uint32
	// Queue is the transmit queue that --map-queue gives a packet; zero: none.
	Queue uint16
	// NoMatch makes the network an exception: what it covers is not in the
	// set, although a wider entry covers it too. hash:net and
	// hash:ip,port,net only.
	NoMatch bool
}

// Forever is the timeout of an entry that never expires in a set whose entries
// can, and of a set whose entries do not unless they say so ("timeout 0" in the
// tool's words).
const Forever time.Duration = -1

// Counters are what an entry of a set with Counters has counted: the packets
// that a rule found in it, and their bytes.
type Counters struct {
	Packets, Bytes uint64
}

// CountedEntry is an entry with its counters.
type CountedEntry struct {
	Entry
	Counters Counters
}

// Op is what a [Change] does.
type Op uint8

// Operations of a Change.
const (
	CreateSet   Op = iota + 1 // fs.ErrExist if there is a set of that name
	DestroySet                // fs.ErrNotExist; vipkit.ErrInUse while a rule, a list or a running dump refers to it
	FlushSet                  // fs.ErrNotExist
	SwapSets                  // the contents of Set.Name and Other, while what refers to them stays; fs.ErrNotExist; fs.ErrInvalid for types that differ
	RenameSet                 // Set.Name to Other; fs.ErrNotExist; fs.ErrExist; vipkit.ErrInUse while a rule or a list refers to it
	AddEntry                  // fs.ErrExist; fs.ErrNotExist without the set; vipkit.ErrFull at MaxElem
	UpdateEntry               // adds, or replaces the extensions of one that is there; fs.ErrNotExist without the set; vipkit.ErrFull
	DeleteEntry               // fs.ErrNotExist
)

// Change is one write. It is comparable.
type Change struct {
	Op Op
	// Set is the set. Beyond CreateSet only Name, Type, Family and, for
	// AddEntry, Counters count; for the other operations on sets only the Name.
	Set Set
	// Entry is the entry of the entry operations. Only its EntryKey counts
	// for DeleteEntry.
	Entry Entry
	// Counters are what an entry starts from that is added, to a set with
	// Counters. With UpdateEntry those that are zero stay as they are. Neither
	// can be 1<<64 - 1. The kernel does not clear what a deleted entry had counted:
	// another one goes on from it that is new by UpdateEntry with zeros, or by
	// AddEntry with zeros and a Set that does not say Counters.
	Counters Counters
	// Other is the other set's name for SwapSets, and the new one for RenameSet.
	Other string
}

// Client is the kernel's IP sets, or something that answers as they do. All
// methods are safe for concurrent use. A context that is done before the call
// leaves everything unchanged.
type Client interface {
	// Sets yields every set's parameters, in no order.
	Sets(ctx context.Context) iter.Seq2[Set, error]

	// Entries yields the entries of the named set, in no order. It fails
	// with fs.ErrNotExist if there is none of that name, and with
	// errors.ErrUnsupported if it is of a type that is not one of the above.
	Entries(ctx context.Context, set string) iter.Seq2[Entry, error]

	// Counters yields the entries of the named set with what they have counted,
	// in no order: zeros if the set was created without Counters. It fails as
	// Entries does.
	Counters(ctx context.Context, set string) iter.Seq2[CountedEntry, error]

	// Test reports whether a packet with what key says would be found in the
	// set, of which Name, Type and Family count. The most specific network
	// that covers a single address decides, and NoMatch says no; a network is
	// looked for as it is. It fails with fs.ErrNotExist without the set and
	// with fs.ErrInvalid for a key that can be in no set of the type.
	Test(ctx context.Context, set Set, key EntryKey) (bool, error)

	// Apply carries out changes in order. One that fails does not stop those
	// after it. It returns nil if all succeeded, and otherwise one error a
	// change at the same index, nil where it succeeded; each is a
	// *vipkit.OpError of one of the kinds beside the operations above,
	// fs.ErrInvalid, fs.ErrPermission, errors.ErrUnsupported (a set type
	// that the kernel lacks), vipkit.ErrReplyLost, or the context's.
	// Consecutive entries of one set and operation travel in bulk.
	Apply(ctx context.Context, changes []Change) []error
}

// Key returns the key of an address, protocol and port: an entry of a
// hash:ip,port set.
func Key(addr netip.Addr, p vipkit.Protocol, port uint16) EntryKey {
	return EntryKey{Net: Host(addr), Protocol: p, Port: port}
}

// Host returns the prefix that holds addr alone.
func Host(addr netip.Addr) netip.Prefix { return netip.PrefixFrom(addr, addr.BitLen()) }

// Compatible reports whether the set in the kernel (have) can serve where s
// was asked for: everything is equal but what the kernel changes by itself
// (HashSize), and what s leaves to it.
func (s Set) Compatible(have Set) bool {
	have.HashSize = s.HashSize
	if s.MaxElem == 0 {
		s.MaxElem = have.MaxElem
	}
	return s == have
}
