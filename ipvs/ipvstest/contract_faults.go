package ipvstest

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/vipkit/vipkit/ipvs"
)

// testKnownFaults is what fakes and libraries of others accept, do or leave out and
// the kernel does not, each by its name.
func testKnownFaults(t *testing.T, open func(t *testing.T) ipvs.Client) {
	const (
		service     = "-A -t 10.0.0.1:80 -s rr"
		destination = "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1"
	)
	for _, test := range []struct {
		name string
		run  func(*testing.T, ipvs.Client)
	}{
		{"unknown scheduler", func(t *testing.T, c ipvs.Client) {
			apply(t, c, "-A -t 10.0.0.2:80 -s unknown", errors.ErrUnsupported)
			apply(t, c, "-E -t 10.0.0.1:80 -s unknown", errors.ErrUnsupported)
		}},
		{"scheduler name of 20 bytes", func(t *testing.T, c ipvs.Client) {
			apply(t, c, "-A -t 10.0.0.2:80 -s twenty-bytes-of-name", fs.ErrInvalid)
		}},
		{"weight -5", func(t *testing.T, c ipvs.Client) {
			var parsed ipvs.Change
			if err := parsed.UnmarshalText([]byte("-a -t 10.0.0.1:80 -r 10.1.0.2:80 -m -w -5")); err == nil {
				t.Fatalf("parsed as %v", parsed)
			}
			minus := -5
			refuse(t, c, func(d *ipvs.Destination) { d.Weight = uint32(minus) })
		}},
		{"weight 2^31", func(t *testing.T, c ipvs.Client) {
			refuse(t, c, func(d *ipvs.Destination) { d.Weight = 1 << 31 })
		}},
		{"same destination twice", func(t *testing.T, c ipvs.Client) {
			apply(t, c, "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 9", fs.ErrExist)
		}},
		{"service added again keeps its destinations", func(t *testing.T, c ipvs.Client) {
			apply(t, c, "-A -t 10.0.0.1:80 -s wlc", fs.ErrExist)
		}},
		{"update of a missing service", func(t *testing.T, c ipvs.Client) {
			apply(t, c, "-E -t 10.0.0.2:80 -s rr", fs.ErrNotExist)
		}},
		{"delete of a missing service", func(t *testing.T, c ipvs.Client) {
			apply(t, c, "-D -t 10.0.0.2:80", fs.ErrNotExist)
		}},
		{"mutation by the caller later", func(t *testing.T, c ipvs.Client) {
			changes := []ipvs.Change{change(t, "-e -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1")}
			checkKind(t, changes[0], c.Apply(t.Context(), changes), nil)
			changes[0].Destination.Weight = 7
		}},
		{"add after everything was flushed", func(t *testing.T, c ipvs.Client) {
			have, err := ipvs.Snapshot(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if errs := c.Apply(t.Context(), ipvs.Diff(have, nil)); errs != nil {
				t.Fatal(errs)
			}
			checkDump(t, c)
			apply(t, c, service, nil)
			apply(t, c, destination, nil)
		}},
		{"destinations of a missing service are none and no error", func(t *testing.T, c ipvs.Client) {
			for d, err := range c.Destinations(t.Context(), change(t, "-D -t 10.0.0.2:80").Service.Key) {
				t.Fatalf("%v, error %v", d, err)
			}
		}},
		{"IPv6 destination in an IPv4 NAT service", func(t *testing.T, c ipvs.Client) {
			apply(t, c, "-a -t 10.0.0.1:80 -r [fd00::1]:80 -m -w 1", fs.ErrInvalid)
		}},
		{"IPv6 destination mis-encoded", func(t *testing.T, c ipvs.Client) { // moby/ipvs 21, 23
			readBack(t, c, "-t 10.0.0.1:80 -r [fd00::1]:80 -i -w 1 --tun-type ipip")
			readBack(t, c, "-t 10.0.0.1:80 -r [fd00::]:80 -i -w 1 --tun-type ipip") // looks like IPv4
		}},
		{"tunnel types missing", func(t *testing.T, c ipvs.Client) { // moby/ipvs 23
			readBack(t, c, "-t 10.0.0.1:80 -r 10.1.0.9:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum")
			readBack(t, c, "-t 10.0.0.1:80 -r 10.1.0.9:80 -i -w 1 --tun-type gre --tun-nocsum")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := open(t)
			apply(t, c, service, nil)
			apply(t, c, destination, nil)
			test.run(t, c)
			checkDump(t, c, service, destination)
		})
	}
}

// refuse checks that a destination with a setting is refused, new or not.
func refuse(t *testing.T, c ipvs.Client, set func(*ipvs.Destination)) {
	t.Helper()
	for _, line := range []string{"-a -t 10.0.0.1:80 -r 10.1.0.2:80 -m -w 1", "-e -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1"} {
		bad := change(t, line)
		set(&bad.Destination)
		checkKind(t, bad, c.Apply(t.Context(), []ipvs.Change{bad}), fs.ErrInvalid)
	}
}

// readBack adds a destination, finds it as it was written, and deletes it.
func readBack(t *testing.T, c ipvs.Client, line string) {
	t.Helper()
	added := change(t, "-a "+line)
	checkKind(t, added, c.Apply(t.Context(), []ipvs.Change{added}), nil)
	found := false
	for d, err := range c.Destinations(t.Context(), added.Service.Key) {
		if err != nil {
			t.Fatal(err)
		}
		found = found || d.Destination == added.Destination
	}
	if !found {
		t.Fatalf("%s: not read back", line)
	}
	checkReads(t, c)
	added.Op = ipvs.DeleteDestination
	checkKind(t, added, c.Apply(t.Context(), []ipvs.Change{added}), nil)
}
