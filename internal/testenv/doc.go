// Package testenv is what tests need around them: the decision whether a kernel
// test can run here, network namespaces to run it in, and a check for leaks.
//
// Kernel tests have Kernel in their name, live in kernel_test.go or
// *_kernel_test.go, and start with [RequireKernel]. The variable KERNEL_TESTS
// decides what it does:
//
//	unset      skip: go test ./... needs no root and leaves the machine alone
//	auto       run what this machine can, as root, and skip the rest with the reason
//	require    fail where a facility is missing
//
// make test-kernel sets require and runs them on real kernels.
//
// A namespace belongs to a thread, so a test that works in one is locked to its
// thread: see [NS.Enter], and remember that the function of a subtest runs in a
// goroutine of its own, which is not in the namespace until it enters.
package testenv
