//go:build linux

package nl

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
)

// TestDumpRetried shows which answers to a dump make it be asked again, how often,
// and that a get is not.
func TestDumpRetried(t *testing.T) {
	whole := func(q uint32) [][]byte { return [][]byte{answer(40, 2, q), answer(msgDone, 2, q)} }
	hostile := map[string]struct {
		answers func(seq uint32) [][]byte
		want    error
		asked   int
	}{
		"interrupted": {func(q uint32) [][]byte {
			return [][]byte{answer(40, 2, q), answer(40, 2|flagDumpIntr, q), answer(msgDone, 2|flagDumpIntr, q)}
		}, vipkit.ErrInterrupted, tries},
		"interrupted at its end": {func(q uint32) [][]byte {
			return [][]byte{answer(40, 2, q), answer(msgDone, 2|flagDumpIntr, q)}
		}, vipkit.ErrInterrupted, tries},
		"lost": {func(q uint32) [][]byte { return [][]byte{answer(40, 2, q), nil, answer(msgDone, 2, q)} }, vipkit.ErrReplyLost, tries},
		"busy": {func(q uint32) [][]byte { return [][]byte{refusal(q, unix.EBUSY), answer(40, 2, q-1)} }, unix.EBUSY, tries},
		"signal": {func(q uint32) [][]byte {
			return [][]byte{answer(40, 2, q), answer(msgDone, 2, q, 0xfc, 0xff, 0xff, 0xff)}
		}, unix.EINTR, tries},
		"refused": {func(q uint32) [][]byte { return [][]byte{refusal(q, unix.EPERM)} }, unix.EPERM, 1},
	}
	for name, test := range hostile {
		for good := range tries + 1 { // how many answers are hostile before one is whole
			t.Run(fmt.Sprintf("%s %d", name, good), func(t *testing.T) {
				asked := 0
				c := newConn(&script{answers: func(req []byte) [][]byte {
					if asked++; asked <= good {
						return test.answers(firstSeq(req))
					}
					return whole(firstSeq(req))
				}})
				n := 0
				var err error
				for _, err = range c.Query(t.Context(), linkDump()) {
					if err == nil {
						n++
					}
				}
				if good < test.asked {
					require.NoError(t, err)
					require.Equal(t, 1, n)
					require.Equal(t, good+1, asked)
					return
				}
				require.ErrorIs(t, err, test.want)
				require.Zero(t, n)
				require.Equal(t, test.asked, asked)
			})
		}
	}

	asked := 0
	c := newConn(&script{answers: func(req []byte) [][]byte {
		asked++
		return [][]byte{refusal(firstSeq(req), unix.EBUSY)}
	}})
	var get Batch
	askOne(&get)
	for _, err := range c.Query(t.Context(), &get) {
		require.ErrorIs(t, err, unix.EBUSY)
	}
	require.Equal(t, 1, asked)

	asked = 0 // and neither is a write
	require.NoError(t, c.Exec(t.Context(), noops(1), func(f Failure) { require.Equal(t, unix.EBUSY, f.Errno) }))
	require.Equal(t, 1, asked)
}

// TestRetryEnds shows that a reader who is out of time is not asked again.
func TestRetryEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	c := newConn(&script{answers: func(req []byte) [][]byte {
		asked++
		cancel()
		return [][]byte{nil}
	}})
	for _, err := range c.Query(ctx, linkDump()) {
		require.ErrorIs(t, err, context.Canceled)
	}
	require.Equal(t, 1, asked)
}
