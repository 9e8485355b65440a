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
		require.False(t, strings.HasPrefix(p, "/") || strings.HasPrefix(p, ".."))
	})
}
