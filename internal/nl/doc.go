// Package nl is vipkit's one netlink transport: requests appended to a buffer
// and sent many at a time, replies told apart by sequence number, deadlines
// from the context, dumps as iterators.
//
// A send is synchronous: when it returns, the kernel has carried out every
// message in it (net/netlink/af_netlink.c, netlink_rcv_skb). Only the last
// message of a send asks for an acknowledgement; failures are reported anyway,
// and the messages after a failed one still run. Replies that overflow the
// receive buffer are lost (ENOBUFS), the operations are not: that is
// [vipkit.ErrReplyLost], and the caller reads the state again. A system call that a
// signal interrupts (EINTR) goes on; a dump that came out wrong is tried again
// ([Retry]); a write never is.
package nl
