package sysctl_test

import (
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/sysctl"
)

func FuzzPath(f *testing.F) {
	f.Add("net.ipv4.ip_forward")
	f.Add("net/ipv4/conf/eth0.100/arp_ignore")
	f.Add("net/../../etc/passwd")
	f.Fuzz(func(t *testing.T, name string) {
		p, err := sysctl.Path(name)
		if err != nil {
			return
		}
		require.Equal(t, p, path.Clean(p))
		require.False(t, strings.HasPrefix(p, "/") || p == ".." || strings.HasPrefix(p, "../"))
	})
}

func FuzzCheckValue(f *testing.F) {
	f.Add("1")
	f.Add("4096\t131072\t6291456")
	f.Add("1\n2")
	f.Fuzz(func(t *testing.T, value string) {
		if sysctl.CheckValue(value) != nil {
			return
		}
		require.NotEmpty(t, strings.TrimSpace(value))
		require.NotContains(t, value, "\n")
		require.NotContains(t, value, "\x00")
	})
}
