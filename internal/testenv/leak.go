package testenv

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// leakPatience is how long goroutines and descriptors may take to go.
const leakPatience = 2 * time.Second

// Main runs the tests, then fails if goroutines, open files or child processes are
// left that were not there before. Use it as
//
//	func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }
func Main(m *testing.M) int {
	before := takeInventory()
	code := m.Run()
	if code != 0 {
		return code // a failed test may well leave something
	}
	if leaks := before.wait(leakPatience); len(leaks) > 0 {
		fmt.Fprintf(os.Stderr, "left behind by the tests:\n%s\n", strings.Join(leaks, "\n"))
		return 1
	}
	return 0
}

// CheckLeaks fails the test if, after its other clean-up functions, goroutines,
// open files or child processes are left that were not there when CheckLeaks was
// called. Tests that run in parallel with it disturb it.
func CheckLeaks(t testing.TB) {
	t.Helper()
	before := takeInventory()
	t.Cleanup(func() {
		if leaks := before.wait(leakPatience); !t.Failed() && len(leaks) > 0 {
			t.Errorf("left behind by the test:\n%s", strings.Join(leaks, "\n"))
		}
	})
}

// inventory is the set of goroutines, by their first line without the state, and
// of other things: open files, by number and target, and child processes, by number
// and program.
type inventory struct {
	goroutines map[string]string
	things     map[string]bool
}

func takeInventory() inventory {
	inv := inventory{goroutines: map[string]string{}, things: map[string]bool{}}
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		id, _, _ := strings.Cut(stack, " [")
		inv.goroutines[id] = stack
	}
	links, _ := filepath.Glob("/proc/self/fd/*") // no such directory: nothing to compare
	for _, link := range links {
		target, err := os.Readlink(link)
		// The runtime's poller opens two anonymous files and keeps them.
		if err == nil && !strings.HasPrefix(target, "anon_inode:[event") && !strings.HasPrefix(target, "/proc/") {
			inv.things["open file "+filepath.Base(link)+": "+target] = true
		}
	}
	children(inv.things)
	return inv
}

// children adds the child processes, those too that ended and that nobody waited for.
func children(things map[string]bool) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		// 1234 (program) S 1 …: the program may have any letter in it.
		head, tail, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(tail); len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) {
			things["process "+head+")"] = true
		}
	}
}

// wait returns what is there now and was not in before, once nothing is or
// patience is over.
func (before inventory) wait(patience time.Duration) []string {
	deadline := time.Now().Add(patience)
	for {
		leaks := before.missing(takeInventory())
		if len(leaks) == 0 || time.Now().After(deadline) {
			return leaks
		}
		<-time.After(10 * time.Millisecond)
	}
}

func (before inventory) missing(now inventory) []string {
	var leaks []string
	for id, stack := range now.goroutines {
		if _, ok := before.goroutines[id]; !ok && !ofRuntime(stack) {
			leaks = append(leaks, stack)
		}
	}
	for thing := range now.things {
		if !before.things[thing] {
			leaks = append(leaks, thing)
		}
	}
	slices.Sort(leaks)
	return leaks
}

// ofRuntime tells goroutines of the runtime and the test framework from ours.
func ofRuntime(stack string) bool {
	for _, frame := range []string{"testing.(*M).startAlarm", "os/signal.signal_recv", "runtime/trace.", "runtime.ensureSigM"} {
		if strings.Contains(stack, frame) {
			return true
		}
	}
	return false
}
