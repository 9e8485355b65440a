package testenv

import "testing"

// Count logs how many of something a kernel test has done, such as
// "differential steps". make test-kernel adds up what the tests of a package
// count in the same words, and prints it at its end.
func Count(t testing.TB, what string, n int) {
	t.Helper()
	t.Logf("count: %s %d", what, n)
}
