// Package kerneltest is a Linux host in memory, for testing service proxies
// without root.
//
//	host := kerneltest.New()
//	p, err := proxier.New(host.Kernel(), nil)
//
// A [Host] joins the fakes of the facilities and adds what exists only
// between them: a set that a rule names cannot be destroyed, and a rule cannot
// name a set that is not there. Each fake alone is held to the kernel by its
// package's contract tests.
//
// [Dump] prints a kernel, in memory or real, in the syntax of the operator's
// tools; [Host.Load] reads it back, so a dump from a user's host is a test.
// [Host.Trace] and [Host.Send] say what becomes of packets there, step by step,
// and so they do of a plan that was not applied ([Host.Play]) and of what
// [Capture] took of a real host: see package oracle.
//
// A [Recorder] stands before any kernel and records, counts, and does to single
// operations what a [Fault] says.
package kerneltest
