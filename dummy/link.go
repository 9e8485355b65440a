package dummy

import (
	"context"
	"errors"
	"hash/fnv"
	"io/fs"
	"strconv"

	"github.com/vipkit/vipkit"
)

// Group returns the link group that marks the links of an owner, such as the
// prefix of a proxier: a hash of the name between 1<<30 and 1<<31-1, numbers that
// nobody gives a group by hand and that ip(8) still takes. A group is the one mark that the kernel puts on a link in
// the same moment in which it makes the link, so there is never one of ours
// without it; an alias (IFLA_IFALIAS) in the same request is ignored (seen on 6.1
// and 6.12). "ip link show group N" finds such links, and
// "ip link set vipkit0 group N" makes somebody else's ours.
func Group(owner string) uint32 {
	h := fnv.New32a()
	h.Write([]byte("vipkit " + owner)) // never fails
	return h.Sum32()>>2 | 1<<30
}

// Ensure makes a dummy link be there as l says, and reports whether it had to
// write. A link of that name that is not a dummy link, or not in l's group though
// l has one, is somebody else's: Ensure leaves it alone and fails with fs.ErrExist.
// To make it ours, [Client.UpdateLink] puts it into the group.
func Ensure(ctx context.Context, c Client, l Link) (changed bool, err error) {
	have, err := c.Link(ctx, l.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return true, c.CreateLink(ctx, l)
	}
	if err != nil {
		return false, err
	}
	if err := l.Validate(); err != nil {
		return false, &vipkit.OpError{Op: "dummy ensure link", Object: l.String(), Kind: fs.ErrInvalid, Err: err}
	}
	if foreign := l.foreign(have); foreign != "" {
		return false, &vipkit.OpError{Op: "dummy ensure link", Object: l.String(), Kind: fs.ErrExist, Detail: foreign}
	}
	if have.Up == l.Up && (l.MTU == 0 || have.MTU == l.MTU) {
		return false, nil
	}
	return true, c.UpdateLink(ctx, l)
}

// foreign says why a link that is there is not l's owner's, or nothing.
func (l Link) foreign(have Link) string {
	switch {
	case have.Kind != Kind:
		return "somebody else's link of kind " + strconv.Quote(have.Kind)
	case l.Group != 0 && have.Group != l.Group:
		return "somebody else's link, in group " + strconv.FormatUint(uint64(have.Group), 10)
	}
	return ""
}
