package vipkit_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
)

func TestOpError(t *testing.T) {
	odd := errors.New("the link went away")
	for want, e := range map[string]vipkit.OpError{
		"ipvs info":                                           {Op: "ipvs info"},
		"ipvs info: the link went away":                       {Op: "ipvs info", Err: odd},
		"ipset destroy VIPS: in use":                          {Op: "ipset destroy", Object: "VIPS", Kind: vipkit.ErrInUse},
		"ipset destroy VIPS: in use: device or resource busy": {Op: "ipset destroy", Object: "VIPS", Kind: vipkit.ErrInUse, Err: syscall.EBUSY},
		"ipvs add service -t 10.0.0.1:80 -s rr: file already exists (detail)": {
			Op: "ipvs add service", Object: "-t 10.0.0.1:80 -s rr", Kind: fs.ErrExist, Err: syscall.EEXIST, Detail: "detail",
		},
		"ipvs open: file does not exist: namespace blue: no such file or directory": {
			Op: "ipvs open", Kind: fs.ErrNotExist, Err: fmt.Errorf("namespace blue: %w", syscall.ENOENT),
		},
		"ipvs open: namespace blue: file does not exist": {
			Op: "ipvs open", Kind: fs.ErrNotExist, Err: fmt.Errorf("namespace blue: %w", fs.ErrNotExist),
		},
		"ipvs info: context canceled": {Op: "ipvs info", Kind: context.Canceled, Err: context.Canceled},
		"ipvs info: reply lost: the link went away": {
			Op: "ipvs info", Kind: vipkit.ErrReplyLost, Err: odd,
		},
	} {
		require.Equal(t, want, e.Error())
		for _, cause := range []error{e.Kind, e.Err} {
			if cause != nil {
				require.ErrorIs(t, &e, cause)
			}
		}
	}
}
