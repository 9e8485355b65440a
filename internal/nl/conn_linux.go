package nl

import (
	"context"
	"iter"
	"syscall"
)

// Conn is a netlink socket of one protocol in one network namespace. It is
// safe for concurrent use; requests take turns.
type Conn struct{}

// Config says where a Conn is opened.
type Config struct {
	// Protocol is unix.NETLINK_GENERIC, NETLINK_NETFILTER or NETLINK_ROUTE.
	Protocol int
	// Namespace is the path of a network namespace ("/run/netns/blue"). Empty:
	// that of the calling thread.
	Namespace string
}

// Open opens a socket.
func Open(cfg Config) (*Conn, error) { panic("to be written") }

// Close closes the socket. Calls under way fail with net.ErrClosed.
func (c *Conn) Close() error { panic("to be written") }

// Requests returns how many messages the Conn has sent, and Sends in how many
// system calls: what tests count.
func (c *Conn) Requests() (messages, sends int64) { panic("to be written") }

// Failure is the kernel's refusal of one message.
type Failure struct {
	// Index is the message's position in its batch.
	Index int
	Errno syscall.Errno
	// Message is the kernel's extended acknowledgement (NLMSGERR_ATTR_MSG), if
	// any.
	Message string
	// Lost means that no answer arrived: the operation may have happened.
	Lost bool
	// Reply is the payload after struct nlmsgerr's errno: the echoed request, as
	// far as the kernel sent it (ipset puts IPSET_ATTR_LINENO there).
	Reply []byte
}

// Exec sends the batch, as many messages a send as the socket takes, and calls
// failed for each message that the kernel refused or whose answer was lost, in
// the order of the batch. The error is not about single messages: the context's
// (what was not sent yet is then reported to failed with Errno ECANCELED), or the
// socket's.
func (c *Conn) Exec(ctx context.Context, b *Batch, failed func(Failure)) error {
	panic("to be written")
}

// Query sends the one request in b and yields its replies: all parts of a dump
// (NLM_F_DUMP), or the answer of a get. An error ends the sequence: a
// syscall.Errno, vipkit.ErrInterrupted if the kernel flagged the dump as
// inconsistent (NLM_F_DUMP_INTR), vipkit.ErrReplyLost, or the context's.
// Breaking early is safe. No other request runs on the Conn until the sequence
// has ended; its replies are read ahead so that no lock is held while
// yielding.
func (c *Conn) Query(ctx context.Context, b *Batch) iter.Seq2[Message, error] {
	panic("to be written")
}

// GenlFamily returns the number of a generic netlink family. It fails with
// syscall.ENOENT where the kernel has none of that name (the request makes the
// kernel load its module if it can).
func (c *Conn) GenlFamily(ctx context.Context, name string) (uint16, error) {
	panic("to be written")
}
