//go:build linux

package dummy

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/internal/nl"
)

// FuzzParse gives the decoder whatever a message may hold.
func FuzzParse(f *testing.F) {
	f.Add(true, []byte{2, 32, 0, 0, 7, 0, 0, 0, 8, 0, 2, 0, 10, 96, 0, 1})
	f.Add(false, []byte{2, 32, 0, 0, 255, 4, 254, 2, 0, 0, 0, 0, 8, 0, 1, 0, 10, 96, 0, 1, 8, 0, 4, 0, 7, 0, 0, 0})
	f.Fuzz(func(t *testing.T, address bool, data []byte) {
		typ := uint16(unix.RTM_NEWROUTE)
		if address {
			typ = unix.RTM_NEWADDR
		}
		for _, family := range families {
			if a, ok := parse(nl.Message{Type: typ, Data: data}, 7, family); ok {
				require.NoError(t, a.Validate())
				require.Equal(t, address, a.Means == ByAddress)
				require.Equal(t, family, familyOf(a.Addr))
			}
		}
	})
}
