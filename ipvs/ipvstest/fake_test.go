package ipvstest_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/ipvs/ipvstest"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

func TestFake(t *testing.T) {
	ipvstest.TestClient(t, func(*testing.T) ipvs.Client { return new(ipvstest.Fake) })
}

func TestFakeFault(t *testing.T) {
	var fail error
	fake := &ipvstest.Fake{Fault: func(c ipvs.Change) error {
		if c.Service.Port == 81 {
			return fail
		}
		return nil
	}}
	changes := parseAll(t, "-A -t 10.0.0.1:80 -s rr\n-A -t 10.0.0.1:81 -s rr\n-A -t 10.0.0.1:82 -s rr\n")
	for _, test := range []struct {
		fail, kind error
		dump       string
	}{
		{syscall.EPERM, fs.ErrPermission, "-A -t 10.0.0.1:80 -s rr\n-A -t 10.0.0.1:82 -s rr\n"},
		{vipkit.ErrReplyLost, vipkit.ErrReplyLost, "-A -t 10.0.0.1:80 -s rr\n-A -t 10.0.0.1:81 -s rr\n-A -t 10.0.0.1:82 -s rr\n"},
		{io.ErrUnexpectedEOF, io.ErrUnexpectedEOF, "-A -t 10.0.0.1:80 -s rr\n-A -t 10.0.0.1:82 -s rr\n"},
	} {
		require.NoError(t, fake.Load(""))
		fail = test.fail
		errs := fake.Apply(t.Context(), changes)
		require.Len(t, errs, 3)
		require.NoError(t, errs[0])
		require.ErrorIs(t, errs[1], test.kind)
		require.NoError(t, errs[2])
		require.Equal(t, test.dump, fake.Dump())
	}
}

func TestFakeLoad(t *testing.T) {
	fake := &ipvstest.Fake{Schedulers: []string{"rr"}}
	const text = "-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1 -x 5\n"
	require.NoError(t, fake.Load("# comment\n\n  "+text))
	require.Equal(t, text, fake.Dump())
	err := fake.Load("-A -t 10.0.0.2:80 -s rr\nnonsense\n-A -t 10.0.0.3:80 -s wlc\n-A -t 10.0.0.2:80 -s rr")
	require.ErrorContains(t, err, "line 2: ")
	require.ErrorContains(t, err, "line 3: ")
	require.ErrorContains(t, err, "line 4: ")
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorIs(t, err, fs.ErrExist)
	require.Equal(t, text, fake.Dump())
}

func TestFakeConnections(t *testing.T) {
	fake := new(ipvstest.Fake)
	changes := parseAll(t, "-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1\n")
	key, dest := changes[1].Service.Key, changes[1].Destination.DestKey
	require.ErrorIs(t, fake.SetConnections(key, dest, 1, 2, 3), fs.ErrNotExist)
	require.Nil(t, fake.Apply(t.Context(), changes[:1]))
	require.ErrorIs(t, fake.SetConnections(key, dest, 1, 2, 3), fs.ErrNotExist)
	require.Nil(t, fake.Apply(t.Context(), changes[1:]))
	require.NoError(t, fake.SetConnections(key, dest, 1, 2, 3))
	changes[1].Op = ipvs.UpdateDestination // keeps them
	require.Nil(t, fake.Apply(t.Context(), changes[1:]))
	for d, err := range fake.Destinations(t.Context(), key) {
		require.NoError(t, err)
		require.Equal(t, []uint32{1, 2, 3}, []uint32{d.Active, d.Inactive, d.Persistent})
	}
	var table strings.Builder
	require.NoError(t, ipvs.WriteTable(t.Context(), &table, fake))
	require.Contains(t, table.String(), "  -> 10.1.0.1:80                  Masq    1      1          2         \n")
}

func TestFakeCounters(t *testing.T) {
	fake := new(ipvstest.Fake)
	changes := parseAll(t, "-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1\n-Z -t 10.0.0.1:80\n")
	key, dest := changes[1].Service.Key, changes[1].Destination.DestKey
	require.Nil(t, fake.Apply(t.Context(), changes))
	more := ipvs.Stats{Connections: 1, PacketsIn: 2, BytesIn: 80, Rates: ipvs.Rates{BytesIn: 8}}
	want := more
	for zero := range 2 {
		require.NoError(t, fake.Count(key, dest, more))
		for s, err := range fake.Services(t.Context()) {
			require.NoError(t, err)
			require.Equal(t, want, s.Stats)
		}
		for d, err := range fake.Destinations(t.Context(), key) {
			require.NoError(t, err)
			require.Equal(t, want, d.Stats)
		}
		if zero == 0 {
			require.Nil(t, fake.Apply(t.Context(), changes[2:]))
		}
	}
}

// parseAll reads lines for ipvsadm -R.
func parseAll(t testing.TB, text string) (changes []ipvs.Change) {
	t.Helper()
	for line := range strings.Lines(text) {
		var c ipvs.Change
		require.NoError(t, c.UnmarshalText([]byte(line)))
		changes = append(changes, c)
	}
	return changes
}
