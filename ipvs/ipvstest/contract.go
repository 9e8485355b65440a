package ipvstest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipvs"
)

// TestClient checks that a client meets the contract of [ipvs.Client]. open
// returns an empty one, which nobody else uses, and cleans up after itself.
func TestClient(t *testing.T, open func(t *testing.T) ipvs.Client) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, ipvs.Client)
	}{
		{"Info", testInfo},
		{"Empty", testEmpty},
		{"Services", testServices},
		{"ServiceKinds", testServiceKinds},
		{"Servers", testServers},
		{"Destinations", testDestinations},
		{"DestinationKinds", testDestinationKinds},
		{"Invalid", testInvalid},
		{"Batch", testBatch},
		{"Cancelled", testCancelled},
		{"EarlyBreak", testEarlyBreak},
		{"Aliasing", testAliasing},
		{"Concurrent", testConcurrent},
		{"SnapshotDiff", testSnapshotDiff},
		{"Zero", testZero},
		{"Timeouts", testTimeouts},
		{"Daemons", testDaemons},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
	t.Run("KnownFaults", func(t *testing.T) { testKnownFaults(t, open) })
}

// change reads a line in the syntax of ipvsadm -R.
func change(t *testing.T, line string) ipvs.Change {
	t.Helper()
	var c ipvs.Change
	if err := c.UnmarshalText([]byte(line)); err != nil {
		t.Fatal(err)
	}
	return c
}

// apply applies one line and checks the kind of its error.
func apply(t *testing.T, c ipvs.Client, line string, kind error) {
	t.Helper()
	changed := change(t, line)
	checkKind(t, changed, c.Apply(t.Context(), []ipvs.Change{changed}), kind)
}

func checkKind(t *testing.T, c ipvs.Change, errs []error, kind error) {
	t.Helper()
	if kind == nil {
		if errs != nil {
			t.Fatalf("%s: %v", c, errs)
		}
		return
	}
	if len(errs) != 1 {
		t.Fatalf("%s: got %d errors, want one", c, len(errs))
	}
	checkError(t, c, errs[0], kind)
}

// kinds are all that an error can be; it must be one of them only.
var kinds = []error{
	fs.ErrExist, fs.ErrNotExist, fs.ErrInvalid, fs.ErrPermission, errors.ErrUnsupported,
	context.Canceled, context.DeadlineExceeded, vipkit.ErrReplyLost, vipkit.ErrInterrupted,
}

func checkError(t *testing.T, c ipvs.Change, err, kind error) {
	t.Helper()
	var op *vipkit.OpError
	if !errors.As(err, &op) {
		t.Fatalf("%s: error %v: want a *vipkit.OpError", c, err)
	}
	for _, k := range kinds {
		if errors.Is(err, k) != errors.Is(kind, k) {
			t.Fatalf("%s: error %v: is %v? %v", c, err, k, errors.Is(err, k))
		}
	}
	if !errors.Is(op.Kind, kind) || op.Op != "ipvs "+c.Op.String() || !strings.HasSuffix(c.String(), op.Object) {
		t.Fatalf("%s: error %#v", c, op)
	}
}

// checkDump compares everything with lines, in any order.
func checkDump(t *testing.T, c ipvs.Client, lines ...string) {
	t.Helper()
	var b strings.Builder
	if err := ipvs.WriteSave(t.Context(), &b, c); err != nil {
		t.Fatal(err)
	}
	got := slices.Sorted(strings.Lines(b.String()))
	for i := range lines {
		lines[i] += "\n"
	}
	slices.Sort(lines)
	if !slices.Equal(got, lines) {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, ""), strings.Join(lines, ""))
	}
	checkReads(t, c)
}

func testInfo(t *testing.T, c ipvs.Client) {
	info, err := c.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.Version[0] != 1 || info.ConnTableSize == 0 {
		t.Fatalf("got %+v", info)
	}
}

func testEmpty(t *testing.T, c ipvs.Client) {
	checkDump(t, c)
	missing := change(t, "-D -t 10.0.0.1:80").Service.Key
	for d, err := range c.Destinations(t.Context(), missing) {
		t.Fatalf("destination %v, error %v of a missing service", d, err)
	}
	if errs := c.Apply(t.Context(), nil); errs != nil {
		t.Fatal(errs)
	}
	for _, op := range []string{"-E", "-D"} {
		for _, key := range []string{"-t 10.0.0.1:80", "-u [fd00::1]:53", "-f 9", "-f 9 -6"} {
			settings := ""
			if op == "-E" {
				settings = " -s rr"
			}
			apply(t, c, op+" "+key+settings, fs.ErrNotExist)
		}
	}
	apply(t, c, "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1", fs.ErrNotExist)
	apply(t, c, "-e -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1", fs.ErrNotExist)
	apply(t, c, "-d -t 10.0.0.1:80 -r 10.1.0.1:80", fs.ErrNotExist)
	checkDump(t, c)
}

func testServices(t *testing.T, c ipvs.Client) {
	apply(t, c, "-A -t 10.0.0.1:80 -s rr", nil)
	apply(t, c, "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1", nil)
	apply(t, c, "-A -t 10.0.0.1:80 -s wlc", fs.ErrExist)
	apply(t, c, "-A -t 10.0.0.1:80 -s nosuch", fs.ErrExist)
	apply(t, c, "-E -t 10.0.0.1:80 -s nosuch", errors.ErrUnsupported)
	apply(t, c, "-A -t 10.0.0.2:80 -s nosuch", errors.ErrUnsupported)
	apply(t, c, "-A -u 10.0.0.2:80 -s rr -p 60 --pe nosuch", errors.ErrUnsupported)
	checkDump(t, c, "-A -t 10.0.0.1:80 -s rr", "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1")
	apply(t, c, "-E -t 10.0.0.1:80 -s mh -p 60 -M 255.255.255.0 -b mh-port", nil)
	checkDump(t, c, "-A -t 10.0.0.1:80 -s mh -p 60 -M 255.255.255.0 -b mh-port", "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1")
	apply(t, c, "-E -t 10.0.0.1:80 -s wrr", nil) // all settings at once
	checkDump(t, c, "-A -t 10.0.0.1:80 -s wrr", "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1")
	apply(t, c, "-D -t 10.0.0.1:80", nil)
	apply(t, c, "-D -t 10.0.0.1:80", fs.ErrNotExist)
	apply(t, c, "-A -t 10.0.0.1:80 -s rr", nil) // its destinations are gone
	checkDump(t, c, "-A -t 10.0.0.1:80 -s rr")
}

// testServiceKinds writes and reads back every setting that a service can have.
func testServiceKinds(t *testing.T, c ipvs.Client) {
	lines := []string{
		"-A -u 10.0.0.1:80 -s rr", // the same address and port in other protocols
		"-A --sctp-service 10.0.0.1:80 -s rr",
		"-A -t [fd00::1]:80 -s rr",
		"-A -t 10.0.0.9:0 -s rr -p 60",
		"-A -t 10.0.0.2:80 -s sh -b sh-fallback,sh-port",
		"-A -t 10.0.0.3:80 -s mh -p 2678400 -M 128.0.0.0 -b mh-fallback",
		"-A -t 10.0.0.4:80 -s mh -p 1 -b mh-fallback,mh-port",
		"-A -u 10.0.0.4:80 -s sh -b sh-port",
		"-A -u 10.0.0.5:80 -s rr -p 360 --pe sip -o",
		"-A -u [fd00::2]:80 -s wlc -p 360 -M 1 -o",
		"-A -f 17 -s rr -p 10 -M 255.255.255.254 -o",
		"-A -f 17 -6 -s wrr -p 10 -M 127",
		"-A -f 4294967295 -s rr",
	}
	for i, scheduler := range Schedulers() {
		lines = append(lines, fmt.Sprintf("-A -t 10.0.1.%d:80 -s %s", i+1, scheduler))
	}
	for _, line := range lines {
		apply(t, c, line, nil)
	}
	checkDump(t, c, slices.Clone(lines)...)
	for _, line := range lines {
		apply(t, c, line, fs.ErrExist)
	}
	for i, line := range lines {
		deletion := change(t, line)
		deletion.Op = ipvs.DeleteService
		checkKind(t, deletion, c.Apply(t.Context(), []ipvs.Change{deletion}), nil)
		checkDump(t, c, slices.Clone(lines[i+1:])...)
	}
}

func testDestinations(t *testing.T, c ipvs.Client) {
	for _, key := range []string{"-t 10.0.0.1:80", "-t 10.0.0.2:80"} {
		apply(t, c, "-A "+key+" -s rr", nil)
	}
	apply(t, c, "-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 0", nil)
	apply(t, c, "-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 5", fs.ErrExist)
	apply(t, c, "-a -t 10.0.0.1:80 -r 10.1.0.1:8081 -m -w 65535", nil)
	apply(t, c, "-e -t 10.0.0.1:80 -r 10.1.0.2:8080 -m -w 5", fs.ErrNotExist)
	apply(t, c, "-d -t 10.0.0.1:80 -r 10.1.0.2:8080", fs.ErrNotExist)
	apply(t, c, "-d -t 10.0.0.2:80 -r 10.1.0.1:8080", fs.ErrNotExist)
	checkDump(t, c, "-A -t 10.0.0.1:80 -s rr", "-A -t 10.0.0.2:80 -s rr",
		"-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 0", "-a -t 10.0.0.1:80 -r 10.1.0.1:8081 -m -w 65535")
	apply(t, c, "-e -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 7 -x 100 -y 50", nil)
	apply(t, c, "-d -t 10.0.0.1:80 -r 10.1.0.1:8081", nil)
	checkDump(t, c, "-A -t 10.0.0.1:80 -s rr", "-A -t 10.0.0.2:80 -s rr",
		"-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 7 -x 100 -y 50")
	apply(t, c, "-e -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 7", nil) // all settings at once
	apply(t, c, "-E -t 10.0.0.1:80 -s lc", nil)                    // destinations stay
	checkDump(t, c, "-A -t 10.0.0.1:80 -s lc", "-A -t 10.0.0.2:80 -s rr",
		"-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 7")
	apply(t, c, "-D -t 10.0.0.1:80", nil)
	apply(t, c, "-d -t 10.0.0.1:80 -r 10.1.0.1:8080", fs.ErrNotExist)
	checkDump(t, c, "-A -t 10.0.0.2:80 -s rr")
}

// testDestinationKinds writes and reads back every setting that a destination
// can have.
func testDestinationKinds(t *testing.T, c ipvs.Client) {
	services := []string{"-t 10.0.0.1:80", "-u [fd00::1]:53", "-f 17", "-f 17 -6"}
	tunnels := []string{
		"--tun-type ipip", "--tun-type gue --tun-port 6080 --tun-nocsum", "--tun-type gue --tun-port 6080 --tun-csum",
		"--tun-type gue --tun-port 6080 --tun-remcsum", "--tun-type gre --tun-nocsum", "--tun-type gre --tun-csum",
	}
	var lines, destinations []string
	for _, key := range services {
		apply(t, c, "-A "+key+" -s rr", nil)
		lines = append(lines, "-A "+key+" -s rr")
		k := change(t, "-D "+key).Service.Key
		other := netip.MustParseAddr("fd00::2:0")
		own := netip.MustParseAddr("10.2.0.0")
		if k.Family() == vipkit.IPv6 {
			own, other = other, own
		}
		add := func(format string, addr netip.Addr, port uint16, rest ...any) {
			args := append([]any{key, netip.AddrPortFrom(addr, port)}, rest...)
			destinations = append(destinations, fmt.Sprintf("-a %s -r %s "+format, args...))
		}
		for i, tunnel := range tunnels {
			own, other = own.Next(), other.Next()
			add("-i -w %d %s", own, k.Port, i, tunnel)
			add("-i -w %d %s", other, k.Port, i, tunnel)
		}
		add("-g -w 3", own.Next(), k.Port)
		nat := own.Next().Next()
		add("-m -w 3", nat, 8080)
		add("-m -w 3 -x 2147483647 -y 2147483647", nat, 8081)
		add("-m -w 3 -x 1", nat, 0) // keeps the port
	}
	for _, line := range destinations {
		apply(t, c, line, nil)
	}
	lines = append(lines, destinations...)
	checkDump(t, c, slices.Clone(lines)...)
	for _, line := range destinations { // to another method and back
		update := change(t, line)
		update.Op = ipvs.UpdateDestination
		want := update
		if update.Service.Key.Family() == vipkit.FamilyOf(update.Destination.Addr) {
			update.Destination.Forward, update.Destination.Tunnel = ipvs.Masquerade, ipvs.TunnelConfig{}
			checkKind(t, update, c.Apply(t.Context(), []ipvs.Change{update}), nil)
		}
		checkKind(t, want, c.Apply(t.Context(), []ipvs.Change{want}), nil)
	}
	checkDump(t, c, lines...)
}
