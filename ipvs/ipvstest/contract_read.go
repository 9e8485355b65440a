package ipvstest

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipvs"
)

// checkReads compares what Servers yields with Services and Destinations.
func checkReads(t *testing.T, c ipvs.Client) {
	t.Helper()
	servers, err := ipvs.Snapshot(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for s, err := range c.Services(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if servers[s.Key].Service != s.Service {
			t.Fatalf("Servers yields %v, Services %v", servers[s.Key].Service, s.Service)
		}
		destinations := make(map[ipvs.DestKey]ipvs.Destination)
		for d, err := range c.Destinations(t.Context(), s.Key) {
			if err != nil {
				t.Fatal(err)
			}
			destinations[d.DestKey] = d.Destination
		}
		if !maps.Equal(servers[s.Key].Destinations, destinations) {
			t.Fatalf("%s: Servers yields %v, Destinations %v", s.Key, servers[s.Key].Destinations, destinations)
		}
	}
	if n != len(servers) {
		t.Fatalf("Servers yields %d, Services %d", len(servers), n)
	}
}

// testServers reads destinations of some virtual servers only.
func testServers(t *testing.T, c ipvs.Client) {
	for i, key := range []string{"-t 10.0.0.1:80", "-t [fd00::1]:80", "-u 10.0.0.2:80", "-f 3", "-f 3 -6"} {
		apply(t, c, "-A "+key+" -s rr", nil)
		for j := range i { // the first has none
			line := fmt.Sprintf("-a %s -r 10.1.0.%d:80 -m -w %d", key, j+1, j)
			if change(t, "-D "+key).Service.Key.Family() == vipkit.IPv6 {
				line = fmt.Sprintf("-a %s -r [fd00::1:%d]:80 -m -w %d", key, j+1, j)
			}
			apply(t, c, line, nil)
		}
	}
	all, err := ipvs.Snapshot(t.Context(), c)
	if err != nil || len(all) != 5 {
		t.Fatalf("%d virtual servers, error %v", len(all), err)
	}
	n := 0
	wanted := func(k ipvs.Key) bool { return k.Protocol == vipkit.TCP || k.Mark != 0 && k.Family() == vipkit.IPv4 }
	for row, err := range c.Servers(t.Context(), wanted) {
		n++
		want := all[row.Key]
		if !wanted(row.Key) {
			want.Destinations = map[ipvs.DestKey]ipvs.Destination{}
		}
		if got := row.Server(); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, error %v, want %+v", got, err, want)
		}
		clear(row.Destinations) // the caller's own
		_ = append(row.Destinations, ipvs.Destination{})
	}
	if n != 5 {
		t.Fatalf("%d virtual servers", n)
	}
	for _, err := range c.Servers(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	checkReads(t, c)
}

// testSnapshotDiff walks through states with Diff and reads each back.
func testSnapshotDiff(t *testing.T, c ipvs.Client) {
	states := [][]string{
		{"-A -t 10.0.0.1:80 -s rr", "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1", "-a -t 10.0.0.1:80 -r 10.1.0.2:80 -m -w 1"},
		{"-A -t 10.0.0.1:80 -s wlc -p 60", "-a -t 10.0.0.1:80 -r 10.1.0.2:80 -m -w 0", "-a -t 10.0.0.1:80 -r 10.1.0.3:80 -m -w 1",
			"-A -f 3 -6 -s rr", "-a -f 3 -6 -r [fd00::1]:0 -g -w 1"},
		{"-A -f 3 -6 -s rr", "-A -u [fd00::9]:53 -s rr", "-a -u [fd00::9]:53 -r [fd00::1]:53 -m -w 1"},
		{},
	}
	for _, lines := range states {
		var fake Fake
		if err := fake.Load(strings.Join(lines, "\n")); err != nil {
			t.Fatal(err)
		}
		want, err := ipvs.Snapshot(t.Context(), &fake)
		if err != nil {
			t.Fatal(err)
		}
		have, err := ipvs.Snapshot(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if errs := c.Apply(t.Context(), ipvs.Diff(have, want)); errs != nil {
			t.Fatal(errs)
		}
		have, err = ipvs.Snapshot(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if !maps.EqualFunc(have, want, func(a, b ipvs.Server) bool { return reflect.DeepEqual(a, b) }) {
			t.Fatalf("have %v, want %v", have, want)
		}
		if again := ipvs.Diff(have, want); len(again) != 0 {
			t.Fatalf("still to do: %v", again)
		}
	}
}

func testEarlyBreak(t *testing.T, c ipvs.Client) {
	for i := range 300 {
		apply(t, c, fmt.Sprintf("-A -t 10.0.%d.%d:80 -s rr", i>>8, i&255), nil)
		apply(t, c, fmt.Sprintf("-a -t 10.0.0.0:80 -r 10.1.%d.%d:80 -m -w 1", i>>8, i&255), nil)
	}
	key := change(t, "-D -t 10.0.0.0:80").Service.Key
	for range 3 {
		for s, err := range c.Services(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			update := ipvs.Change{Op: ipvs.UpdateService, Service: s.Service} // from within
			checkKind(t, update, c.Apply(t.Context(), []ipvs.Change{update}), nil)
			break
		}
		for _, err := range c.Destinations(t.Context(), key) {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	n := 0
	for d, err := range c.Destinations(t.Context(), key) {
		if err != nil {
			t.Fatal(err)
		}
		if d.Active != 0 || d.Stats != (ipvs.Stats{}) {
			t.Fatalf("counters of an unused destination: %+v", d)
		}
		n++
	}
	if n != 300 {
		t.Fatalf("%d destinations, want 300", n)
	}
}
