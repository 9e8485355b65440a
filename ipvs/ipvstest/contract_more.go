package ipvstest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vipkit/vipkit/ipvs"
)

// testInvalid sends what Validate refuses, among what it does not.
func testInvalid(t *testing.T, c ipvs.Client) {
	apply(t, c, "-A -t 10.0.0.1:80 -s rr", nil)
	for _, line := range []string{
		"-A -t 10.0.0.2:0 -s rr", "-A -t 0.0.0.0:80 -s rr", "-A -t 10.0.0.2:80 -s rr -o", "-A -t 10.0.0.2:80 -s UPPER",
		"-A -t 10.0.0.2:80 -s rr -p 2678401", "-A -t 10.0.0.2:80 -s rr -M 255.0.0.0", "-A -t 10.0.0.2:80 -s rr -p 60 -M 255.0.255.0",
		"-A -t 10.0.0.2:80 -s sixteen-bytes-ab", "-A -u 10.0.0.2:80 -s rr --pe sip", "-A -t 10.0.0.2:80 -s wlc -b flag-1",
		"-A -t 10.0.0.2:80 -s sh -b flag-3", "-A -t [::ffff:10.0.0.2]:80 -s rr",
		"-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 65536", "-a -t 10.0.0.1:80 -r 10.1.0.1:81 -g -w 1",
		"-a -t 10.0.0.1:80 -r 10.1.0.1:81 -i -w 1", "-a -t 10.0.0.1:80 -r [fd00::5]:80 -m -w 1",
		"-a -t 10.0.0.1:80 -r [fd00::5]:80 -g -w 1", "-a -t 10.0.0.1:80 -r 0.0.0.0:80 -m -w 1",
		"-a -t 10.0.0.1:80 -r 127.0.0.1:80 -m -w 1", "-a -t 10.0.0.1:80 -r 224.0.0.1:80 -m -w 1",
		"-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1 -y 5", "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -i -w 1 --tun-type gue",
		"-a -t 10.0.0.1:80 -r 10.1.0.1:80 -i -w 1 --tun-csum", "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -i -w 1 --tun-port 5",
	} {
		apply(t, c, line, fs.ErrInvalid)
	}
	bad := change(t, "-A -t 10.0.0.2:80 -s rr -p 60")
	bad.Service.Timeout = 1500 * time.Millisecond
	checkKind(t, bad, c.Apply(t.Context(), []ipvs.Change{bad}), fs.ErrInvalid)
	bad = change(t, "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1")
	bad.Destination.Forward = ipvs.Local
	checkKind(t, bad, c.Apply(t.Context(), []ipvs.Change{bad}), fs.ErrInvalid)
	checkKind(t, ipvs.Change{}, c.Apply(t.Context(), []ipvs.Change{{}}), fs.ErrInvalid)
	for _, err := range c.Destinations(t.Context(), ipvs.Key{}) {
		if !errors.Is(err, fs.ErrInvalid) {
			t.Fatalf("destinations of no key: %v", err)
		}
	}
	checkDump(t, c, "-A -t 10.0.0.1:80 -s rr")
}

// testBatch shows that failures do not stop a batch and are told by index.
func testBatch(t *testing.T, c ipvs.Client) {
	const services = 1500
	var changes []ipvs.Change
	want := make(map[int]error)
	for i := range services {
		add := change(t, fmt.Sprintf("-A -t 10.0.%d.%d:80 -s rr", i>>8, i&255))
		if i == 0 {
			add = change(t, "-A -t 10.0.255.255:80 -s rr")
		}
		dest := change(t, "-a -t 10.9.9.9:80 -r 10.1.0.1:80 -m -w 1")
		dest.Service.Key = add.Service.Key
		changes = append(changes, add, dest)
		switch i % 7 {
		case 1:
			changes, want[len(changes)] = append(changes, dest), fs.ErrExist
		case 2:
			bad := dest
			bad.Destination.Weight = 1 << 20
			changes, want[len(changes)] = append(changes, bad), fs.ErrInvalid
		case 3:
			changes, want[len(changes)] = append(changes, change(t, "-D -t 10.8.0.1:1")), fs.ErrNotExist
		case 4:
			if i < 100 { // each has the kernel look for a module
				changes, want[len(changes)] = append(changes, change(t, "-A -t 10.8.0.1:1 -s nosuch")), errors.ErrUnsupported
			}
		}
	}
	errs := c.Apply(t.Context(), changes)
	if len(errs) != len(changes) {
		t.Fatalf("got %d errors, want %d", len(errs), len(changes))
	}
	for i, err := range errs {
		if want[i] == nil && err == nil {
			continue
		}
		if want[i] == nil {
			t.Fatalf("change %d, %s: %v", i, changes[i], err)
		}
		checkError(t, changes[i], err, want[i])
	}
	servers, err := ipvs.Snapshot(t.Context(), c)
	if err != nil || len(servers) != services {
		t.Fatalf("%d services, error %v", len(servers), err)
	}
	for k, s := range servers {
		if len(s.Destinations) != 1 {
			t.Fatalf("%s has %d destinations", k, len(s.Destinations))
		}
	}
}

func testCancelled(t *testing.T, c ipvs.Client) {
	apply(t, c, "-A -t 10.0.0.1:80 -s rr", nil)
	add := change(t, "-A -t 10.0.0.2:80 -s rr")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithTimeout(t.Context(), -1)
	defer cancel()
	for _, ctx := range []context.Context{cancelled, expired} {
		if _, err := c.Info(ctx); !errors.Is(err, ctx.Err()) {
			t.Errorf("Info: %v", err)
		}
		for _, err := range c.Services(ctx) {
			if !errors.Is(err, ctx.Err()) {
				t.Errorf("Services: %v", err)
			}
		}
		for _, err := range c.Destinations(ctx, add.Service.Key) {
			if !errors.Is(err, ctx.Err()) {
				t.Errorf("Destinations: %v", err)
			}
		}
		for _, err := range c.Servers(ctx, nil) {
			if !errors.Is(err, ctx.Err()) {
				t.Errorf("Servers: %v", err)
			}
		}
		if _, err := c.Timeouts(ctx); !errors.Is(err, ctx.Err()) {
			t.Errorf("Timeouts: %v", err)
		}
		if err := c.SetTimeouts(ctx, ipvs.Timeouts{TCP: time.Second}); !errors.Is(err, ctx.Err()) {
			t.Errorf("SetTimeouts: %v", err)
		}
		if _, err := c.Daemons(ctx); !errors.Is(err, ctx.Err()) {
			t.Errorf("Daemons: %v", err)
		}
		if err := c.StartDaemon(ctx, ipvs.Daemon{State: ipvs.Master, Interface: "lo"}); !errors.Is(err, ctx.Err()) {
			t.Errorf("StartDaemon: %v", err)
		}
		if err := c.StopDaemon(ctx, ipvs.Master); !errors.Is(err, ctx.Err()) {
			t.Errorf("StopDaemon: %v", err)
		}
		errs := c.Apply(ctx, []ipvs.Change{add, add})
		if len(errs) != 2 {
			t.Fatalf("Apply: %v", errs)
		}
		for _, err := range errs {
			checkError(t, add, err, ctx.Err())
		}
	}
	checkDump(t, c, "-A -t 10.0.0.1:80 -s rr")
}

// testAliasing shows that nothing of the caller's is kept, nor given away.
func testAliasing(t *testing.T, c ipvs.Client) {
	changes := []ipvs.Change{
		change(t, "-A -t 10.0.0.1:80 -s rr"), change(t, "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1"),
	}
	original := slices.Clone(changes)
	if errs := c.Apply(t.Context(), changes); errs != nil {
		t.Fatal(errs)
	}
	if !slices.Equal(changes, original) {
		t.Fatal("Apply changed its argument")
	}
	clear(changes)
	first, err := ipvs.Snapshot(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for k, s := range first {
		clear(s.Destinations)
		delete(first, k)
	}
	checkDump(t, c, "-A -t 10.0.0.1:80 -s rr", "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1")
}

func testConcurrent(t *testing.T, c ipvs.Client) {
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			key := fmt.Sprintf("-t 10.0.0.%d:80", worker+1)
			lines := []string{"-A " + key + " -s rr", "-a " + key + " -r 10.1.0.1:80 -m -w 1", "-E " + key + " -s wlc", "-D " + key}
			var changes []ipvs.Change
			for _, line := range lines {
				var c ipvs.Change
				if err := c.UnmarshalText([]byte(line)); err != nil {
					t.Error(err)
				}
				changes = append(changes, c)
			}
			for range 6 {
				if errs := c.Apply(t.Context(), changes); errs != nil {
					t.Error(errs)
				}
				if _, err := ipvs.Snapshot(t.Context(), c); err != nil {
					t.Error(err)
				}
				if _, err := c.Info(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	checkDump(t, c)
}
