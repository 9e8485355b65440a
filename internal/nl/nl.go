package nl

import "syscall"

// Config says where a Conn is opened.
type Config struct {
	// Protocol is unix.NETLINK_GENERIC, NETLINK_NETFILTER or NETLINK_ROUTE.
	Protocol int
	// Namespace is the path of a network namespace ("/run/netns/blue"). Empty:
	// that of the calling thread.
	Namespace string
	// Echo asks the kernel to put the whole refused request into
	// [Failure.Reply], not its header only (NETLINK_CAP_ACK off). ipset answers
	// with IPSET_ATTR_LINENO there either way, and its replies are then as
	// long as the requests: it wants Echo for the room that is kept for them.
	Echo bool
	// Part is how many bytes of a dump are read at a time; zero: as many as the
	// kernel puts into one datagram, 32 KiB. For each dump the kernel first
	// allocates as much as was ever asked for, so a Conn for many small dumps is
	// several times faster with one page, the least that it takes. Not for
	// links, whose messages may be longer.
	Part int
}

// SendSize is how many bytes of messages fill one send, where the system lets a
// socket have so large a buffer: the best size measured.
const SendSize = 192 << 10

// Failure is the kernel's refusal of one message.
type Failure struct {
	// Index is the message's position in its batch.
	Index int
	// Errno is the kernel's, or ECANCELED for a message that was not sent.
	Errno syscall.Errno
	// Message is the kernel's extended acknowledgement (NLMSGERR_ATTR_MSG), if
	// any.
	Message string
	// Lost means that no answer arrived: the operation may have happened.
	// Errno is then ENOBUFS.
	Lost bool
	// Reply is the payload after struct nlmsgerr's errno: the echoed request, as
	// far as the kernel sent it (ipset puts IPSET_ATTR_LINENO there).
	Reply []byte
}
