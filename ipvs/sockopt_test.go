package ipvs

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// entry makes a struct ip_vs_dest_entry.
func entry(last byte, flags, weight uint32) []byte {
	e := make([]byte, destSize)
	copy(e, []byte{10, 1, 0, last, 0x1f, 0x90})
	binary.NativeEndian.PutUint32(e[destEntryFlag:], flags)
	binary.NativeEndian.PutUint32(e[destEntryWght:], weight)
	binary.NativeEndian.PutUint32(e[destEntryUppr:], 9)
	binary.NativeEndian.PutUint32(e[destEntryLowr:], 5)
	return e
}

func TestAppendDests(t *testing.T) {
	const inactive = 0x100 // IP_VS_CONN_F_INACTIVE: not about forwarding
	for name, test := range map[string]struct {
		entries [][]byte
		count   int
		ok      bool
	}{
		"two":                      {[][]byte{entry(1, inactive, 7), entry(2, uint32(Direct), 0)}, 2, true},
		"none":                     {nil, 0, true},
		"one has come":             {[][]byte{entry(1, 0, 7), entry(2, 0, 7)}, 1, false},
		"one is gone":              {[][]byte{entry(1, 0, 7)}, 2, false},
		"one of the other family":  {nil, 1, false}, // not listed here
		"a tunnel and what is not": {[][]byte{entry(1, 0, 7), entry(2, uint32(Tunnel), 7)}, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			table := make([]byte, (test.count+1)*destSize)
			markUnfilled(table)
			for i, e := range test.entries {
				copy(table[i*destSize:], e)
			}
			all, ok := appendDests(nil, table, test.count)
			require.Equal(t, test.ok, ok)
			if !ok {
				return
			}
			require.Len(t, all, test.count)
			for _, d := range all {
				want := map[string]string{
					"10.1.0.1:8080": "-r 10.1.0.1:8080 -m -w 7 -x 9 -y 5", "10.1.0.2:8080": "-r 10.1.0.2:8080 -g -w 0 -x 9 -y 5",
				}
				require.Equal(t, want[d.DestKey.String()], d.String())
			}
		})
	}
}

// TestCounter walks along a table in which something came and something went.
func TestCounter(t *testing.T) {
	table := make([]byte, 0, 100*serviceSize)
	var keys []Key
	for i := range 40 {
		var head [destsHead]byte
		k := manyChanges(1)[0].Service.Key
		k.Port = uint16(i + 1)
		if i%10 == 9 {
			k = MarkKey(0, uint32(i))
		}
		putDestsHead(head[:], &k, 0)
		e := make([]byte, serviceSize)
		copy(e, head[:destsCount])
		binary.NativeEndian.PutUint32(e[serviceCount:], uint32(i))
		if i != 20 {
			table = append(table, e...) // the 20th is new
		}
		if i != 5 {
			keys = append(keys, k) // the 5th is gone
		}
	}
	table = append(table, make([]byte, 3*serviceSize+17)...) // not filled
	c := counter{table: table}
	for i, k := range keys {
		number := i
		if i >= 5 {
			number++
		}
		count, ok := c.of(&k)
		require.Equal(t, number != 20, ok, number)
		if ok {
			require.Equal(t, number, count, fmt.Sprint(k))
		}
	}
}

// FuzzSockopt: whatever the kernel fills in, what is read can be printed.
func FuzzSockopt(f *testing.F) {
	f.Add([]byte{}, 0)
	f.Add(append(entry(1, 0, 1), entry(2, uint32(Direct), 1<<31)...), 2)
	f.Add(append(entry(1, unfilled, 1), make([]byte, 3)...), 1)
	f.Fuzz(func(t *testing.T, table []byte, count int) {
		if all, ok := appendDests(nil, table, count); ok {
			require.Len(t, all, count)
			for _, d := range all {
				require.NotEqual(t, Tunnel, d.Forward)
				_ = d.String()
			}
		}
		k := manyChanges(1)[0].Service.Key
		c := counter{table: table}
		for range lookAhead {
			_, _ = c.of(&k)
			k.Port++
		}
		k = MarkKey(0, 1)
		_, _ = c.of(&k)
	})
}
