// Package vipkit is the leaf of a library for building service proxies on
// Linux: the words that all its packages share.
//
// A caller says which services it wants; vipkit makes the kernel agree,
// changes nothing else, and says the truth about what it did. The packages:
//
//   - [github.com/vipkit/vipkit/ipvs]: virtual servers and destinations.
//   - [github.com/vipkit/vipkit/ipset]: sets and their entries.
//   - [github.com/vipkit/vipkit/iptables]: chains and rules, saved and
//     restored atomically.
//   - [github.com/vipkit/vipkit/dummy]: one dummy link and its addresses.
//   - [github.com/vipkit/vipkit/conntrack]: flows, and deleting stale ones.
//   - [github.com/vipkit/vipkit/proxier]: desired services composed into the
//     five above.
//   - [github.com/vipkit/vipkit/proxier/kube]: Kubernetes objects to desired
//     services.
//   - [github.com/vipkit/vipkit/kerneltest]: all of it in memory, for tests
//     without root.
//
// Each facility has one interface, Client; a Conn that talks to the kernel;
// and, in its test package (ipvstest, ipsettest, …), a Fake that answers as
// the kernel does, and TestClient, the contract that both must pass.
//
// # Errors
//
// Callers use [errors.Is] with [io/fs.ErrExist], [io/fs.ErrNotExist],
// [io/fs.ErrPermission], [io/fs.ErrInvalid], [errors.ErrUnsupported], the
// errors of package context, and the few kinds here: [ErrInUse], [ErrFull],
// [ErrInterrupted], [ErrReplyLost]. An [OpError] carries the operation and the
// object, in the syntax of the operator's own tool.
package vipkit
