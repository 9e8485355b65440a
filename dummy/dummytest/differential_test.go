package dummytest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/dummy"
)

// The universe of a differential run is small, so that operations meet.
var (
	universeLinks = []string{"vipkit0", "vipkit0", "vipkit0", "vipkit0", "vipkit1", "vipkit1", "lo", "nosuch"}
	universeMTUs  = []int{0, 0, 0, 1280, 1500, 9000, 68}
	universeAddrs = []string{
		"10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "fd00::1", "fd00::1", "fd00::2", "fd00::3", "2001:db8::1",
		"240.0.0.1", "100.64.0.1", "fec0::1", "::2", "127.0.0.1", "fe80::1", "224.0.0.1",
	}
)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// operation is one write.
type operation struct {
	verb   string // of ip link: "add", "set" or "del"; "" for a change
	link   dummy.Link
	change dummy.Change
}

// String returns the operation as a command of ip(8).
func (o operation) String() string {
	switch o.verb {
	case "add":
		return o.link.String()
	case "set":
		return o.link.UpdateString()
	case "del":
		return "ip link del " + o.link.Name
	}
	return o.change.String(o.link.Name)
}

// parseOperation reads what String writes.
func parseOperation(line string) (o operation, err error) {
	words := strings.Fields(strings.TrimPrefix(line, "ip "))
	ok := len(words) >= 3
	switch {
	case !ok:
	case words[0] != "link":
		o.change, o.link.Name, ok = parseChange(words)
	case words[1] == "del":
		o.verb, o.link.Name = "del", words[2]
	case words[1] == "set":
		last := len(words) - 1
		text := slices.Concat([]string{"link", "add"}, words[2:last], []string{"type", dummy.Kind})
		o.verb = "set"
		o.link, ok = parseLink(text)
		o.link.Up = words[last] == "up"
	default:
		o.verb = "add"
		o.link, ok = parseLink(words)
	}
	if !ok || o.String() != line {
		return o, fmt.Errorf("cannot read %q", line)
	}
	return o, nil
}

func randomOperation(r *rand.Rand) operation {
	o := operation{link: dummy.Link{Name: pick(r, universeLinks)}}
	if n := r.IntN(100); n < 12 {
		o.verb = "set"
		if n < 3 && o.link.Name != "nosuch" {
			o.verb = "add"
		}
		o.link.Up, o.link.MTU = r.IntN(5) > 0, pick(r, universeMTUs)
		if r.IntN(3) == 0 {
			o.link.Group = r.Uint32N(4)
		}
		return o
	} else if n < 14 {
		o.verb = "del"
		return o
	}
	o.change = dummy.Change{
		Op:      pick(r, []dummy.Op{dummy.AddAddress, dummy.AddAddress, dummy.DeleteAddress}),
		Address: dummy.Address{Addr: netip.MustParseAddr(pick(r, universeAddrs)), Means: dummy.Means(r.IntN(2))},
	}
	return o
}

// do carries out operations and returns the kinds of their answers. Changes of one
// link that follow each other go in one batch.
func do(ctx context.Context, c dummy.Client, ops []operation) (answers []string) {
	for len(ops) > 0 {
		o, n := ops[0], 1
		var errs []error
		switch o.verb {
		case "add":
			errs = []error{c.CreateLink(ctx, o.link)}
		case "set":
			errs = []error{c.UpdateLink(ctx, o.link)}
		case "del":
			errs = []error{c.DeleteLink(ctx, o.link.Name)}
		default:
			changes := []dummy.Change{o.change}
			for ; n < len(ops) && ops[n].verb == "" && ops[n].link.Name == o.link.Name; n++ {
				changes = append(changes, ops[n].change)
			}
			if errs = c.Apply(ctx, o.link.Name, changes); errs == nil {
				errs = make([]error, n)
			}
		}
		for _, err := range errs {
			answers = append(answers, kindOf(err))
		}
		ops = ops[n:]
	}
	return answers
}

// kindOf names the kind of an error, or gives its text if it has none.
func kindOf(err error) string {
	for _, kind := range []error{fs.ErrExist, fs.ErrNotExist, fs.ErrInvalid, fs.ErrPermission, errors.ErrUnsupported, vipkit.ErrReplyLost} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	if err == nil {
		return "done"
	}
	return err.Error()
}

// state returns all that there is, as text: the links, what they hold, and the
// addresses of the host.
func state(ctx context.Context, c Client) (string, error) {
	var b strings.Builder
	for _, name := range []string{"lo", "vipkit0", "vipkit1"} {
		l, err := c.Link(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%s kind=%s up=%t mtu=%d group=%d\n", l.Name, l.Kind, l.Up, l.MTU, l.Group)
		var held []string
		for a, err := range c.Addresses(ctx, name) {
			if err != nil {
				return "", err
			}
			held = append(held, a.String()+"\n")
		}
		slices.Sort(held)
		b.WriteString(strings.Join(held, ""))
	}
	list, err := dummy.HostAddresses(ctx, c)
	var shown []string
	for _, a := range list {
		shown = append(shown, a.String()+"\n")
	}
	slices.Sort(shown)
	return b.String() + "ip -o addr\n" + strings.Join(shown, ""), err
}

// compare says where two clients that do the same first differ: in the kind of an
// answer, or in what there is at the end.
func compare(ctx context.Context, fake, other Client, ops []operation) error {
	want, got := do(ctx, fake, ops), do(ctx, other, ops)
	for i, o := range ops {
		if want[i] != got[i] {
			return fmt.Errorf("%s: fake %q, other %q", o, want[i], got[i])
		}
	}
	before, err := state(ctx, fake)
	if err != nil {
		return err
	}
	after, err := state(ctx, other)
	if err == nil && before != after {
		err = fmt.Errorf("fake has\n%sother has\n%s", before, after)
	}
	return err
}

// clearAll makes a host what it was at first.
func clearAll(ctx context.Context, c dummy.Client) error {
	for _, name := range []string{"vipkit0", "vipkit1"} {
		if err := c.DeleteLink(ctx, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	var held []dummy.Address
	for a, err := range c.Addresses(ctx, "lo") {
		if err != nil {
			return err
		}
		held = append(held, a)
	}
	return errors.Join(c.Apply(ctx, "lo", dummy.Diff(held, nil))...)
}

// differential runs sequences of random operations on a fake and on other until
// steps are done, and returns the shortest sequence that shows a difference.
func differential(ctx context.Context, other Client, seed uint64, steps int) (minimum []operation, difference error) {
	const length = 80
	r := rand.New(rand.NewPCG(seed, 0))
	run := func(ops []operation) error {
		if err := clearAll(ctx, other); err != nil {
			return err
		}
		return compare(ctx, new(Fake), other, ops)
	}
	for done := 0; done < steps; done += length {
		// There is something to do it to, most of the time.
		ops := []operation{{verb: "add", link: dummy.Link{Name: "vipkit0", Up: r.IntN(4) > 0}}}
		for len(ops) < length {
			o := randomOperation(r)
			ops = append(ops, o)
			for o.verb == "" && r.IntN(3) > 0 { // a batch
				more := randomOperation(r)
				if more.verb == "" {
					more.link.Name = o.link.Name
					ops = append(ops, more)
				}
			}
		}
		if difference = run(ops); difference != nil {
			return shrink(ops, &difference, run), difference
		}
	}
	return nil, nil
}

// shrink leaves out what the difference does not need.
func shrink(ops []operation, difference *error, run func([]operation) error) []operation {
	for size := len(ops) / 2; size > 0; {
		smaller := false
		for i := 0; i+size <= len(ops); {
			without := slices.Concat(ops[:i], ops[i+size:])
			if err := run(without); err != nil {
				ops, *difference, smaller = without, err, true
			} else {
				i += size
			}
		}
		if !smaller || size > 1 {
			size /= 2
		}
	}
	return ops
}

// wrongFake keeps IPv6 addresses when a link goes down.
type wrongFake struct{ Fake }

func (f *wrongFake) UpdateLink(ctx context.Context, l dummy.Link) error {
	have, err := f.Link(ctx, l.Name)
	if err == nil && have.Kind == dummy.Kind {
		l.Up = have.Up
	}
	return f.Fake.UpdateLink(ctx, l)
}

// TestDifferential shows that a run of equals finds nothing, and one with a wrong
// fake the shortest proof.
func TestDifferential(t *testing.T) {
	minimum, err := differential(t.Context(), new(Fake), 1, 4000)
	require.NoError(t, err)
	require.Empty(t, minimum)
	minimum, err = differential(t.Context(), new(wrongFake), 1, 4000)
	require.Error(t, err)
	require.Len(t, minimum, 2) // a link made, and brought down
	for _, o := range minimum {
		again, err := parseOperation(o.String())
		require.NoError(t, err)
		require.Equal(t, o.String(), again.String())
	}
}

// TestRandomOperations shows that the runs are about something.
func TestRandomOperations(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	counts := make(map[string]int)
	var fake Fake
	for range 10_000 {
		counts[do(t.Context(), &fake, []operation{randomOperation(r)})[0]]++
	}
	for _, kind := range []error{nil, fs.ErrExist, fs.ErrNotExist, fs.ErrInvalid} {
		require.Greater(t, counts[kindOf(kind)], 100, "%v", kind)
	}
}
