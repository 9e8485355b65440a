//go:build linux

package nl

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// open opens a socket of the running kernel. The requests of these tests need
// no privilege: they read, or are refused whoever asks.
func open(t testing.TB, cfg Config) *Conn {
	t.Helper()
	c, err := Open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func linkDump() *Batch {
	var b Batch
	b.Begin(unix.RTM_GETLINK, unix.NLM_F_DUMP)
	b.Raw(make([]byte, unix.SizeofIfInfomsg)...)
	b.End()
	return &b
}

// deleteMissing appends a request that fails with ENODEV, or EPERM for a plain
// user.
func deleteMissing(b *Batch) {
	b.Begin(unix.RTM_DELLINK, 0)
	b.Raw(make([]byte, unix.SizeofIfInfomsg)...)
	b.String(unix.IFLA_IFNAME, "vipkit-missing")
	b.End()
}

// askOne appends a request that succeeds for anyone.
func askOne(b *Batch) {
	b.Begin(unix.RTM_GETLINK, 0)
	b.Raw(0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) // index 1: lo
	b.End()
}

func countLinks(ctx context.Context, c *Conn) (n int, err error) {
	for _, err := range c.Query(ctx, linkDump()) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func TestQuery(t *testing.T) {
	c := open(t, Config{Protocol: unix.NETLINK_ROUTE})
	n, err := countLinks(t.Context(), c)
	require.NoError(t, err)
	require.Positive(t, n)

	for m, err := range c.Query(t.Context(), linkDump()) { // break early, ask inside
		require.NoError(t, err)
		require.EqualValues(t, unix.RTM_NEWLINK, m.Type)
		inside, err := countLinks(t.Context(), c)
		require.NoError(t, err)
		require.Equal(t, n, inside)
		break
	}
	again, err := countLinks(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, n, again)

	var b Batch
	askOne(&b)
	names := 0
	for m, err := range c.Query(t.Context(), &b) {
		require.NoError(t, err)
		for a := range Attrs(m.Data[unix.SizeofIfInfomsg:]) {
			if a.Type == unix.IFLA_IFNAME {
				require.Equal(t, "lo", a.String())
				names++
			}
		}
	}
	require.Equal(t, 1, names)

	b.Reset()
	deleteMissing(&b)
	for _, err := range c.Query(t.Context(), &b) {
		require.Error(t, err)
	}
}

func TestQueryCancelled(t *testing.T) {
	c := open(t, Config{Protocol: unix.NETLINK_ROUTE})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := countLinks(ctx, c)
	require.ErrorIs(t, err, context.Canceled)
	messages, sends := c.Requests()
	require.Zero(t, messages)
	require.Zero(t, sends)
}

func TestGenlFamily(t *testing.T) {
	c := open(t, Config{Protocol: unix.NETLINK_GENERIC})
	id, err := c.GenlFamily(t.Context(), "nlctrl")
	require.NoError(t, err)
	require.EqualValues(t, unix.GENL_ID_CTRL, id)
	_, err = c.GenlFamily(t.Context(), "vipkit")
	require.ErrorIs(t, err, unix.ENOENT)
}

// TestExec mixes requests that fail with such that do not, over several sends.
func TestExec(t *testing.T) {
	const count = 20_000
	for _, echo := range []bool{false, true} {
		c := open(t, Config{Protocol: unix.NETLINK_ROUTE, Echo: echo})
		var b Batch
		var want, got []int
		for i := range count {
			if i%7 == 3 || i == count-1 {
				deleteMissing(&b)
				want = append(want, i)
			} else {
				b.Begin(unix.NLMSG_NOOP, 0)
				b.End()
			}
		}
		for range 2 { // a batch may be sent again
			got = got[:0]
			require.NoError(t, c.Exec(t.Context(), &b, func(f Failure) {
				require.Contains(t, []error{unix.ENODEV, unix.EPERM}, error(f.Errno))
				require.False(t, f.Lost)
				if echo {
					require.Len(t, f.Reply, b.end(f.Index)-b.starts[f.Index])
				} else {
					require.Len(t, f.Reply, headerLen)
				}
				got = append(got, f.Index)
			}))
			require.Equal(t, want, got)
		}
		messages, sends := c.Requests()
		require.EqualValues(t, 2*count, messages)
		require.Less(t, sends, int64(count/10))
	}
}

func TestExecCancelled(t *testing.T) {
	c := open(t, Config{Protocol: unix.NETLINK_ROUTE})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var b Batch
	deleteMissing(&b)
	deleteMissing(&b)
	var got []Failure
	require.ErrorIs(t, c.Exec(ctx, &b, func(f Failure) { got = append(got, f) }), context.Canceled)
	require.Equal(t, []Failure{{Index: 0, Errno: unix.ECANCELED}, {Index: 1, Errno: unix.ECANCELED}}, got)
}

func TestExecTooLong(t *testing.T) {
	c := open(t, Config{Protocol: unix.NETLINK_ROUTE})
	var b Batch
	b.Begin(unix.NLMSG_NOOP, 0)
	b.End()
	b.Begin(unix.NLMSG_NOOP, 0)
	b.Raw(make([]byte, 1<<20)...)
	b.End()
	b.Begin(unix.NLMSG_NOOP, 0)
	b.End()
	var got []Failure
	require.NoError(t, c.Exec(t.Context(), &b, func(f Failure) { got = append(got, f) }))
	require.Equal(t, []Failure{{Index: 1, Errno: unix.EMSGSIZE}}, got)
}

// TestSmallBuffers shows that refusals never overflow the receive buffer, and
// that a lost answer is reported where they would.
func TestSmallBuffers(t *testing.T) {
	const count = 5_000
	s, err := openSocket(Config{Protocol: unix.NETLINK_ROUTE})
	require.NoError(t, err)
	sys := s.(*sysSocket)
	require.NoError(t, sys.raw.Control(func(fd uintptr) {
		require.NoError(t, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 32<<10))
		sys.answerLimit, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
		require.NoError(t, err)
	}))
	c := newConn(s)
	defer c.Close()
	var b Batch
	for range count {
		deleteMissing(&b)
	}
	failed, lost := 0, 0
	count1 := func(f Failure) {
		require.Equal(t, failed, f.Index)
		failed++
		if f.Lost {
			require.Equal(t, unix.ENOBUFS, f.Errno)
			lost++
		}
	}
	require.NoError(t, c.Exec(t.Context(), &b, count1))
	require.Equal(t, count, failed)
	require.Zero(t, lost)

	sys.answerLimit = 1 << 30 // a wrong belief: the kernel drops answers
	failed = 0
	require.NoError(t, c.Exec(t.Context(), &b, count1))
	require.Equal(t, count, failed)
	require.Positive(t, lost)

	n, err := countLinks(t.Context(), c) // the socket is none the worse for it
	require.NoError(t, err)
	require.Positive(t, n)
}

func TestConcurrentUse(t *testing.T) {
	c := open(t, Config{Protocol: unix.NETLINK_ROUTE})
	want, err := countLinks(t.Context(), c)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			var b Batch
			for j := range 20 {
				n, err := countLinks(t.Context(), c)
				if !errors.Is(err, vipkit.ErrInterrupted) && (err != nil || n != want) {
					t.Errorf("%d links, error %v: want %d", n, err, want)
				}
				b.Reset()
				for k := range 50 {
					if k == i {
						deleteMissing(&b)
					}
					askOne(&b)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(j+1)*time.Millisecond)
				err = c.Exec(ctx, &b, func(f Failure) {
					if f.Index != i && f.Errno != unix.ECANCELED && !f.Lost {
						t.Errorf("failure at %d: want %d", f.Index, i)
					}
				})
				cancel()
				if err != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// TestClose closes a socket that somebody waits on.
func TestClose(t *testing.T) {
	s, err := openSocket(Config{Protocol: unix.NETLINK_ROUTE})
	require.NoError(t, err)
	c := newConn(s)
	result := make(chan error)
	go func() {
		_, err := s.recv(context.Background(), make([]byte, 1<<10), true)
		result <- err
	}()
	time.Sleep(10 * time.Millisecond) //nolint:forbidigo // let it wait; either order must work
	require.NoError(t, c.Close())
	require.ErrorIs(t, <-result, net.ErrClosed)
	_, err = countLinks(t.Context(), c)
	require.ErrorIs(t, err, net.ErrClosed)
}

// TestWaitHonoursContext waits for an answer that never comes.
func TestWaitHonoursContext(t *testing.T) {
	s, err := openSocket(Config{Protocol: unix.NETLINK_ROUTE})
	require.NoError(t, err)
	defer s.close()
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		_, err = s.recv(ctx, make([]byte, 1<<10), true)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		cancel()
	}
	_, err = s.recv(t.Context(), make([]byte, 1<<10), true)
	require.ErrorIs(t, err, unix.EAGAIN, "nor does it wait for ever")
}

func TestOpenInMissingNamespace(t *testing.T) {
	_, err := Open(Config{Protocol: unix.NETLINK_ROUTE, Namespace: "/run/netns/vipkit-missing"})
	require.ErrorIs(t, err, os.ErrNotExist)
}
