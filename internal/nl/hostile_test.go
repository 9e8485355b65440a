//go:build linux

package nl

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/vipkit/vipkit"
)

// script is a socket that answers what the test says. Sequence numbers in
// answers are relative to the request's first.
type script struct {
	answers func(req []byte) [][]byte
	queue   [][]byte // nil: ENOBUFS
	room    int
	silent  bool // it gives up waiting
}

func (s *script) send(p []byte) error {
	s.queue = append(s.queue, s.answers(p)...)
	return nil
}

func (s *script) recv(ctx context.Context, p []byte, wait bool) (int, error) {
	if len(s.queue) == 0 {
		if !wait || s.silent {
			return 0, unix.EAGAIN
		}
		<-ctx.Done()
		return 0, ctx.Err()
	}
	d := s.queue[0]
	s.queue = s.queue[1:]
	if d == nil {
		return 0, unix.ENOBUFS
	}
	copy(p, d)
	return len(d), nil
}

func (s *script) limits() (int, int) { return max(s.room, 1<<10), 1 << 20 }
func (s *script) echoes() bool       { return false }
func (s *script) close() error       { return nil }

func answer(typ, flags uint16, seq uint32, payload ...byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(headerLen+len(payload)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	return append(b, payload...)
}

func refusal(seq uint32, errno unix.Errno) []byte {
	p := binary.NativeEndian.AppendUint32(nil, uint32(-int32(errno)))
	return answer(msgError, flagCapped, seq, append(p, make([]byte, headerLen)...)...)
}

func noops(n int) *Batch {
	var b Batch
	for range n {
		b.Begin(unix.NLMSG_NOOP, 0)
		b.End()
	}
	return &b
}

func firstSeq(req []byte) uint32 { return binary.NativeEndian.Uint32(req[8:]) }

func TestLostReplies(t *testing.T) {
	tests := map[string]struct {
		answers func(seq uint32) [][]byte
		want    []Failure
	}{
		"some lost": {
			func(q uint32) [][]byte { return [][]byte{nil, refusal(q+1, unix.EEXIST), refusal(q+3, 0)} },
			[]Failure{{Lost: true}, {Errno: unix.EEXIST}, {Lost: true}},
		},
		"the last lost": {
			func(q uint32) [][]byte { return [][]byte{refusal(q, unix.ENOENT), nil} },
			[]Failure{{Errno: unix.ENOENT}, {Lost: true}, {Lost: true}, {Lost: true}},
		},
		"stale and foreign ones skipped": {
			func(q uint32) [][]byte {
				return [][]byte{refusal(q-1, unix.EPERM), refusal(q+9, unix.EPERM), refusal(q+2, unix.ESRCH), refusal(q+3, 0)}
			},
			[]Failure{2: {Errno: unix.ESRCH}},
		},
		"two in one datagram": {
			func(q uint32) [][]byte {
				return [][]byte{slices.Concat(refusal(q, unix.EPERM), refusal(q+3, unix.EPERM))}
			},
			[]Failure{0: {Errno: unix.EPERM}, 3: {Errno: unix.EPERM}},
		},
		"errno out of range": {
			func(q uint32) [][]byte {
				return [][]byte{answer(msgError, 0, q, 1, 0, 0, 0), answer(msgError, 0, q+3, 1)}
			},
			[]Failure{0: {Errno: unix.EBADMSG}, 3: {Errno: unix.EBADMSG}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newConn(&script{answers: func(req []byte) [][]byte { return test.answers(firstSeq(req)) }})
			got := make([]Failure, len(test.want))
			last := -1
			require.NoError(t, c.Exec(t.Context(), noops(4), func(f Failure) {
				require.Greater(t, f.Index, last)
				last = f.Index
				if f.Lost {
					f.Errno = 0
				}
				got[f.Index] = Failure{Errno: f.Errno, Lost: f.Lost}
			}))
			require.Equal(t, test.want, got)
		})
	}
}

// TestNoAnswer cancels a wait in the second of three sends.
func TestNoAnswer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	sends := 0
	c := newConn(&script{room: 64 * headerLen, answers: func(req []byte) [][]byte {
		if sends++; sends == 2 {
			cancel()
			return nil
		}
		return [][]byte{refusal(firstSeq(req)+uint32(len(req)/headerLen)-1, 0)}
	}})
	lost, unsent := 0, 0
	err := c.Exec(ctx, noops(3*64), func(f Failure) {
		switch {
		case f.Lost:
			require.Equal(t, 64+lost, f.Index)
			lost++
		case f.Errno == unix.ECANCELED:
			require.Equal(t, 128+unsent, f.Index)
			unsent++
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 64, lost)
	require.Equal(t, 64, unsent)
}

// TestAnswerLost has a kernel that carries out what it is asked and says nothing, and
// one that answers the next request.
func TestAnswerLost(t *testing.T) {
	asked := 0
	c := newConn(&script{silent: true, answers: func(req []byte) [][]byte {
		if asked++; asked < 3 {
			return nil
		}
		return [][]byte{refusal(firstSeq(req)+1, 0)}
	}})
	var failures []Failure
	require.NoError(t, c.Exec(t.Context(), noops(2), func(f Failure) { failures = append(failures, f) }))
	require.Equal(t, []Failure{{Index: 0, Errno: unix.ENOBUFS, Lost: true}, {Index: 1, Errno: unix.ENOBUFS, Lost: true}}, failures)
	for _, err := range c.Query(t.Context(), noops(1)) {
		require.ErrorIs(t, err, vipkit.ErrReplyLost)
	}
	require.NoError(t, c.Exec(t.Context(), noops(2), func(f Failure) { t.Error(f) }))
}

func TestQueryAnswers(t *testing.T) {
	tests := map[string]struct {
		answers func(seq uint32) [][]byte
		want    error
		yields  int
	}{
		"whole": {func(q uint32) [][]byte {
			return [][]byte{slices.Concat(answer(40, 2, q), answer(40, 2, q)), answer(40, 2, q), answer(msgDone, 2, q, 0, 0, 0, 0)}
		}, nil, 3},
		"done without payload": {func(q uint32) [][]byte { return [][]byte{answer(msgDone, 2, q)} }, nil, 0},
		"older dump's end skipped": {func(q uint32) [][]byte {
			return [][]byte{answer(msgDone, 2, q-1), answer(40, 2, q-1), answer(40, 2, q), answer(msgDone, 2, q)}
		}, nil, 1},
		"interrupted": {func(q uint32) [][]byte {
			return [][]byte{answer(40, 2|flagDumpIntr, q), answer(msgDone, 2, q)}
		}, vipkit.ErrInterrupted, 0},
		"lost":       {func(q uint32) [][]byte { return [][]byte{answer(40, 2, q), nil} }, vipkit.ErrReplyLost, 0},
		"refused":    {func(q uint32) [][]byte { return [][]byte{refusal(q, unix.EBUSY)} }, unix.EBUSY, 0},
		"done badly": {func(q uint32) [][]byte { return [][]byte{answer(msgDone, 2, q, 0xf4, 0xff, 0xff, 0xff)} }, unix.ENOMEM, 0},
		"too long":   {func(q uint32) [][]byte { return [][]byte{make([]byte, 1<<20)} }, vipkit.ErrReplyLost, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newConn(&script{answers: func(req []byte) [][]byte { return test.answers(firstSeq(req)) }})
			yields := 0
			for m, err := range c.Query(t.Context(), linkDump()) {
				require.ErrorIs(t, err, test.want)
				if err == nil {
					require.EqualValues(t, 40, m.Type)
					yields++
				}
			}
			require.Equal(t, test.yields, yields)
		})
	}
}

// TestDumpAbandoned shows that the rest of a cancelled dump is read before the
// next request.
func TestDumpAbandoned(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &script{}
	s.answers = func(req []byte) [][]byte {
		q := firstSeq(req)
		require.Empty(t, s.queue)
		return [][]byte{answer(40, 2, q), answer(msgDone, 2, q)}
	}
	c := newConn(&cancelling{script: s, cancel: cancel})
	for _, err := range c.Query(ctx, linkDump()) {
		require.ErrorIs(t, err, context.Canceled)
	}
	require.NotEmpty(t, s.queue)
	for _, err := range c.Query(t.Context(), linkDump()) {
		require.NoError(t, err)
	}
}

// TestReadStops shows that a reader who has had enough gets its own error, and that
// the rest of the dump is read before the next request.
func TestReadStops(t *testing.T) {
	s := &script{answers: func(req []byte) [][]byte {
		q := firstSeq(req)
		return [][]byte{answer(40, 2, q), slices.Concat(answer(41, 2, q-1), answer(41, 2, q)), answer(msgDone, 2, q)}
	}}
	c := newConn(s)
	enough := errors.New("enough")
	require.ErrorIs(t, c.Read(t.Context(), linkDump(), func(m Message) error { return enough }), enough)
	require.NotEmpty(t, s.queue)
	var types []uint16
	require.NoError(t, c.Read(t.Context(), linkDump(), func(m Message) error {
		types = append(types, m.Type)
		return nil
	}))
	require.Equal(t, []uint16{40, 41}, types)
	require.Empty(t, s.queue)
}

// cancelling cancels when it has read one datagram.
type cancelling struct {
	*script
	cancel func()
}

func (c *cancelling) recv(ctx context.Context, p []byte, wait bool) (int, error) {
	defer c.cancel()
	return c.script.recv(ctx, p, wait)
}

// FuzzReplies feeds hostile datagrams to both readers.
func FuzzReplies(f *testing.F) {
	f.Add([]byte{}, false)
	f.Add(refusal(1, unix.EEXIST), false)
	f.Add(slices.Concat(answer(40, 2, 1, 8, 0, 1, 0, 1, 2, 3, 4), answer(msgDone, 2, 1)), true)
	f.Add(answer(msgError, flagAckTLVs, 1, slices.Concat([]byte{0xfe, 0xff, 0xff, 0xff}, answer(40, 0, 1), []byte{6, 0, 1, 0, 'x', 0})...), false)
	f.Fuzz(func(t *testing.T, d []byte, dump bool) {
		s := &script{answers: func([]byte) [][]byte {
			return [][]byte{d, nil, answer(msgDone, 2, 1), refusal(2, 0)}
		}}
		c := newConn(s)
		ctx, cancel := context.WithCancel(t.Context())
		if dump {
			for m, err := range c.Query(ctx, linkDump()) {
				if err == nil {
					for a := range Attrs(m.Data) {
						_, _ = a.U8()
						_, _ = a.Be16()
						_, _ = a.U32()
						_, _ = a.Be64()
						_, _ = a.Addr()
						_ = a.String()
					}
				}
			}
		} else {
			require.NoError(t, c.Exec(ctx, noops(2), func(f Failure) {
				require.Less(t, f.Index, 2)
				require.True(t, f.Errno > 0 && f.Errno < 8192, "%d", f.Errno)
			}))
		}
		cancel()
	})
}
