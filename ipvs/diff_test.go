package ipvs

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
)

// servers reads lines of ipvsadm -S.
func servers(t testing.TB, lines ...string) map[Key]Server {
	t.Helper()
	all := make(map[Key]Server)
	for _, line := range lines {
		var c Change
		require.NoError(t, c.UnmarshalText([]byte(line)))
		s := all[c.Service.Key]
		if c.Op == AddService {
			s = Server{Service: c.Service, Destinations: make(map[DestKey]Destination)}
		} else {
			s.Destinations[c.Destination.DestKey] = c.Destination
		}
		all[c.Service.Key] = s
	}
	return all
}

func TestDiff(t *testing.T) {
	have := servers(t,
		"-A -t 10.0.0.1:80 -s rr", "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1", "-a -t 10.0.0.1:80 -r 10.1.0.2:80 -m -w 1",
		"-a -t 10.0.0.1:80 -r 10.1.0.3:80 -m -w 1",
		"-A -t 10.0.0.2:80 -s rr", "-a -t 10.0.0.2:80 -r 10.1.0.1:80 -m -w 1",
		"-A -u 10.0.0.3:80 -s rr -p 60", "-a -u 10.0.0.3:80 -r 10.1.0.1:80 -m -w 1")
	want := servers(t,
		"-A -t 10.0.0.1:80 -s rr", "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 0", "-a -t 10.0.0.1:80 -r 10.1.0.9:80 -m -w 1",
		"-a -t 10.0.0.1:80 -r 10.1.0.3:80 -m -w 1",
		"-A -f 4 -s rr",
		"-A -t [fd00::1]:80 -s rr", "-a -t [fd00::1]:80 -r [fd00::2]:80 -m -w 1", "-a -t [fd00::1]:80 -r [fd00::1]:80 -m -w 1",
		"-A -u 10.0.0.3:80 -s wlc -p 60", "-a -u 10.0.0.3:80 -r 10.1.0.1:80 -m -w 1")
	for k, s := range want {
		s.PersistenceBits = 0 // stands for the full length
		want[k] = s
	}
	for range 10 { // whatever order maps have
		var lines []string
		for _, c := range Diff(have, want) {
			lines = append(lines, c.String())
		}
		require.Equal(t, strings.Split(`-e -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 0
-a -t 10.0.0.1:80 -r 10.1.0.9:80 -m -w 1
-E -u 10.0.0.3:80 -s wlc -p 60
-A -t [fd00::1]:80 -s rr
-a -t [fd00::1]:80 -r [fd00::1]:80 -m -w 1
-a -t [fd00::1]:80 -r [fd00::2]:80 -m -w 1
-A -f 4 -s rr
-d -t 10.0.0.1:80 -r 10.1.0.2:80
-D -t 10.0.0.2:80`, "\n"), lines)
	}
	require.Empty(t, Diff(want, want))
	require.Empty(t, Diff(nil, nil))
}

// TestClassify pins what each number means in each operation.
func TestClassify(t *testing.T) {
	service := "-t 10.0.0.1:80"
	settings := map[Op]string{
		AddService: service + " -s rr", UpdateService: service + " -s rr", DeleteService: service,
		AddDestination: service + " -r 10.1.0.1:80 -m -w 1", UpdateDestination: service + " -r 10.1.0.1:80 -m -w 1",
		DeleteDestination: service + " -r 10.1.0.1:80",
	}
	for _, test := range []struct {
		op    Op
		errno syscall.Errno
		kind  error
		text  string
	}{
		{AddService, syscall.EEXIST, fs.ErrExist, "file already exists"},
		{AddService, syscall.ENOENT, errors.ErrUnsupported, "module ip_vs_rr"},
		{UpdateService, syscall.ENOENT, errors.ErrUnsupported, "module ip_vs_rr"},
		{UpdateService, syscall.ESRCH, fs.ErrNotExist, "no such virtual server"},
		{DeleteService, syscall.ESRCH, fs.ErrNotExist, "no such virtual server"},
		{AddDestination, syscall.ESRCH, fs.ErrNotExist, "no such virtual server"},
		{AddDestination, syscall.EEXIST, fs.ErrExist, "file already exists"},
		{AddDestination, syscall.EINVAL, fs.ErrInvalid, "lo was never up"},
		{UpdateDestination, syscall.ENOENT, fs.ErrNotExist, "file does not exist"},
		{DeleteDestination, syscall.ENOENT, fs.ErrNotExist, "file does not exist"},
		{UpdateDestination, syscall.ERANGE, fs.ErrInvalid, "out of range"},
		{AddService, syscall.EPERM, fs.ErrPermission, "initial user namespace"},
		{AddService, syscall.ENOBUFS, vipkit.ErrReplyLost, "reply lost"},
		{AddService, syscall.ENOMEM, nil, "cannot allocate memory"},
	} {
		var c Change
		name := fmt.Sprintf("%s %v", test.op, test.errno)
		require.NoError(t, c.UnmarshalText([]byte(opNames[test.op].option+" "+settings[test.op])), name)
		err := ChangeError(c, test.errno)
		require.Equal(t, test.kind, err.Kind, name)
		require.Equal(t, settings[test.op], err.Object, name)
		require.ErrorContains(t, err, test.text, name)
		for _, kind := range []error{fs.ErrExist, fs.ErrNotExist, fs.ErrInvalid, fs.ErrPermission, errors.ErrUnsupported, vipkit.ErrReplyLost} {
			require.Equal(t, errors.Is(test.kind, kind), errors.Is(err, kind), "%s is %v", name, kind)
		}
	}
	require.ErrorIs(t, ReadError("ipvs info", "", errNoFamily), errors.ErrUnsupported)
	require.ErrorContains(t, ReadError("ipvs info", "", errNoFamily), "CONFIG_IP_VS")
	sip := Change{Op: AddService, Service: Service{Scheduler: "rr", PersistenceEngine: "sip", Key: Key{Addr: netip.IPv4Unspecified(), Mark: 1}}}
	require.ErrorContains(t, ChangeError(sip, syscall.ENOENT), "module ip_vs_pe_sip")
}
