package iptables

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/run"
)

// runner answers as a tool would, without one.
type runner struct {
	t     *testing.T
	stdin string
	calls [][]string
	// answers are given in order.
	answers []run.Result
	err     error
}

func (r *runner) Run(_ context.Context, stdin []byte, name string, args ...string) (run.Result, error) {
	r.stdin = string(stdin)
	r.calls = append(r.calls, append([]string{name}, args...))
	if r.err != nil {
		return run.Result{}, r.err
	}
	require.NotEmpty(r.t, r.answers, "%v", r.calls)
	answer := r.answers[0]
	r.answers = r.answers[1:]
	return answer, nil
}

func toolConn(t *testing.T, backend string, answers ...run.Result) (*Conn, *runner) {
	r := &runner{t: t, answers: answers}
	return &Conn{run: r, info: map[vipkit.Family]Info{vipkit.IPv4: {Backend: backend}, vipkit.IPv6: {Backend: backend}}}, r
}

func TestMissingTool(t *testing.T) {
	c, err := Open(&Config{Backend: "nft"})
	require.NoError(t, err)
	c.cfg.Backend = "none-such"
	_, err = c.Info(context.Background(), vipkit.IPv6)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, "program ip6tables-none-such not found")
	err = c.Restore(context.Background(), vipkit.IPv4, []Edit{{Table: "nat", Verb: NewChain, Chain: "A"}})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	_, err = Open(&Config{Backend: "none-such"})
	require.Error(t, err)
	_, err = Open(&Config{Namespace: "/no/such/namespace"})
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestRestoreInput(t *testing.T) {
	c, r := toolConn(t, "nft", run.Result{}, run.Result{})
	edits := []Edit{{Table: "nat", Verb: NewChain, Chain: "A"}, {Table: "nat", Verb: Append, Chain: "A", Rule: "-j RETURN"}}
	require.NoError(t, c.Restore(context.Background(), vipkit.IPv6, edits))
	require.Equal(t, "*nat\n:A - [0:0]\n-A A -j RETURN\nCOMMIT\n", r.stdin)
	require.Equal(t, []string{"ip6tables-restore", "--noflush", "-w"}, r.calls[0])
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	require.NoError(t, c.Restore(ctx, vipkit.IPv4, edits))
	require.Equal(t, []string{"iptables-restore", "--noflush", "-w", "89"}, r.calls[1])
}

// TestExplain has the legacy back end say as little as it does.
func TestExplain(t *testing.T) {
	ctx := context.Background()
	denied := run.Result{Code: 1, Stderr: []byte("iptables-save v1.8.9 (legacy): Cannot initialize: Permission denied (you must be root)\n")}
	missing := run.Result{Code: 1, Stderr: []byte("iptables-save v1.8.9 (legacy): Cannot initialize: Table does not exist (do you need to insmod?)\n")}
	table := run.Result{Stdout: []byte("*nat\n:PREROUTING ACCEPT [0:0]\n:A - [0:0]\n-A PREROUTING -j A\nCOMMIT\n")}
	bare := func(line string) run.Result {
		return run.Result{Code: 1, Stderr: []byte("iptables-restore: line " + line + " failed\n")}
	}
	noTable := run.Result{Code: 2, Stderr: []byte("iptables-restore v1.8.9 (legacy): iptables-restore: unable to initialize table 'nat'\nError occurred at line: 1\n")}
	for _, c := range []struct {
		answers []run.Result
		edit    Edit
		want    error
	}{
		{[]run.Result{bare("2"), table}, Edit{Table: "nat", Verb: DeleteChain, Chain: "A"}, vipkit.ErrInUse},
		{[]run.Result{bare("2"), table}, Edit{Table: "nat", Verb: DeleteChain, Chain: "B"}, fs.ErrNotExist},
		{[]run.Result{bare("2"), {}}, Edit{Table: "nat", Verb: DeleteChain, Chain: "A"}, fs.ErrNotExist},
		{[]run.Result{bare("3"), table}, Edit{Table: "nat", Verb: Append, Chain: "A"}, fs.ErrInvalid},
		{[]run.Result{noTable, denied}, Edit{Table: "nat", Verb: NewChain, Chain: "A"}, fs.ErrPermission},
		{[]run.Result{noTable, missing}, Edit{Table: "nat", Verb: NewChain, Chain: "A"}, errors.ErrUnsupported},
	} {
		conn, r := toolConn(t, "legacy", c.answers...)
		err := conn.Restore(ctx, vipkit.IPv4, []Edit{c.edit})
		require.ErrorIs(t, err, c.want, "%v", c.edit)
		require.Equal(t, []string{"iptables-save", "-t", "nat"}, r.calls[1])
	}
}

// TestUnreadable pins that what could not be read is an error, never empty.
func TestUnreadable(t *testing.T) {
	for _, answer := range []run.Result{
		{Stdout: []byte("# Table `nat' is incompatible, use 'nft' tool.\n")},
		{Stdout: []byte("*nat\n:A - [0:0]\n")},
		{Stdout: []byte("rubbish\n")},
		{Code: 4, Stderr: []byte("iptables-nft-save v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)\n")},
		{Code: 1},
	} {
		c, _ := toolConn(t, "nft", answer)
		_, err := c.Save(context.Background(), vipkit.IPv4, "nat")
		require.Error(t, err, "%s", answer.Stdout)
	}
	c, r := toolConn(t, "nft")
	r.err = context.DeadlineExceeded
	_, err := c.Save(context.Background(), vipkit.IPv4)
	require.Equal(t, context.DeadlineExceeded, err)
}
