// Package ipset reads and writes the kernel's IP sets: creating, filling,
// swapping and destroying them, over netlink, many entries to a message.
//
// [Open] returns a [Conn], the [Client] of the kernel. [Diff] and [Sync] bring
// a set's entries to a wanted state with as few changes as there are
// differences.
//
// # Identity
//
// A set is its name; a [Set] adds the parameters it was created with, which
// the kernel never changes but for the size of its hash: compare with
// [Set.Compatible]. An entry is its [EntryKey] within a set; an [Entry] adds
// what it carries (comment, mark, timeout, the nomatch flag). Counters are in
// neither. The priority and queue of skbinfo, and parameters that this package
// does not write (netmask, forceadd), are not modelled; the latter are reported
// in [Set.Extra]. Sets of other types are listed, and not read.
//
// A prefix of length 0 is no entry: the kernel refuses it, so Validate does,
// and [SplitDefault] gives the two halves that mean the same.
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
// one. A set type that the kernel lacks is [errors.ErrUnsupported], with the
// module and the kernel option that bring it. [vipkit.ErrInUse] is also what a
// set answers while another process lists it: try again.
//
// The kernel does not compare the type of an entry with that of its set: it
// takes the parts it knows. [Change.Set] must say the type that the set has.
//
// # Kernel versions
//
// Linux 3.18 and later (skbinfo); protocol versions 6 and 7. Tested on 6.1,
// 6.12 and 6.18. The revision of a set's type is the highest that both sides
// know.
//
// # Testing
//
// Package ipsettest has a Fake for tests without root, and the contract that
// it and the kernel both pass.
package ipset
