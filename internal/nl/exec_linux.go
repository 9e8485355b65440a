package nl

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

// Exec sends the batch, as many messages a send as the socket takes, and calls
// failed for each message that the kernel refused or whose answer was lost, in
// the order of the batch. The error is not about single messages: the context's
// or the socket's; what was not sent by then is reported to failed with Errno
// ECANCELED. failed may be nil, and may use the Conn.
func (c *Conn) Exec(ctx context.Context, b *Batch, failed func(Failure)) error {
	failures, err := c.exec(ctx, b)
	if failed != nil {
		for _, f := range failures {
			failed(f)
		}
	}
	return err
}

func (c *Conn) exec(ctx context.Context, b *Batch) (failures []Failure, err error) {
	next := 0
	defer func() {
		for ; next < b.Len(); next++ {
			failures = append(failures, Failure{Index: next, Errno: unix.ECANCELED})
		}
	}()
	if err := c.acquire(ctx); err != nil {
		return nil, err
	}
	defer c.release()
	for next < b.Len() {
		if err := ctx.Err(); err != nil {
			return failures, err
		}
		last := c.chunk(b, next)
		if last == next { // more than a send can hold
			failures = append(failures, Failure{Index: next, Errno: unix.EMSGSIZE})
			next++
			continue
		}
		base, err := c.send(b, next, last, true)
		if err != nil {
			return failures, err
		}
		failures, err = c.collect(ctx, failures, base, next, last)
		next = last
		if err != nil {
			return failures, err
		}
	}
	return failures, nil
}

// chunk returns the end of the longest run of messages from first on that fits
// one send, and whose answers fit the receive buffer if all fail.
func (c *Conn) chunk(b *Batch, first int) int {
	room, answers := c.s.limits()
	if len(b.buf)-b.starts[first] <= room && (b.Len()-first)*replyCost <= answers && !c.s.echoes() {
		return b.Len()
	}
	last := first
	for ; last < b.Len(); last++ {
		n := b.end(last) - b.starts[last]
		answer := replyCost
		if c.s.echoes() {
			answer += 2 * n
		}
		if room -= n; room < 0 {
			break
		}
		if answers -= answer; answers < 0 && last > first {
			break
		}
	}
	return last
}

// replyCost is what the kernel charges to the receive buffer for a refusal
// without the echoed request: struct sk_buff and its data, rounded up (768
// bytes were seen on 6.12, more with an extended acknowledgement).
const replyCost = 1280

// collect reads the answers to messages first to last-1, whose sequence numbers
// start at base, and appends the failures. The kernel has queued them all
// already, so it waits only if the last answer is missing for no known reason, and not
// for long.
func (c *Conn) collect(ctx context.Context, failures []Failure, base uint32, first, last int) ([]Failure, error) {
	count := uint32(last - first)
	known := len(failures)
	acked, lost := false, false
	var err error
	for !acked {
		var n int
		n, err = c.s.recv(ctx, c.buffer(), !lost)
		if errors.Is(err, unix.ENOBUFS) || err == nil && n > len(c.buf) {
			lost = true // answers are missing: read what is there
			continue
		}
		if err != nil {
			break
		}
		for r := range replies(c.buf[:n]) {
			i := r.seq - base
			if r.Type != msgError || i >= count {
				continue // an echo, or the answer to an older request
			}
			if f := r.failure(first + int(i)); f.Errno != 0 {
				failures = append(failures, f)
			}
			if i == count-1 {
				acked = true
			}
		}
	}
	if errors.Is(err, unix.EAGAIN) {
		lost, err = true, nil
	}
	if lost || err != nil {
		failures = fillLost(failures, known, first, last, acked)
	}
	return failures, err
}

// fillLost adds a lost failure for each message of first to last-1 that has no
// failure from position known on; the very last of them only if it was not
// acknowledged.
func fillLost(failures []Failure, known, first, last int, acked bool) []Failure {
	answered := append([]Failure(nil), failures[known:]...)
	failures = failures[:known]
	for i := first; i < last; i++ {
		switch {
		case len(answered) > 0 && answered[0].Index == i:
			failures = append(failures, answered[0])
			answered = answered[1:]
		case i == last-1 && acked:
		default:
			failures = append(failures, Failure{Index: i, Errno: unix.ENOBUFS, Lost: true})
		}
	}
	return failures
}
