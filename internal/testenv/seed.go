package testenv

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// Seed returns the seed of a random test: 1, so that a run can be trusted to come
// out like the one before it, or what VIPKIT_SEED says: a number, or "random" to
// look for what no run has met yet. The test prints it when it fails.
func Seed(t testing.TB) uint64 {
	t.Helper()
	switch s := os.Getenv("VIPKIT_SEED"); s {
	case "":
		return 1
	case "random":
		return rand.Uint64()
	default:
		return parse(t, "VIPKIT_SEED", s)
	}
}

// Steps returns how many steps a random test takes: n, or what VIPKIT_STEPS says.
func Steps(t testing.TB, n int) int {
	t.Helper()
	if s := os.Getenv("VIPKIT_STEPS"); s != "" {
		return int(parse(t, "VIPKIT_STEPS", s))
	}
	return n
}

func parse(t testing.TB, name, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
