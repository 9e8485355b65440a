// Package ipvs reads and writes the kernel's IP virtual servers: services, their
// destinations, their counters. It is ipvsadm as a library, with batches.
//
// [Client] is what the kernel can do. [Conn] is the kernel of a network
// namespace, over generic netlink; package ipvstest has a Fake that answers as
// the kernel does, on any system. [Snapshot], [Diff], [WriteTable] and [WriteSave] are
// functions over either. [Client.Servers] reads a table of any size in the fewest
// requests; [Client.Services] and [Client.Destinations] tell the counters too. One
// Conn serves any number of goroutines, and each call ends with its context.
// [Client.StartDaemon] has the kernel tell another one of its connections.
//
// # Identity
//
// A virtual server is a [Key]: protocol, address and port, or a firewall mark
// and a family. A destination is a [DestKey] within one. [Service] and
// [Destination] add the settings and compare with ==; counters are in neither.
// [Service.Canonical] is the form that the kernel reports, in which
// PersistenceBits has no default. The kernel replaces the settings of an object
// as a whole, so an update carries all of them.
//
// # Writing
//
// [Client.Apply] takes changes in order, thousands in one system call. Nothing
// is rolled back: each change succeeds or fails by itself. A change that makes
// no sense is refused by its Validate and not sent, though the kernel might take
// it: port 0 without persistence, a direct route to another port, a weight above
// 65,535. Do not flush and rebuild: the kernel keeps deleted destinations for two
// minutes in a list that every later addition walks. [Diff] changes what
// differs.
//
// # Errors
//
// Every error is a *vipkit.OpError whose object is in ipvsadm's syntax. The
// numbers of the kernel mean different things in different calls and are
// translated in one place:
//
//   - fs.ErrNotExist: the virtual server (ESRCH) or the destination (ENOENT)
//     is missing. Destinations of a missing virtual server are none, and no error.
//   - fs.ErrExist: it is there already, and stays as it is.
//   - errors.ErrUnsupported: no IPVS in this kernel, or not this scheduler or
//     persistence engine (ENOENT). The detail names the module.
//   - fs.ErrInvalid: refused by Validate, or by the kernel (EINVAL): a destination
//     that is no unicast address here, or any one where lo was never up.
//   - fs.ErrPermission: not in the initial user namespace, or no CAP_NET_ADMIN.
//   - vipkit.ErrReplyLost: carried out or not, nobody knows: read again.
//
// # Kernel versions
//
// Tested on Linux 6.1 and 6.12. Tunnel destinations of the other family need
// 3.18, 64-bit counters 4.1, GUE 5.2, GRE and checksum flags 5.3; the scheduler
// "mh" 4.18. IPVS does not flag a listing that changed while it was read.
//
// # Testing
//
// Give your code a [Client] and its tests an ipvstest.Fake; prove another Client
// with ipvstest.TestClient.
package ipvs
