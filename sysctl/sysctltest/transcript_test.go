package sysctltest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/sysctl"
)

// A transcript is what a kernel answered to values, a line each, "name = value", and
// below it how the parameter then read, behind the kind of a refusal. It begins with
// how the parameters read at first. Those of real kernels are in testdata; make
// test-kernel leaves new ones in its output directory.

// recorded are the parameters of the transcripts, a switch, three numbers, of which
// none may be small, and one that is not there, with what is written to each.
var recorded = []struct {
	name   string
	values []string
}{
	{"net.ipv4.ip_forward", []string{
		"1", "0", " 1", "1 ", "\t0\t", "0x1", "0x0", "00", "1 1", "1 x", "x", "1x", "+1", "-", "0x", "99999999999999999999", "1,2", "-1", "--1",
		"0X1f", "0b1", "0o1", "1_0", "010", "08", "2147483647", "2147483648", "-2147483648", "-2147483649", "1.5", "1e3",
	}},
	{"net.ipv4.tcp_rmem", []string{
		"4096 131072 6291456", "10001 20002 30003", "10004", "10005 20006", "10007 20008 30009 4", "10011\t20012  30013 ", "10014 x", "10015 20016 y",
		"x 20017 30018", "19000,20000,21000", "0x10000 0200000 30000", "10022 20023x",
	}},
	{"net.ipv4.no_such_parameter", []string{"1", "x"}},
}

func record(ctx context.Context, c sysctl.Client) (string, error) {
	var b strings.Builder
	for _, p := range recorded[:2] {
		value, err := c.Get(ctx, p.name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%s = %s\n", p.name, value)
	}
	b.WriteString("\n")
	for _, p := range recorded {
		for _, value := range p.values {
			name := p.name
			err := c.Set(ctx, name, value)
			answer := ""
			for _, kind := range []error{fs.ErrInvalid, fs.ErrNotExist, fs.ErrPermission} {
				if errors.Is(err, kind) {
					answer = kind.Error() + ": "
				}
			}
			if err != nil && answer == "" {
				return "", err
			}
			reads, err := c.Get(ctx, name)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return "", err
			}
			fmt.Fprintf(&b, "%s = %q\n\t%s%q\n", name, value, answer, reads)
		}
	}
	return b.String(), nil
}

// TestTranscripts replays what the kernels answered on the fake.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		first, _, ok := strings.Cut(string(data), "\n\n")
		require.True(t, ok)
		var f Fake
		require.NoError(t, f.Load(first))
		have, err := record(t.Context(), &f)
		require.NoError(t, err)
		require.Equal(t, string(data), have, file)
	}
}
