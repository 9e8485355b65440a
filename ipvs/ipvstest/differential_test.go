package ipvstest_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/ipvs/ipvstest"
)

// The universe of a differential run is small, so that operations meet.
var (
	universeKeys = []string{
		"-t 10.0.0.1:80", "-u 10.0.0.1:80", "--sctp-service 10.0.0.1:80", "-t 10.0.0.1:0", "-t [fd00::1]:80", "-u [fd00::1]:53",
		"-f 1", "-f 1 -6", "-t 0.0.0.0:80",
	}
	universeOps = []ipvs.Op{
		ipvs.AddService, ipvs.AddService, ipvs.AddService, ipvs.UpdateService, ipvs.UpdateService, ipvs.DeleteService,
		ipvs.AddDestination, ipvs.AddDestination, ipvs.AddDestination, ipvs.UpdateDestination, ipvs.UpdateDestination, ipvs.DeleteDestination,
		ipvs.ZeroService, ipvs.ZeroAll,
	}
	universeSchedulers = []string{
		"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "mh", "dh", "sed", "nq", "fo", "ovf", "nosuch", "", "much-too-long-a-name",
	}
	universeFlags        = []ipvs.Flags{0, ipvs.Sched1, ipvs.Sched2, ipvs.Sched1 | ipvs.Sched2, ipvs.Sched2 | ipvs.OnePacket, ipvs.Sched3}
	universeTimeouts     = []time.Duration{0, 0, time.Second, time.Hour, 31 * 24 * time.Hour, time.Millisecond}
	universeEngines      = []string{"", "", "", "", "", "", "", "sip", "sip", "nosuch"} // for which the kernel looks for a module
	universeDestinations = []string{
		"-r 10.1.0.1:80", "-r 10.1.0.1:8080", "-r 10.1.0.2:80", "-r [fd00:1::1]:80", "-r [fd00:1::1]:53", "-r 10.1.0.3:0", "-r [fd00:1::2]:0",
		"-r 127.0.0.1:80", "-r 0.0.0.0:80", "-r [fe80::1]:80",
	}
	universeWeights = []uint32{0, 0, 1, 1, 2, 65535, 65535, 65536, 1 << 31}
	universeTunnels = []ipvs.TunnelConfig{
		{}, {}, {Type: ipvs.GUE, Port: 6080}, {Type: ipvs.GUE, Port: 6080, Flags: 2}, {Type: ipvs.GRE, Flags: 1}, {Type: ipvs.GUE}, {Type: 7},
	}
)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// randomChange makes a change, most of the time a valid one.
func randomChange(r *rand.Rand) ipvs.Change {
	var c ipvs.Change
	text := "-a " + pick(r, universeKeys) + " " + pick(r, universeDestinations)
	if err := c.UnmarshalText([]byte(text)); err != nil {
		panic(err)
	}
	c.Op = pick(r, universeOps)
	s := &c.Service
	s.Scheduler = universeSchedulers[min(r.IntN(40), r.IntN(len(universeSchedulers)))]
	s.Timeout = pick(r, universeTimeouts)
	s.PersistenceEngine = pick(r, universeEngines)
	switch {
	case s.Scheduler == "sh" || s.Scheduler == "mh":
		s.Flags = pick(r, universeFlags)
	case r.IntN(6) == 0:
		s.Flags = ipvs.Flags(r.Uint32N(16) << 2)
	}
	if r.IntN(3) == 0 {
		s.PersistenceBits = uint8(r.IntN(129))
	}
	d := &c.Destination
	d.Weight = pick(r, universeWeights)
	d.Forward = pick(r, []ipvs.Forward{ipvs.Masquerade, ipvs.Masquerade, ipvs.Masquerade, ipvs.Local, ipvs.Tunnel, ipvs.Tunnel, ipvs.Direct})
	if d.Forward == ipvs.Tunnel {
		d.Tunnel = pick(r, universeTunnels)
	}
	if r.IntN(4) == 0 {
		d.Upper, d.Lower = r.Uint32N(5), r.Uint32N(5)
	}
	return c
}

// compare applies the changes to both, in batches, and says where they first
// differ: in the kind of an error, or in what they hold at the end.
func compare(ctx context.Context, fake, other ipvs.Client, changes []ipvs.Change, r *rand.Rand) error {
	for len(changes) > 0 {
		n := min(len(changes), 1+r.IntN(8))
		want, got := fake.Apply(ctx, changes[:n]), other.Apply(ctx, changes[:n])
		for i, c := range changes[:n] {
			if w, g := errorAt(want, i), errorAt(got, i); kindOf(w) != kindOf(g) {
				return fmt.Errorf("%s: fake %q, other %q", c, kindOf(w), kindOf(g))
			}
		}
		changes = changes[n:]
	}
	want, err := save(ctx, fake)
	if err != nil {
		return err
	}
	got, err := save(ctx, other)
	if err != nil {
		return err
	}
	if want != got {
		return fmt.Errorf("fake holds\n%sother holds\n%s", want, got)
	}
	return nil
}

func errorAt(errs []error, i int) error {
	if errs == nil {
		return nil
	}
	return errs[i]
}

// kindOf names the kind of an error, or gives its text if it has none.
func kindOf(err error) string {
	for _, kind := range []error{fs.ErrExist, fs.ErrNotExist, fs.ErrInvalid, fs.ErrPermission, errors.ErrUnsupported, vipkit.ErrReplyLost} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	if err == nil {
		return ""
	}
	return err.Error()
}

func save(ctx context.Context, c ipvs.Client) (string, error) {
	var b strings.Builder
	err := ipvs.WriteSave(ctx, &b, c)
	return b.String(), err
}

// clearAll deletes every virtual server.
func clearAll(ctx context.Context, c ipvs.Client) error {
	have, err := ipvs.Snapshot(ctx, c)
	if err != nil {
		return err
	}
	return errors.Join(c.Apply(ctx, ipvs.Diff(have, nil))...)
}

// differential runs sequences of random changes on a fake and on other until
// steps are done, and returns how many were, and the shortest sequence that shows a
// difference.
func differential(ctx context.Context, other ipvs.Client, seed uint64, steps int) (done int, minimum []ipvs.Change, difference error) {
	const length = 60
	r := rand.New(rand.NewPCG(seed, 0))
	for done < steps {
		var changes []ipvs.Change
		for range length {
			changes = append(changes, randomChange(r))
		}
		batches := r.Uint64()
		run := func(changes []ipvs.Change) error {
			if err := clearAll(ctx, other); err != nil {
				return err
			}
			return compare(ctx, new(ipvstest.Fake), other, changes, rand.New(rand.NewPCG(batches, 0)))
		}
		if difference = run(changes); difference != nil {
			minimum = shrink(changes, &difference, run)
			return done, minimum, difference
		}
		done += length
	}
	return done, nil, nil
}

// shrink leaves out what the difference does not need.
func shrink(changes []ipvs.Change, difference *error, run func([]ipvs.Change) error) []ipvs.Change {
	for size := len(changes) / 2; size > 0; {
		smaller := false
		for i := 0; i+size <= len(changes); {
			without := append(append([]ipvs.Change(nil), changes[:i]...), changes[i+size:]...)
			if err := run(without); err != nil {
				changes, *difference, smaller = without, err, true
			} else {
				i += size
			}
		}
		if !smaller || size > 1 {
			size /= 2
		}
	}
	return changes
}

// wrongFake forgets the mask when a service is updated.
type wrongFake struct{ ipvstest.Fake }

func (f *wrongFake) Apply(ctx context.Context, changes []ipvs.Change) []error {
	wrong := slices.Clone(changes)
	for i := range wrong {
		if wrong[i].Op == ipvs.UpdateService && wrong[i].Validate() == nil {
			wrong[i].Service.PersistenceBits = 0
		}
	}
	return f.Fake.Apply(ctx, wrong)
}

// TestDifferential shows that a run of equals finds nothing, and one with a
// wrong fake the shortest proof.
func TestDifferential(t *testing.T) {
	done, minimum, err := differential(t.Context(), new(ipvstest.Fake), 1, 3000)
	require.NoError(t, err)
	require.Equal(t, 3000, done)
	require.Empty(t, minimum)
	_, minimum, err = differential(t.Context(), new(wrongFake), 1, 3000)
	require.Error(t, err)
	require.Len(t, minimum, 2) // a service added, and updated
}

// TestRandomChanges shows that the runs are about something.
func TestRandomChanges(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	counts := make(map[string]int)
	var fake ipvstest.Fake
	for range 8000 {
		errs := fake.Apply(t.Context(), []ipvs.Change{randomChange(r)})
		counts[kindOf(errorAt(errs, 0))]++
	}
	for _, kind := range []error{nil, fs.ErrExist, fs.ErrNotExist, fs.ErrInvalid, errors.ErrUnsupported} {
		require.Greater(t, counts[kindOf(kind)], 50, "%v", kind)
	}
}
