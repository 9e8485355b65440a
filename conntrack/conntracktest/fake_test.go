package conntracktest_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/conntrack"
	"github.com/vipkit/vipkit/conntrack/conntracktest"
	"github.com/vipkit/vipkit/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

func TestFakeContract(t *testing.T) {
	for name, uncounted := range map[string]bool{"counted": false, "uncounted": true} {
		t.Run(name, func(t *testing.T) {
			conntracktest.TestClient(t, func(*testing.T) conntracktest.Opened {
				f := &conntracktest.Fake{Uncounted: uncounted}
				return conntracktest.Opened{Client: f, Add: f.Add, Uncounted: uncounted}
			})
		})
	}
}

func info(service byte, i int, timeout time.Duration) conntrack.FlowInfo {
	return conntrack.FlowInfo{Flow: conntracktest.SampleFlow(vipkit.IPv4, vipkit.UDP, service, 0, i), Timeout: timeout}
}

func TestFakeAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f conntracktest.Fake
		require.NoError(t, f.Add(info(0, 1, 30*time.Second), info(0, 2, 10*time.Second), info(0, 3, 0)))
		<-time.After(9500 * time.Millisecond)
		require.Contains(t, f.Dump(), "udp      17 0 src=10.9.0.1 dst=10.96.0.1 sport=20002")
		require.Contains(t, f.Dump(), "udp      17 20 src=10.9.0.1 dst=10.96.0.1 sport=20001")
		require.Error(t, f.Add(info(0, 2, time.Second)), "the tuple is taken")
		<-time.After(500 * time.Millisecond)
		n, _, err := f.Count(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2, n)
		require.NoError(t, f.Add(info(0, 2, time.Minute)))
		<-time.After(time.Hour)
		require.Equal(t, 1, strings.Count(f.Dump(), "\n"), "one stays")
	})
}

func TestFakeFaults(t *testing.T) {
	broken := errors.New("broken")
	f := &conntracktest.Fake{Limit: 2}
	require.ErrorIs(t, f.Add(info(0, 1, 0), info(0, 2, 0), info(0, 3, 0)), vipkit.ErrFull)
	match := []conntrack.Match{{Protocol: vipkit.UDP, OriginalDst: info(0, 1, 0).Original.Dst}}
	f.Fail = func(flow conntrack.Flow) error {
		if flow.Original.Src.Port() == 20001 {
			return broken
		}
		return nil
	}
	n, err := f.DeleteMatching(t.Context(), match)
	require.ErrorIs(t, err, broken)
	require.Equal(t, 1, n)
	f.FailRead = func() error { return vipkit.ErrReplyLost }
	_, err = f.DeleteMatching(t.Context(), match)
	require.ErrorIs(t, err, vipkit.ErrReplyLost)
	_, _, err = f.Count(t.Context())
	require.ErrorIs(t, err, vipkit.ErrReplyLost)
	for _, err := range f.Flows(t.Context(), conntrack.Filter{}) {
		require.ErrorIs(t, err, vipkit.ErrReplyLost)
	}
	f.FailRead = nil
	held := f.Dump()
	var again conntracktest.Fake
	require.NoError(t, again.Load(held))
	require.Equal(t, held, again.Dump())
	require.ErrorContains(t, again.Load("\nnonsense\n"), "line 2")
}
