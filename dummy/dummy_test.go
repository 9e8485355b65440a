package dummy

import (
	"errors"
	"io/fs"
	"net/netip"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func address(s string) Address { return Address{Addr: netip.MustParseAddr(s)} }

func route(s string) Address { return Address{Addr: netip.MustParseAddr(s), Means: ByRoute} }

func TestText(t *testing.T) {
	for _, c := range []struct {
		a                 Address
		text, add, remove string
	}{
		{address("10.96.0.1"), "inet 10.96.0.1/32", "ip addr add 10.96.0.1/32 dev vipkit0", "ip addr del 10.96.0.1/32 dev vipkit0"},
		{address("fd00::1"), "inet6 fd00::1/128", "ip addr add fd00::1/128 dev vipkit0 nodad", "ip addr del fd00::1/128 dev vipkit0"},
		{
			route("10.96.0.1"), "local 10.96.0.1", "ip route add local 10.96.0.1 dev vipkit0 table local proto static",
			"ip route del local 10.96.0.1 dev vipkit0 table local proto static",
		},
		{
			route("fd00::1"), "local fd00::1", "ip route add local fd00::1 dev vipkit0 table local proto static",
			"ip route del local fd00::1 dev vipkit0 table local proto static",
		},
	} {
		require.Equal(t, c.text, c.a.String())
		require.Equal(t, c.add, Change{AddAddress, c.a}.String("vipkit0"))
		require.Equal(t, c.remove, Change{DeleteAddress, c.a}.String("vipkit0"))
		var back Address
		require.NoError(t, back.UnmarshalText([]byte(c.text)))
		require.Equal(t, c.a, back)
	}
	for _, bad := range []string{
		"", "10.96.0.1", "inet 10.96.0.1", "inet 10.96.0.0/24", "inet6 10.96.0.1/32", "inet fd00::1/128", "local 127.0.0.1",
		"local x", "route 10.96.0.1", "inet6 fe80::1/128",
	} {
		var a Address
		require.Error(t, a.UnmarshalText([]byte(bad)), bad)
		require.Zero(t, a)
	}
	_, err := Address{}.MarshalText()
	require.Error(t, err)
	require.Equal(t, "ip link add vipkit0 mtu 9000 up type dummy", Link{Name: "vipkit0", Up: true, MTU: 9000}.String())
	require.Equal(t, "ip link add vipkit0 type dummy", Link{Name: "vipkit0"}.String())
}

func TestDiff(t *testing.T) {
	a1, a2, a3, r1, r2 := address("10.0.0.1"), address("10.0.0.2"), address("10.0.0.3"), route("10.0.0.1"), route("10.0.0.2")
	for _, c := range []struct {
		have, want []Address
		changes    []Change
	}{
		{nil, nil, nil},
		{[]Address{a2, a1}, []Address{a1, a2, a1}, nil},
		{nil, []Address{a2, r1, a2}, []Change{{AddAddress, r1}, {AddAddress, a2}}},
		{[]Address{a2, a1, a2}, nil, []Change{{DeleteAddress, a1}, {DeleteAddress, a2}}},
		{[]Address{a1}, []Address{a3, a2}, []Change{{AddAddress, a2}, {AddAddress, a3}, {DeleteAddress, a1}}},
		{[]Address{a1, a3}, []Address{r1, r2}, []Change{{DeleteAddress, a1}, {AddAddress, r1}, {AddAddress, r2}, {DeleteAddress, a3}}},
		{[]Address{a1, r1}, []Address{r1}, []Change{{DeleteAddress, a1}}},
	} {
		require.Equal(t, c.changes, Diff(c.have, c.want), "%v to %v", c.have, c.want)
	}
}

// TestClassify has every pair of operation and errno that means something, and
// one that does not.
func TestClassify(t *testing.T) {
	all := []operation{getLink, createLink, deleteLink, list, addAddress, deleteAddress, addRoute, deleteRoute}
	for _, op := range all {
		for errno, want := range map[syscall.Errno]error{
			syscall.EPERM: fs.ErrPermission, syscall.ENODEV: fs.ErrNotExist, syscall.EEXIST: fs.ErrExist,
			syscall.EINVAL: fs.ErrInvalid, syscall.ERANGE: fs.ErrInvalid, syscall.ENETDOWN: fs.ErrInvalid,
			syscall.EAFNOSUPPORT: errors.ErrUnsupported, syscall.EOPNOTSUPP: errors.ErrUnsupported,
			syscall.EACCES: errors.ErrUnsupported, syscall.ENOBUFS: nil,
		} {
			_, kind := classify(op, errno)
			require.Equal(t, want, kind, "%d %v", op, errno)
		}
		_, kind := classify(op, syscall.ESRCH)
		require.Equal(t, op == deleteRoute, errors.Is(kind, fs.ErrNotExist), "%d ESRCH", op)
		_, kind = classify(op, syscall.EADDRNOTAVAIL)
		if op == deleteAddress {
			require.Equal(t, fs.ErrNotExist, kind)
		} else {
			require.Equal(t, fs.ErrInvalid, kind)
		}
	}
	detail, _ := classify(createLink, syscall.EOPNOTSUPP)
	require.Contains(t, detail, "CONFIG_DUMMY")
}

func FuzzAddressText(f *testing.F) {
	f.Add("inet 10.96.0.1/32")
	f.Add("local fd00::1")
	f.Fuzz(func(t *testing.T, text string) {
		var a Address
		if a.UnmarshalText([]byte(text)) != nil {
			return
		}
		b, err := a.MarshalText()
		require.NoError(t, err)
		var again Address
		require.NoError(t, again.UnmarshalText(b))
		require.Equal(t, a, again)
	})
}
