package conntracktest_test

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
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
	"github.com/vipkit/vipkit/conntrack/conntracktest"
)

// A step is a line: "create" or "delete" and a flow, "match" or "list" and options,
// "stale" and options and the endpoints that are left, or "count".

// randomStep makes a step in a universe that is small, so that steps meet.
func randomStep(r *rand.Rand) string {
	family := []vipkit.Family{vipkit.IPv4, vipkit.IPv6}[r.IntN(2)]
	switch r.IntN(16) {
	case 0:
		return "count"
	case 1, 2:
		return strings.TrimSpace("list " + randomFilter(r, family).String())
	case 3:
		return "match " + randomMatch(r, family).String()
	case 4:
		service := byte(r.IntN(2))
		m := conntrack.Match{Protocol: randomProtocol(r), OriginalDst: conntracktest.Service(family, service)}
		line := "stale " + m.String()
		for endpoint := range byte(3) {
			if r.IntN(2) == 0 {
				line += " " + conntracktest.SampleFlow(family, m.Protocol, service, endpoint, 0).Reply.Src.String()
			}
		}
		return line
	case 5, 6, 7, 8:
		return "delete " + randomFlow(r, family).Flow.String()
	}
	return "create " + randomFlow(r, family).String()
}

func randomProtocol(r *rand.Rand) vipkit.Protocol {
	return []vipkit.Protocol{vipkit.TCP, vipkit.UDP, vipkit.UDP, vipkit.SCTP}[r.IntN(4)]
}

func randomMatch(r *rand.Rand, family vipkit.Family) conntrack.Match {
	flow := randomFlow(r, family)
	m := conntrack.Match{Protocol: randomProtocol(r), OriginalDst: conntracktest.Service(family, byte(r.IntN(2)))}
	if flow.Protocol.Valid() && r.IntN(2) == 0 {
		m.ReplySrc = flow.Reply.Src
	}
	return m
}

func randomFilter(r *rand.Rand, family vipkit.Family) conntrack.Filter {
	m := randomMatch(r, family)
	var f conntrack.Filter
	if r.IntN(2) == 0 {
		f.Protocol = m.Protocol
	}
	if r.IntN(3) == 0 {
		f.Protocol = []vipkit.Protocol{conntrack.ICMP4, conntrack.ICMP6}[r.IntN(2)]
	}
	if r.IntN(2) == 0 {
		f.Family = family
	}
	if r.IntN(3) == 0 {
		f.OriginalDst = m.OriginalDst
	}
	if r.IntN(4) == 0 {
		f.ReplySrc = netip.AddrPortFrom(m.ReplySrc.Addr(), 0)
	}
	if r.IntN(3) == 0 {
		f.MarkMask = r.Uint32N(4)
		f.Mark = f.MarkMask & r.Uint32N(4)
	}
	if r.IntN(4) == 0 {
		f.Zone = conntrack.InZone(uint16(r.IntN(3)))
	}
	if r.IntN(4) == 0 {
		f.StatusMask = conntrack.StatusSeenReply
		f.Status = f.StatusMask * conntrack.Status(r.IntN(2))
	}
	if f.Family != 0 || f.OriginalDst.IsValid() || f.ReplySrc.IsValid() {
		f.Family = family
	}
	return f
}

func randomFlow(r *rand.Rand, family vipkit.Family) conntrack.FlowInfo {
	f := conntrack.FlowInfo{Mark: r.Uint32N(4), Status: conntrack.StatusConfirmed | conntrack.StatusSeenReply, Timeout: time.Hour}
	service, endpoint := byte(r.IntN(2)), byte(r.IntN(3))
	f.Flow = conntracktest.SampleFlow(family, randomProtocol(r), service, endpoint, r.IntN(2))
	if r.IntN(6) == 0 {
		f.Flow = conntracktest.SamplePing(family, service, uint16(r.IntN(3)))
	}
	if f.Protocol == vipkit.TCP || f.Protocol == vipkit.SCTP {
		f.State = "ESTABLISHED"
	}
	switch r.IntN(8) {
	case 0: // nobody translated it
		f.Reply.Src = f.Original.Dst
	case 1: // from the other side
		f.Original, f.Reply = f.Reply, f.Original
	case 2:
		f.Status &^= conntrack.StatusSeenReply
	case 3:
		f.Status |= conntrack.StatusAssured
	}
	switch r.IntN(8) {
	case 0:
		f.Zone, f.ReplyZone = 1, 1
	case 1, 2:
		// Of a client of their own, for with one that goes both ways two flows may
		// share a tuple, and the kernel then finds only one of them by it.
		f.Flow = conntracktest.SampleFlow(family, vipkit.UDP, service, endpoint, 2)
		f.State = ""
		if f.Zone = 1; r.IntN(2) == 0 {
			f.Zone, f.ReplyZone = 0, 2
		}
	}
	return f
}

// play carries out a step, and returns the answer without what differs each time.
func play(ctx context.Context, o conntracktest.Opened, step string) string {
	word, rest, _ := strings.Cut(step, " ")
	n, err := 0, error(nil)
	switch word {
	case "count":
		n, _, err = o.Client.Count(ctx)
	case "create":
		var f conntrack.FlowInfo
		if err = f.UnmarshalText([]byte(rest)); err == nil {
			err = o.Add(f)
		}
	case "delete":
		n, err = playDelete(ctx, o.Client, rest)
	case "match":
		var m conntrack.Match
		if err = m.UnmarshalText([]byte(rest)); err == nil {
			n, err = o.Client.DeleteMatching(ctx, []conntrack.Match{m})
		}
	case "stale":
		n, err = playStale(ctx, o.Client, rest)
	case "list":
		var f conntrack.Filter
		if err = f.UnmarshalText([]byte(rest)); err == nil {
			return held(ctx, o.Client, f)
		}
	default:
		err = fmt.Errorf("unknown step %q", step)
	}
	return strings.TrimSpace(fmt.Sprint(n, " ", kindOf(err)))
}

// playDelete deletes the flow that has these tuples and zones now, if there is one.
func playDelete(ctx context.Context, c conntrack.Client, text string) (int, error) {
	var want conntrack.Flow
	if err := want.UnmarshalText([]byte(text)); err != nil {
		return 0, err
	}
	for f, err := range c.Flows(ctx, conntrack.Filter{Protocol: want.Protocol, OriginalDst: want.Original.Dst, Family: vipkit.FamilyOf(want.Original.Dst.Addr())}) {
		if err != nil {
			return 0, err
		}
		id := f.ID
		f.ID = want.ID
		if f.Flow == want {
			want.ID = id
			break
		}
	}
	return c.Delete(ctx, []conntrack.Flow{want})
}

func playStale(ctx context.Context, c conntrack.Client, text string) (int, error) {
	var endpoints []netip.AddrPort
	var options []string
	for _, w := range strings.Fields(text) {
		if e, err := netip.ParseAddrPort(w); err == nil {
			endpoints = append(endpoints, e)
		} else {
			options = append(options, w)
		}
	}
	var m conntrack.Match
	if err := m.UnmarshalText([]byte(strings.Join(options, " "))); err != nil {
		return 0, err
	}
	return conntrack.DeleteStale(ctx, c, map[conntrack.Frontend][]netip.AddrPort{m.Frontend(): endpoints})
}

// held returns the flows that the filter selects, in order.
func held(ctx context.Context, c conntrack.Client, filter conntrack.Filter) string {
	var lines []string
	for f, err := range c.Flows(ctx, filter) {
		if err != nil {
			return kindOf(err)
		}
		f.ID, f.Timeout = 0, 0
		lines = append(lines, f.String())
	}
	slices.Sort(lines)
	return strings.Join(append([]string{fmt.Sprint(len(lines))}, lines...), "\n")
}

func kindOf(err error) string {
	if err == nil {
		return ""
	}
	for _, kind := range []error{fs.ErrExist, fs.ErrNotExist, fs.ErrInvalid, fs.ErrPermission, errors.ErrUnsupported, vipkit.ErrReplyLost} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	return err.Error()
}

// compare plays the steps on both and says where the answers first differ.
func compare(ctx context.Context, a, b conntracktest.Opened, steps []string) error {
	for _, step := range append(slices.Clone(steps), "count", "list") {
		if x, y := play(ctx, a, step), play(ctx, b, step); x != y {
			return fmt.Errorf("%s: fake %q, other %q", step, x, y)
		}
	}
	return nil
}

func newFake() conntracktest.Opened {
	f := new(conntracktest.Fake)
	return conntracktest.Opened{Client: f, Add: f.Add}
}

// differential plays random steps on a fake and on other, until enough are done,
// and returns the shortest run that shows a difference.
func differential(ctx context.Context, other conntracktest.Opened, seed uint64, steps int) (minimum []string, difference error) {
	const length = 100
	r := rand.New(rand.NewPCG(seed, 0))
	run := func(steps []string) error {
		if err := clearAll(ctx, other.Client); err != nil {
			return err
		}
		return compare(ctx, newFake(), other, steps)
	}
	for done := 0; done < steps; done += length {
		var some []string
		for range length {
			some = append(some, randomStep(r))
		}
		if difference = run(some); difference != nil {
			return shrink(some, &difference, run), difference
		}
	}
	return nil, nil
}

func clearAll(ctx context.Context, c conntrack.Client) error {
	var flows []conntrack.Flow
	for f, err := range c.Flows(ctx, conntrack.Filter{}) {
		if err != nil {
			return err
		}
		flows = append(flows, f.Flow)
	}
	_, err := c.Delete(ctx, flows)
	return err
}

// shrink leaves out what the difference does not need.
func shrink(steps []string, difference *error, run func([]string) error) []string {
	for size := len(steps) / 2; size > 0; {
		smaller := false
		for i := 0; i+size <= len(steps); {
			without := slices.Concat(steps[:i], steps[i+size:])
			if err := run(without); err != nil {
				steps, *difference, smaller = without, err, true
			} else {
				i += size
			}
		}
		if !smaller || size > 1 {
			size /= 2
		}
	}
	return steps
}

// TestDifferential shows that a run of equals finds nothing, and one with a wrong
// table the shortest proof.
func TestDifferential(t *testing.T) {
	minimum, err := differential(t.Context(), newFake(), 1, 3000)
	require.NoError(t, err)
	require.Empty(t, minimum)
	wrong := newFake() // takes the same answer from two services
	add := wrong.Add
	wrong.Add = func(flows ...conntrack.FlowInfo) error {
		if err := add(flows...); errors.Is(err, fs.ErrExist) && flows[0].Mark == 3 {
			return nil
		}
		return add()
	}
	minimum, err = differential(t.Context(), wrong, 1, 3000)
	require.Error(t, err)
	require.Len(t, minimum, 2, "%v", minimum) // a flow created, and one that it is in the way of
}

// TestRandomSteps shows that the runs are about something.
func TestRandomSteps(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	answers := make(map[string]int)
	for range 50 {
		o := newFake()
		for range 100 {
			step := randomStep(r)
			word, _, _ := strings.Cut(step, " ")
			answer, _, _ := strings.Cut(play(t.Context(), o, step), "\n")
			answers[word+": "+answer]++
		}
	}
	for _, want := range []string{
		"create: 0", "create: 0 " + fs.ErrExist.Error(), "delete: 0", "delete: 1", "match: 0", "match: 1", "match: 2", "stale: 0", "stale: 1", "stale: 2", "list: 0", "list: 1", "list: 2",
	} {
		require.Greater(t, answers[want], 10, "%s of %v", want, answers)
	}
}
