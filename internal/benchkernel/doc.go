// Package benchkernel compares, on a real kernel and in one process, what vipkit
// takes for a job with what the library below it, the operator's tool and a floor
// take. The floor sends requests that were encoded before and looks at no answer but
// for failures: what is left is the kernel's own time.
//
// It consists of tests: one file, named facility_kernel_test.go, for each facility,
// with one TestKernel function that calls compare. make bench-kernel runs them in
// full and collects the tables; make test-kernel runs them small, once, to show
// that all contenders do the same.
package benchkernel
