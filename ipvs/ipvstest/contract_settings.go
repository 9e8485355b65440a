package ipvstest

import (
	"errors"
	"io/fs"
	"net/netip"
	"slices"
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
	check := func(want ...ipvs.Daemon) {
		t.Helper()
		have, err := c.Daemons(t.Context())
		slices.SortFunc(have, func(a, b ipvs.Daemon) int { return int(a.State) - int(b.State) })
		if err != nil || !slices.Equal(have, want) {
			t.Fatalf("have %v, error %v, want %v", have, err, want)
		}
	}
	refuse := func(err, kind error, op, object string) {
		t.Helper()
		var failed *vipkit.OpError
		if !errors.Is(err, kind) || !errors.As(err, &failed) || failed.Op != op || failed.Object != object {
			t.Fatalf("got %v, want %v", err, kind)
		}
	}
	start := func(d ipvs.Daemon, kind error) {
		t.Helper()
		if err := c.StartDaemon(t.Context(), d); kind != nil {
			refuse(err, kind, "ipvs start daemon", d.String())
		} else if err != nil {
			t.Fatal(err)
		}
	}
	check()
	refuse(c.StopDaemon(t.Context(), ipvs.Master), fs.ErrNotExist, "ipvs stop daemon", "--stop-daemon master")
	master := ipvs.Daemon{State: ipvs.Master, Interface: "lo"}
	backup := ipvs.Daemon{
		State: ipvs.Backup, Interface: "lo", SyncID: 255, MaxLen: 10, Group: netip.MustParseAddr("ff02::81"), Port: 9, TTL: 255,
	}
	for _, bad := range []ipvs.Daemon{
		{}, {State: ipvs.Master}, {State: 3, Interface: "lo"}, {State: ipvs.Master, Interface: "sixteen-bytes-ab"},
		{State: ipvs.Master, Interface: "lo", Group: netip.MustParseAddr("10.0.0.1")},
	} {
		start(bad, fs.ErrInvalid)
	}
	refuse(c.StopDaemon(t.Context(), 3), fs.ErrInvalid, "ipvs stop daemon", "--stop-daemon 3")
	start(ipvs.Daemon{State: ipvs.Master, Interface: "nosuch0"}, fs.ErrNotExist)

	start(master, nil)
	start(master, fs.ErrExist)
	start(ipvs.Daemon{State: ipvs.Master, Interface: "nosuch0"}, fs.ErrNotExist)
	master.MaxLen, master.Group, master.Port, master.TTL = 1472, netip.MustParseAddr("224.0.0.81"), 8848, 1
	check(master)
	start(backup, nil)
	backup.MaxLen = 1024 // the least that a backup takes
	check(master, backup)

	// While one runs there is no destination of the other family, and the reverse.
	apply(t, c, "-A -t 10.0.0.1:80 -s rr", nil)
	apply(t, c, "-a -t 10.0.0.1:80 -r [fd00::1]:80 -i -w 1", fs.ErrInvalid)
	apply(t, c, "-a -t 10.0.0.2:80 -r [fd00::1]:80 -i -w 1", fs.ErrNotExist)
	apply(t, c, "-d -t 10.0.0.1:80 -r [fd00::1]:80", fs.ErrNotExist)
	for _, state := range []ipvs.DaemonState{ipvs.Backup, ipvs.Master} {
		if err := c.StopDaemon(t.Context(), state); err != nil {
			t.Fatal(err)
		}
	}
	check()
	apply(t, c, "-a -t 10.0.0.1:80 -r [fd00::1]:80 -i -w 1", nil)
	start(master, fs.ErrInvalid)
	apply(t, c, "-d -t 10.0.0.1:80 -r [fd00::1]:80", nil)
	start(master, nil)
	if err := c.StopDaemon(t.Context(), ipvs.Master); err != nil {
		t.Fatal(err)
	}
	check()
}
