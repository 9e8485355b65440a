// Package conntracktest has what tests of programs over package conntrack need:
// a [Fake] that answers as the kernel does, without root, and [TestClient], the
// contract that the fake and the kernel both pass.
package conntracktest
