package realserver

import (
	"cmp"
	"context"
	"io/fs"

	"github.com/vipkit/vipkit"
)

// Prepare makes the network namespace at a path ("/run/netns/blue"; empty: that of
// the calling thread) a real server as c says. What is there already stays, what an
// earlier Prepare of the same link made and c does not want goes, so it may be
// called again at any time, also after one that failed or did not end. It stops at
// the first failure; the report tells what was done until then.
//
// It fails with fs.ErrInvalid for what [Config.Validate] refuses, with fs.ErrExist
// if something of somebody else's is in the way (a link of that name, a tunnel
// with the same ends, a GUE port), with errors.ErrUnsupported where the kernel lacks
// a kind of link, GUE or IPv6, with vipkit.ErrFull if there is more to remember than
// fits into a link's alias, and with fs.ErrPermission.
func Prepare(ctx context.Context, namespace string, c Config) (Report, error) {
	if err := ctx.Err(); err != nil {
		return Report{}, err
	}
	if err := c.Validate(); err != nil {
		return Report{}, &vipkit.OpError{Op: "realserver prepare", Object: c.link(), Kind: fs.ErrInvalid, Err: err}
	}
	return apply(ctx, namespace, layout(c))
}

// Undo removes what [Prepare] made for a link (empty: [DefaultLink]) in the network
// namespace at a path, and gives parameters the values back that they had, unless
// somebody has set them to something else since. It needs nothing but the
// kernel, so it may run in another process, after a crash too. Where there is
// nothing of ours it does nothing. One that failed is to be called again.
func Undo(ctx context.Context, namespace, link string) (Report, error) {
	if err := ctx.Err(); err != nil {
		return Report{}, err
	}
	link = cmp.Or(link, DefaultLink)
	if err := checkLink(link); err != nil {
		return Report{}, &vipkit.OpError{Op: "realserver undo", Object: link, Kind: fs.ErrInvalid, Err: err}
	}
	return apply(ctx, namespace, want{link: link})
}

// apply makes a namespace have what is wanted.
func apply(ctx context.Context, namespace string, w want) (report Report, err error) {
	h, err := openHost(namespace, w.link)
	if err != nil {
		return Report{}, err
	}
	defer func() { err = cmp.Or(err, h.close()) }()
	have, err := h.observe(ctx, len(w.ports) > 0)
	if err != nil {
		return Report{}, err
	}
	p, err := diff(have, w)
	if err != nil {
		return Report{}, err
	}
	report.Left = p.left
	for _, s := range p.steps {
		if err := ctx.Err(); err != nil {
			return report, err
		}
		if err := h.do(ctx, s); err != nil {
			return report, err
		}
		report.Done = append(report.Done, s.String())
	}
	return report, nil
}
