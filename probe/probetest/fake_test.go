package probetest_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/probe"
	"github.com/vipkit/vipkit/probe/probetest"
)

func TestFake(t *testing.T) {
	probetest.TestClient(t, func(*testing.T) probe.Client { return new(probetest.Fake) })
}

func TestLacksAndFail(t *testing.T) {
	mh := probe.Facility{Kind: probe.Scheduler, Name: "mh"}
	sh := probe.Facility{Kind: probe.Scheduler, Name: "sh"}
	fake := &probetest.Fake{
		Lacks: func(f probe.Facility) bool { return f == mh },
		Fail: func(f probe.Facility) error {
			if f == sh {
				return fs.ErrPermission
			}
			return nil
		},
	}
	err := fake.Probe(t.Context(), mh)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.EqualError(t, err, "probe scheduler mh: unsupported operation (the kernel lacks it: module ip_vs_mh, option CONFIG_IP_VS_MH)")
	err = fake.Probe(t.Context(), sh)
	require.ErrorIs(t, err, fs.ErrPermission)
	require.EqualError(t, err, "probe scheduler sh: permission denied")
}
