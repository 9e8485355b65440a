// Package ipset reads and writes the kernel's IP sets: creating, filling,
// swapping, growing and destroying them, over netlink, many entries to a message.
// It is ipset(8) as a library, for the types that service proxies use.
//
// [Client] is what the kernel can do. [Conn] is the kernel of a network namespace;
// package ipsettest has a Fake that answers as the kernel does, on any system. The
// rest are functions over either: [Diff] and [Sync] bring a set's entries to a
// wanted state with as few changes as there are differences, [Resize] gives a set
// more room, [Parse] reads what the tool prints.
//
// # Identity
//
// A set is its name; a [Set] adds the parameters it was created with, which
// the kernel never changes but for the size of its hash: compare with
// [Set.Compatible]. An entry is its [EntryKey] within a set; an [Entry] adds
// what it carries: comment, mark, traffic class and queue, timeout, the nomatch
// flag. Both compare with ==. [Counters] are in neither. Parameters that this
// package does not write (netmask, forceadd) are reported in [Set.Extra]. Sets
// of other types are listed, and not read.
//
// The kernel takes ranges and splits them; here a range is its keys, which
// [Range] gives, so that what is wanted and what is read compare. A prefix of
// length 0 is no entry: the kernel refuses it, so Validate does, and
// [SplitDefault] gives the two halves that mean the same.
//
// # Text
//
// String and Parse use the syntax of "ipset save" and "ipset restore". The
// bucketsize and initval that newer tools print are read and not kept: the
// first is a tuning that nobody compares, the second is random. Protocols are
// names that are built in (or numbers); /etc/protocols is never read.
//
// # Errors
//
// A failed change is a [*vipkit.OpError] with the change in the tool's syntax.
// Its kind depends on operation and number together: the same number of the
// kernel means "exists" for an added entry, and "does not exist" for a deleted
// one. A set type that the kernel lacks, or sets at all, is
// [errors.ErrUnsupported], with the module and the kernel option that bring it. [vipkit.ErrInUse] is also what a
// set answers while another process lists it: try again.
//
// The kernel does not compare the type of an entry with that of its set: it
// takes the parts it knows. [Change.Set] must say the type that the set has. A
// hash may hold a few entries more than its MaxElem: the kernel counts in parts.
//
// # Kernel versions
//
// Linux 3.18 and later (skbinfo); protocol versions 6 and 7. Tested on 6.1,
// 6.12 and 6.18. The revision of a set's type is the highest that both sides
// know.
//
// # Testing
//
// Give your code a [Client] and its tests an ipsettest.Fake; prove another Client
// with ipsettest.TestClient, the contract that the fake and the kernel both pass.
package ipset
