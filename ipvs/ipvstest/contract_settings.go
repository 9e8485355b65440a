package ipvstest

import (
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipvs"
)

// testZero zeroes counters where there are none but zeros.
func testZero(t *testing.T, c ipvs.Client) {
	apply(t, c, "-Z", nil)
	apply(t, c, "-Z -t 10.0.0.1:80", fs.ErrNotExist)
	lines := []string{
		"-A -t 10.0.0.1:80 -s rr", "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1", "-A -f 5 -6 -s rr", "-a -f 5 -6 -r [fd00::1]:0 -m -w 1",
	}
	for _, line := range lines {
		apply(t, c, line, nil)
	}
	for _, line := range []string{"-Z", "-Z -t 10.0.0.1:80", "-Z -f 5 -6"} {
		apply(t, c, line, nil)
	}
	apply(t, c, "-Z -f 5", fs.ErrNotExist)
	for s, err := range c.Services(t.Context()) {
		if err != nil || s.Stats != (ipvs.Stats{}) {
			t.Fatalf("%+v, error %v", s, err)
		}
	}
	checkDump(t, c, lines...)
}

func testTimeouts(t *testing.T, c ipvs.Client) {
	want := ipvs.Timeouts{TCP: 15 * time.Minute, TCPFin: 2 * time.Minute, UDP: 5 * time.Minute}
	check := func() {
		t.Helper()
		if have, err := c.Timeouts(t.Context()); err != nil || have != want {
			t.Fatalf("have %v, error %v, want %v", have, err, want)
		}
	}
	check()
	const most = (1<<31 - 1) / 1000 * time.Second
	for _, set := range []ipvs.Timeouts{
		{}, {TCP: time.Second}, {TCPFin: time.Hour}, {UDP: most}, {TCP: most, TCPFin: most, UDP: time.Second}, {TCP: 7 * time.Second, UDP: time.Hour},
	} {
		if err := c.SetTimeouts(t.Context(), set); err != nil {
			t.Fatal(err)
		}
		want = want.Merge(set)
		check()
	}
	for _, bad := range []ipvs.Timeouts{{TCP: -1}, {TCP: time.Minute, TCPFin: time.Millisecond}, {UDP: most + time.Second}} {
		err := c.SetTimeouts(t.Context(), bad)
		var op *vipkit.OpError
		if !errors.Is(err, fs.ErrInvalid) || !errors.As(err, &op) || op.Object != bad.String() {
			t.Fatalf("%v: %v", bad, err)
		}
		check()
	}
}

func testDaemons(t *testing.T, c ipvs.Client) {
	if all, err := c.Daemons(t.Context()); err != nil || len(all) != 0 {
		t.Fatalf("%v, error %v", all, err)
	}
}
