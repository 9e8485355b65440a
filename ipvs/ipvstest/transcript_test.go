package ipvstest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/ipvs/ipvstest"
)

// A transcript is what a client answered to changes, one at a time, and what it then
// held: sections changes, save and timeouts of a txtar. Those of real kernels are in
// testdata; make test-kernel leaves new ones in its output directory.

// record makes a transcript of changes, as far as they can be written down.
func record(ctx context.Context, c ipvs.Client, lines []string) (*txtar.Archive, error) {
	var b strings.Builder
	for _, line := range lines {
		var change ipvs.Change
		if err := change.UnmarshalText([]byte(line)); err != nil {
			continue
		}
		answer := kindOf(errorAt(c.Apply(ctx, []ipvs.Change{change}), 0))
		if answer == "" {
			answer = "done"
		}
		fmt.Fprintf(&b, "%s\n\t%s\n", line, answer)
	}
	held, err := save(ctx, c)
	if err != nil {
		return nil, err
	}
	timeouts, err := c.Timeouts(ctx)
	if err != nil {
		return nil, err
	}
	return &txtar.Archive{Files: []txtar.File{
		{Name: "changes", Data: []byte(b.String())},
		{Name: "save", Data: []byte(held)},
		{Name: "timeouts", Data: []byte(timeouts.String() + "\n")},
	}}, nil
}

// linesOf returns the changes of a transcript.
func linesOf(a *txtar.Archive) (lines []string) {
	for line := range strings.Lines(string(a.Files[0].Data)) {
		if !strings.HasPrefix(line, "\t") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// transcripts are what is recorded, by name.
func transcripts() map[string][]string {
	all := map[string][]string{"answers": answers(), "schedulers": nil}
	const persistent = " -p 60 -M 255.255.255.0"
	for i, name := range ipvs.Schedulers() {
		key := fmt.Sprintf("-t 10.0.%d.1:80", i)
		add := []string{"-A " + key + " -s " + name, "-E " + key + " -s " + name + persistent, "-a " + key + " -r 10.1.0.1:80 -m -w 1"}
		for _, flags := range []string{"fallback", "port", "fallback," + name + "-port"} {
			add = append(add, "-E "+key+" -s "+name+" -b "+name+"-"+flags)
		}
		all["schedulers"] = append(all["schedulers"], append(add, "-E "+key+" -s "+name+" -b flag-3")...)
	}
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 7))
		name := fmt.Sprintf("random-%d", seed)
		for range 800 {
			all[name] = append(all[name], randomChange(r).String())
		}
	}
	return all
}

// answers is every operation on what is there and on what is not.
func answers() (lines []string) {
	for _, key := range []string{"-t 10.0.0.1:80", "-u [fd00::1]:53", "--sctp-service 10.0.0.1:80", "-f 7", "-f 7 -6"} {
		destination := key + " -r 10.1.0.1:80"
		if strings.Contains(key, "6") || strings.Contains(key, "[") {
			destination = key + " -r [fd00:1::1]:53"
		}
		every := []string{
			"-E " + key + " -s rr", "-Z " + key, "-a " + destination + " -m -w 1", "-e " + destination + " -m -w 1", "-d " + destination,
			"-A " + key + " -s nosuch", "-A " + key + " -s rr -p 60 --pe nosuch",
			"-A " + key + " -s rr", "-A " + key + " -s nosuch", "-E " + key + " -s nosuch", "-E " + key + " -s wrr -p 60",
			"-e " + destination + " -m -w 1", "-d " + destination,
			"-a " + destination + " -m -w 1", "-a " + destination + " -m -w 2", "-e " + destination + " -m -w 65535 -x 9 -y 8", "-Z " + key, "-Z",
			"-a " + key + " -r 10.1.0.2:80 -i -w 1 --tun-type gue --tun-port 6080", "-a " + key + " -r [fd00::2]:53 -i -w 1 --tun-type gre --tun-csum",
			"-E " + key + " -s mh -b mh-port",
		}
		lines = append(append(lines, every...), "-D "+key, "-D "+key)
		lines = append(lines, every[7:]...)
	}
	return lines
}

// TestTranscripts replays what the kernels answered, and the shortest proofs of
// differences found once, on the fake.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimPrefix(file, "testdata/"), func(t *testing.T) { replay(t, file, new(ipvstest.Fake)) })
	}
}

// replay compares a client's answers with those in a file.
func replay(t *testing.T, file string, c ipvs.Client) {
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	want := txtar.Parse(data)
	require.Equal(t, "changes", want.Files[0].Name)
	got, err := record(t.Context(), c, linesOf(want))
	require.NoError(t, err)
	got.Comment = want.Comment
	require.Equal(t, string(txtar.Format(want)), string(txtar.Format(got)))
}
