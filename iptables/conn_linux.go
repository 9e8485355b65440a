package iptables

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	goiptables "github.com/coreos/go-iptables/iptables"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/run"
)

// Conn is the iptables of a network namespace, by way of its tools. It holds
// nothing open.
type Conn struct {
	cfg Config
	run run.Runner

	mu   sync.Mutex
	info map[vipkit.Family]Info
}

var _ Client = (*Conn)(nil)

// Open returns a Conn. It starts no process: a missing tool shows in the first
// call.
func Open(cfg *Config) (*Conn, error) {
	c := &Conn{info: map[vipkit.Family]Info{}}
	if cfg != nil {
		c.cfg = *cfg
	}
	if err := c.cfg.Validate(); err != nil {
		return nil, err
	}
	if c.cfg.Namespace != "" {
		if _, err := os.Stat(c.cfg.Namespace); err != nil {
			return nil, fmt.Errorf("network namespace: %w", err)
		}
	}
	c.run = run.Exec{Namespace: c.cfg.Namespace}
	return c, nil
}

// tool returns the name of a program: "ip6tables-restore" for IPv6 and
// "-restore", "iptables-legacy-save" where the back end was chosen.
func (c *Conn) tool(f vipkit.Family, suffix string) string {
	name := "iptables"
	if f == vipkit.IPv6 {
		name = "ip6tables"
	}
	if c.cfg.Backend != "" {
		name += "-" + c.cfg.Backend
	}
	return name + suffix
}

// Info implements [Client]. It starts two processes per family, once.
func (c *Conn) Info(ctx context.Context, f vipkit.Family) (Info, error) {
	if f != vipkit.IPv4 && f != vipkit.IPv6 {
		return Info{}, &vipkit.OpError{Op: "iptables info", Kind: fs.ErrInvalid, Detail: fmt.Sprintf("address family %d", f)}
	}
	if err := ctx.Err(); err != nil {
		return Info{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if info, ok := c.info[f]; ok {
		return info, nil
	}
	info, err := c.probe(ctx, f)
	if err != nil {
		return Info{}, c.failed("iptables info", "", err)
	}
	c.info[f] = info
	return info, nil
}

// probe asks go-iptables for the version and what comes with it. Which back end
// there is, it keeps to itself.
func (c *Conn) probe(ctx context.Context, f vipkit.Family) (Info, error) {
	path, err := run.Find(c.tool(f, ""))
	if err != nil {
		return Info{}, err
	}
	protocol := goiptables.ProtocolIPv4
	if f == vipkit.IPv6 {
		protocol = goiptables.ProtocolIPv6
	}
	ipt, err := goiptables.New(goiptables.Path(path), goiptables.IPFamily(protocol))
	run.Count(1)
	if err != nil {
		return Info{}, err
	}
	var info Info
	info.Version[0], info.Version[1], info.Version[2] = ipt.GetIptablesVersion()
	info.RandomFully = ipt.HasRandomFully()
	result, err := c.run.Run(ctx, nil, path, "--version")
	if err != nil {
		return Info{}, err
	}
	info.Backend = "legacy" // before 1.8.0 there was no other and no word for it
	if strings.Contains(string(result.Stdout), "(nf_tables)") {
		info.Backend = "nft"
	}
	return info, nil
}

// Restore implements [Client]. No edit starts no process.
func (c *Conn) Restore(ctx context.Context, f vipkit.Family, edits []Edit) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := Validate(f, edits); err != nil || len(edits) == 0 {
		return err
	}
	in := render(edits)
	args := append([]string{"--noflush"}, wait(ctx)...)
	if slices.ContainsFunc(edits, func(e Edit) bool { return e.Counters != Counters{} }) {
		args = append(args, "--counters")
	}
	result, err := c.run.Run(ctx, []byte(in.text), c.tool(f, "-restore"), args...)
	if errors.Is(err, context.DeadlineExceeded) && c.locks(f) {
		if holder := lockHolder(); holder != "" { // why the tool had to be killed
			return locked(holder)
		}
	}
	if err != nil {
		return c.failed("iptables restore", "", err)
	}
	if result.Code == 0 {
		return nil
	}
	failure := classify(string(result.Stderr))
	if failure.locked {
		return locked(lockHolder())
	}
	refused := in.refused(edits, failure)
	if failure.kind == nil {
		failure.kind = c.explain(ctx, f, edits, in, failure)
	}
	return &vipkit.OpError{
		Op: "iptables restore", Object: describe(refused), Kind: failure.kind,
		Err: exitError(failure.kind, result.Code), Detail: failure.detail,
	}
}

// wait returns how long iptables-restore is to wait for the lock of the legacy
// back end, in whole seconds and no longer than the context lasts. The other
// back end takes the option and has no lock.
func wait(ctx context.Context) []string {
	deadline, ok := ctx.Deadline()
	if !ok {
		return []string{"-w"}
	}
	seconds := max(1, math.Floor(time.Until(deadline).Seconds()))
	return []string{"-w", strconv.FormatFloat(min(seconds, math.MaxInt32), 'f', 0, 64)}
}

// explain finds out what the legacy back end's "line N failed" or "unable to
// initialize table" means, by reading the table.
func (c *Conn) explain(ctx context.Context, f vipkit.Family, edits []Edit, in input, failure failure) error {
	if failure.line <= 0 || failure.line >= len(in.edits) {
		return nil
	}
	table := in.tables[failure.line]
	// Only with -t does the tool say why a table cannot be had; the restore
	// that failed has already made the kernel load it.
	tables, failed := c.save(ctx, f, "-t", table)
	for _, kind := range []error{fs.ErrPermission, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(failed, kind) {
			return kind
		}
	}
	if failed != nil || failure.table {
		return errors.ErrUnsupported
	}
	bad := in.edits[failure.line]
	if bad < 0 { // COMMIT: the kernel refused the table
		return fs.ErrInvalid
	}
	i := slices.IndexFunc(tables, func(t Table) bool { return t.Name == table })
	if i < 0 {
		return diagnose(Table{Name: table}, edits, bad)
	}
	return diagnose(tables[i], edits, bad)
}

// failed makes an error of one that is not about a single edit. The context's
// own error stays as it is.
func (c *Conn) failed(op, object string, err error) error {
	for _, kind := range []error{context.Canceled, context.DeadlineExceeded} {
		if err == kind { //nolint:errorlint // an error that wraps it has more to say
			return err
		}
	}
	e := &vipkit.OpError{Op: op, Object: object, Err: err}
	for _, kind := range []error{errors.ErrUnsupported, fs.ErrPermission, fs.ErrNotExist} {
		if errors.Is(err, kind) {
			// The text of an error that is of its own kind is not printed.
			e.Kind, e.Detail = kind, strings.TrimSuffix(err.Error(), ": "+kind.Error())
			break
		}
	}
	return e
}

// exitError is the cause of a refusal for which there is no kind.
func exitError(kind error, code int) (err error) {
	if kind == nil {
		err = fmt.Errorf("exit status %d", code)
	}
	return err
}
