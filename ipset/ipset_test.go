package ipset

import (
	"encoding"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

var (
	v4Set = Set{Name: "VIPKIT-CLUSTER-IP", Type: HashIPPort, Family: vipkit.IPv4, HashSize: 1024, MaxElem: 65536, Timeout: time.Hour, Comment: true, SkbInfo: true}
	web   = Entry{
		EntryKey: Key(netip.MustParseAddr("10.0.0.1"), vipkit.TCP, 80),
		Comment:  "default/web:http", Mark: 1, MarkMask: 0xffffffff, Timeout: 5 * time.Second,
	}
)

func TestText(t *testing.T) {
	bitmap := Set{Name: "ports", Type: BitmapPort, PortFrom: 30000, PortTo: 32767, Timeout: time.Minute, Counters: true}
	v6 := Set{Name: "six", Type: HashNet, Family: vipkit.IPv6}
	net6 := Entry{EntryKey: EntryKey{Net: netip.MustParsePrefix("fd00::/64")}, NoMatch: true, Timeout: Forever}
	loop := Entry{EntryKey: EntryKey{Net: Host(netip.MustParseAddr("10.0.0.1")), Protocol: vipkit.SCTP, Port: 0, Net2: netip.MustParsePrefix("10.0.0.0/8")}, MarkMask: 0xff}
	for text, want := range map[string]Change{
		"create VIPKIT-CLUSTER-IP hash:ip,port family inet hashsize 1024 maxelem 65536 timeout 3600 comment skbinfo": {Op: CreateSet, Set: v4Set},
		"create ports bitmap:port range 30000-32767 timeout 60 counters":                                             {Op: CreateSet, Set: bitmap},
		"create six hash:net family inet6":                                                                           {Op: CreateSet, Set: v6},
		`add s 10.0.0.1,tcp:80 timeout 5 comment "default/web:http" skbmark 0x1`:                                     {Op: AddEntry, Set: Set{Name: "s", Type: HashIPPort, Family: vipkit.IPv4}, Entry: web},
		`add s fd00::/64 timeout 0 nomatch`:                                                                          {Op: AddEntry, Set: Set{Name: "s", Type: HashNet, Family: vipkit.IPv6}, Entry: net6},
		`add s 10.0.0.1,sctp:0,10.0.0.0/8 skbmark 0x0/0xff -exist`:                                                   {Op: UpdateEntry, Set: Set{Name: "s", Type: HashIPPortNet, Family: vipkit.IPv4}, Entry: loop},
		"del s 8080":   {Op: DeleteEntry, Set: Set{Name: "s", Type: BitmapPort}, Entry: Entry{EntryKey: EntryKey{Port: 8080}}},
		"destroy s":    {Op: DestroySet, Set: Set{Name: "s"}},
		"flush s":      {Op: FlushSet, Set: Set{Name: "s"}},
		"swap s s-tmp": {Op: SwapSets, Set: Set{Name: "s"}, Other: "s-tmp"},
		"rename s t":   {Op: RenameSet, Set: Set{Name: "s"}, Other: "t"},
		"create forever hash:ip family inet timeout 0": {Op: CreateSet, Set: Set{Name: "forever", Type: HashIP, Family: vipkit.IPv4, Timeout: Forever}},
		"add s 80 packets 5 bytes 6 skbprio 1:a skbqueue 3": {
			Op: AddEntry, Set: Set{Name: "s", Type: BitmapPort}, Counters: Counters{5, 6},
			Entry: Entry{EntryKey: EntryKey{Port: 80}, Priority: 0x1000a, Queue: 3},
		},
	} {
		require.Equal(t, text, want.String())
		var got Change
		require.NoError(t, got.UnmarshalText([]byte(text)), text)
		require.Equal(t, want, got, text)
		if want.Op == CreateSet {
			var s Set
			require.NoError(t, s.UnmarshalText([]byte(text)))
			require.Equal(t, want.Set, s)
		}
	}
	var _ encoding.TextUnmarshaler = (*Set)(nil)
	var _ encoding.TextMarshaler = Change{}
}

func TestParse(t *testing.T) {
	got, err := Parse(`# saved
create s hash:ip,port,ip family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x2ef87dda
add s 10.0.0.1,6:80,10.0.0.2 timeout 5 packets 1 bytes 2 comment "a b" skbmark 1 skbprio 1:2 skbqueue 3

COMMIT
`)
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.Equal(t, HashIPPortIP, got[1].Set.Type)
	require.Equal(t, "add s 10.0.0.1,tcp:80,10.0.0.2 timeout 5 packets 1 bytes 2 comment \"a b\" skbmark 0x1 skbprio 1:2 skbqueue 3", got[1].String())

	_, err = Parse("nonsense s\ncreate s\nadd s 10.0.0.1/0\nadd s 10.0.0.1,tcp\n add s 10.0.0.1 comment \"x\ndel s 70000")
	for _, line := range []string{"line 1:", "line 2:", "line 3:", "line 4:", "line 5:", "line 6:"} {
		require.ErrorContains(t, err, line)
	}
	for _, bad := range []string{
		"", "add", "add s", "create s hash:ip family inet5", "create s hash:ip maxelem x", "create s hash:ip timeout 2147484",
		"create s hash:ip netmask 24", "create s bitmap:port range x", "add s 10.0.0.1 timeout", "add s 10.0.0.1 what",
		"add s 10.0.0.1,icmp:0", "add s 10.0.0.1,tcp:x", "add s x", "add s 10.0.0.1,tcp:1,x", "add s fe80::1%eth0",
		"swap a", "rename a", "destroy a b", "add s 80-81", "add s 10.0.0.1 skbprio 1", "add s 10.0.0.1 skbprio 1:x", "add s 10.0.0.1 skbqueue 65536",
		"add s 10.0.0.1 packets 18446744073709551615", "add s 10.0.0.1 bytes -1", "add s 10.0.0.1 skbmark x", "add s 10.0.0.1 skbmark 1/x", "del s 10.0.0.0/33",
	} {
		require.Error(t, new(Change).UnmarshalText([]byte(bad)), bad)
	}
	require.Error(t, new(Set).UnmarshalText([]byte("flush s")))
}

func TestValidateReportsAll(t *testing.T) {
	err := Set{Type: "hash:x", HashSize: 1<<31 + 1, Timeout: time.Millisecond, Extra: "netmask 24"}.Validate()
	for _, field := range []string{"name:", "type:", "hash size:", "timeout:", "extra:"} {
		require.ErrorContains(t, err, field)
	}
	err = Set{Name: "s", Type: BitmapPort, Family: vipkit.IPv4, MaxElem: 5, PortFrom: 2, PortTo: 1}.Validate()
	for _, field := range []string{"family:", "max elem:", "port from:"} {
		require.ErrorContains(t, err, field)
	}
	require.ErrorContains(t, Set{Name: "s", Type: HashIP, PortTo: 1}.Validate(), "family:")
	err = Entry{
		EntryKey: EntryKey{Net: netip.MustParsePrefix("::ffff:10.0.0.1/128"), Protocol: 1, Net2: netip.MustParsePrefix("10.0.0.0/8")},
		Comment:  strings.Repeat("\"", 256), Mark: 1, Timeout: -5, NoMatch: true,
	}.Validate(Set{Type: HashIPPort, Family: vipkit.IPv4})
	for _, field := range []string{"net:", "net2:", "protocol:", "comment: is longer", "quotation", "mark mask:", "timeout:", "no match:"} {
		require.ErrorContains(t, err, field)
	}
	err = EntryKey{Net: netip.MustParsePrefix("0.0.0.0/0"), Port: 1}.Validate(HashNet, vipkit.IPv4)
	require.ErrorContains(t, err, "SplitDefault")
	require.ErrorContains(t, err, "port:")
	require.ErrorContains(t, EntryKey{Net: netip.MustParsePrefix("10.0.0.1/8")}.Validate(HashNet, vipkit.IPv4), "want 10.0.0.0/8")
	require.ErrorContains(t, Change{Op: SwapSets}.Validate(), "other:")
	require.ErrorContains(t, Change{Op: AddEntry}.Validate(), "type:")
	require.NoError(t, Change{Op: CreateSet, Set: v4Set}.Validate())
}

func TestSplitDefault(t *testing.T) {
	for in, want := range map[string]string{"0.0.0.0/0": "0.0.0.0/1 128.0.0.0/1", "::/0": "::/1 8000::/1", "10.0.0.0/8": "10.0.0.0/8"} {
		var got []string
		for _, n := range SplitDefault(netip.MustParsePrefix(in)) {
			got = append(got, n.String())
			require.NoError(t, EntryKey{Net: n}.Validate(HashNet, vipkit.FamilyOf(n.Addr())))
		}
		require.Equal(t, want, strings.Join(got, " "))
	}
}

func TestDiff(t *testing.T) {
	set := Set{Name: "s", Type: HashIP, Family: vipkit.IPv4, MaxElem: 9}
	e := func(last byte, comment string, timeout time.Duration) Entry {
		return Entry{EntryKey: EntryKey{Net: Host(netip.AddrFrom4([4]byte{10, 0, 0, last}))}, Comment: comment, Timeout: timeout}
	}
	have := []Entry{e(9, "", 0), e(1, "", 7*time.Second), e(2, "old", 0), e(3, "", Forever), e(8, "", 0), e(5, "", Forever)}
	want := []Entry{e(7, "first", 0), e(2, "new", 0), e(1, "", time.Hour), e(7, "", 0), e(3, "", time.Hour), e(4, "", 0), e(5, "", 0)}
	var lines []string
	for _, c := range Diff(set, ByKey(have...), ByKey(want...)) {
		require.Zero(t, c.Set.MaxElem)
		lines = append(lines, c.String())
	}
	require.Equal(t, []string{
		`add s 10.0.0.2 comment "new" -exist`, "add s 10.0.0.3 timeout 3600 -exist", "add s 10.0.0.4", "add s 10.0.0.7",
		"del s 10.0.0.8", "del s 10.0.0.9",
	}, lines)
	require.Empty(t, Diff(set, ByKey(want...), ByKey(want...)))
}

func TestClassify(t *testing.T) {
	for _, test := range []struct {
		op    Op
		typ   Type
		errno syscall.Errno
		kind  error
	}{
		{CreateSet, HashIP, syscall.EEXIST, fs.ErrExist},
		{CreateSet, HashIP, errFindType, errors.ErrUnsupported},
		{CreateSet, HashIP, errMaxSets, vipkit.ErrFull},
		{CreateSet, HashIP, syscall.EPERM, fs.ErrPermission},
		{DestroySet, "", errBusy, vipkit.ErrInUse},
		{DestroySet, "", syscall.ENOENT, fs.ErrNotExist},
		{SwapSets, "", errExistSetname2, fs.ErrNotExist},
		{SwapSets, "", errTypeMismatch, fs.ErrInvalid},
		{SwapSets, "", syscall.EBUSY, vipkit.ErrInUse},
		{AddEntry, HashIP, errExist, fs.ErrExist},
		{DeleteEntry, HashIP, errExist, fs.ErrNotExist},
		{AddEntry, HashIP, errSpecific, vipkit.ErrFull},
		{AddEntry, BitmapPort, errSpecific, fs.ErrInvalid},
		{AddEntry, HashIP, errSkbinfo, fs.ErrInvalid},
		{AddEntry, HashIP, errTimeout, fs.ErrInvalid},
		{AddEntry, HashIP, syscall.ENOMEM, nil},
	} {
		require.Equal(t, test.kind, classify(test.op, test.typ, test.errno), "%v %v %d", test.op, test.typ, test.errno)
	}
	err := failure(Change{Op: CreateSet, Set: Set{Name: "s", Type: HashIPPort, Family: vipkit.IPv4}}, errFindType, "")
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.EqualError(t, err, "ipset create s hash:ip,port family inet: unsupported operation: "+
		"ipset: the kernel has no such set type (needs the module ip_set_hash_ipport (CONFIG_IP_SET_HASH_IPPORT))")
	for errno := syscall.Errno(4096); errno < 4360; errno++ {
		require.Contains(t, Errno(errno).Error(), "ipset: ")
	}
}
