//go:build linux

package dummy

import (
	"context"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
)

// script is a host that plays what a test wrote down.
type script struct {
	lists    []any // of each list: []nl.Message, or an error
	received []any // of each Receive: an nl.Message, or an error
}

func (s *script) list(_ context.Context, each func(nl.Message)) error {
	next := s.lists[0]
	if len(s.lists) > 1 {
		s.lists = s.lists[1:]
	}
	if err, ok := next.(error); ok {
		return err
	}
	for _, m := range next.([]nl.Message) {
		each(m)
	}
	return nil
}

func (s *script) Receive(ctx context.Context, wait bool, each func(nl.Message)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(s.received) == 0 {
		if wait {
			return errScript
		}
		return unix.EAGAIN
	}
	next := s.received[0]
	s.received = s.received[1:]
	if err, ok := next.(error); ok {
		if errors.Is(err, unix.EAGAIN) && wait { // what was there is told by now
			return s.Receive(ctx, wait, each)
		}
		return err
	}
	each(next.(nl.Message))
	return nil
}

var errScript = errors.New("the script is over")

func TestWatch(t *testing.T) {
	eth0 := linkMessage(2, "eth0")
	first, second := addressMessage(2, "192.0.2.1/24", 0x80), addressMessage(2, "fd00::1/64", 0x80|unix.IFA_F_TENTATIVE)
	done, bridgePort := addressMessage(2, "fd00::1/64", 0x80), gone(linkMessage(2, "eth0"))
	bridgePort.Data = append([]byte{unix.AF_BRIDGE}, bridgePort.Data[1:]...)
	const present1, present2 = "present eth0 inet 192.0.2.1/24 scope global", "present eth0 inet6 fd00::1/64 scope global"
	const gone1 = "gone eth0 inet 192.0.2.1/24 scope global"
	all := []nl.Message{eth0, first, second}
	for _, c := range []struct {
		name string
		host script
		want []string
		err  error
	}{
		{"changes", script{[]any{all}, []any{unix.EAGAIN, done, unix.EAGAIN, gone(first), unix.EAGAIN, first}}, []string{
			present1, present2 + " tentative", "listed", present2, gone1, present1,
		}, errScript},
		{"nothing new", script{[]any{all}, []any{unix.EAGAIN, first, eth0, second}}, []string{present1, present2 + " tentative", "listed"}, errScript},
		{"what cancels out", script{[]any{[]nl.Message{eth0}}, []any{unix.EAGAIN, first, gone(first), second, done}}, []string{"listed", present2}, errScript},
		{"while listing", script{[]any{all}, []any{gone(first), done}}, []string{present2, "listed"}, errScript},
		{"rename", script{[]any{all[:2]}, []any{unix.EAGAIN, linkMessage(2, "wan0")}}, []string{
			present1, "listed", "present wan0 inet 192.0.2.1/24 scope global",
		}, errScript},
		{"link gone", script{[]any{all[:2]}, []any{unix.EAGAIN, bridgePort, unix.EAGAIN, gone(eth0)}}, []string{present1, "listed", gone1}, errScript},
		{"overflow", script{[]any{all, []nl.Message{eth0, first, done}}, []any{unix.EAGAIN, vipkit.ErrReplyLost, unix.EAGAIN}}, []string{
			present1, present2 + " tentative", "listed", "overflow", present2, "listed",
		}, errScript},
		{"what is left of before an overflow", script{[]any{all[:2]}, []any{unix.EAGAIN, vipkit.ErrReplyLost, gone(first), vipkit.ErrReplyLost, done, unix.EAGAIN}}, []string{
			present1, "listed", "overflow", "listed",
		}, errScript},
		{"overflow while listing", script{[]any{all[:2], all[:1]}, []any{vipkit.ErrReplyLost}}, []string{
			present1, "listed", "overflow", gone1, "listed",
		}, errScript},
		{"list interrupted", script{[]any{vipkit.ErrInterrupted, vipkit.ErrReplyLost, all[:2]}, nil}, []string{present1, "listed"}, errScript},
		{"list fails", script{[]any{unix.EPERM}, nil}, nil, unix.EPERM},
		{"malformed list", script{[]any{[]nl.Message{{Type: unix.RTM_NEWADDR, Data: []byte{2, 24}}}}, nil}, nil, errMalformed},
		{"malformed change", script{[]any{all[:1]}, []any{unix.EAGAIN, nl.Message{Type: unix.RTM_NEWADDR, Data: first.Data[:len(first.Data)-3]}}}, []string{"listed"}, errMalformed},
		{"malformed link", script{[]any{[]nl.Message{{Type: unix.RTM_NEWLINK, Data: make([]byte, ifInfoMsgLen)}}}, nil}, nil, errMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			var have []string
			var last error
			newWatch(&c.host).run(t.Context(), func(e Event, err error) bool {
				require.NoError(t, last)
				if last = err; err == nil {
					have = append(have, e.String())
				}
				return true
			})
			require.Equal(t, c.want, have)
			require.ErrorIs(t, last, c.err)
			var op *vipkit.OpError
			require.ErrorAs(t, last, &op)
			require.Equal(t, "dummy watch", op.Op)
		})
	}
}

// TestWatchStops leaves the loop at each event.
func TestWatchStops(t *testing.T) {
	all := []nl.Message{linkMessage(2, "eth0"), addressMessage(2, "192.0.2.1/24", 0)}
	for n := range 6 {
		host := script{[]any{all, all[:1]}, []any{unix.EAGAIN, vipkit.ErrReplyLost, unix.EAGAIN}}
		left := n
		newWatch(&host).run(t.Context(), func(Event, error) bool {
			require.GreaterOrEqual(t, left, 0, "called again")
			left--
			return left >= 0
		})
		require.Equal(t, -1, left)
	}
	ctx, cancel := context.WithCancel(t.Context())
	host := script{[]any{vipkit.ErrInterrupted}, nil}
	cancel()
	newWatch(&host).run(ctx, func(_ Event, err error) bool {
		require.Equal(t, context.Canceled, err)
		return true
	})
}
