package nl

import (
	"encoding/binary"
	"iter"
	"syscall"
)

// Message types, header flags and attributes of include/uapi/linux/netlink.h,
// named here so that replies are parsed, and the parser fuzzed, on every OS.
const (
	msgError = 2 // NLMSG_ERROR
	msgDone  = 3 // NLMSG_DONE

	flagRequest  = 0x1
	flagAck      = 0x4
	flagDump     = 0x300
	flagDumpIntr = 0x10
	flagCapped   = 0x100 // of an NLMSG_ERROR: only the request's header follows
	flagAckTLVs  = 0x200 // of an NLMSG_ERROR: extended acknowledgement follows

	errAttrMsg = 1 // NLMSGERR_ATTR_MSG
)

// reply is one message of a datagram.
type reply struct {
	Message
	seq uint32
}

// replies yields the messages of a datagram. It stops where what is left is no
// message.
func replies(b []byte) iter.Seq[reply] {
	return func(yield func(reply) bool) {
		for len(b) >= headerLen {
			n := uint(binary.NativeEndian.Uint32(b))
			if n < headerLen || n > uint(len(b)) {
				return
			}
			r := reply{
				Message: Message{
					Type:  binary.NativeEndian.Uint16(b[4:]),
					Flags: binary.NativeEndian.Uint16(b[6:]),
					Data:  b[headerLen:n:n],
				},
				seq: binary.NativeEndian.Uint32(b[8:]),
			}
			if !yield(r) {
				return
			}
			b = b[min(uint(len(b)), (n+3)&^3):]
		}
	}
}

// errno returns the errno at the start of an NLMSG_ERROR or NLMSG_DONE, zero for
// an acknowledgement. A message that is too short or out of range is EBADMSG.
func (r reply) errno() syscall.Errno {
	if len(r.Data) < 4 {
		if r.Type == msgDone {
			return 0
		}
		return syscall.EBADMSG
	}
	n := int32(binary.NativeEndian.Uint32(r.Data))
	if r.Type == msgDone && n >= 0 {
		return 0 // some dumps end with a length here
	}
	if n > 0 || n < -8191 { // MAX_ERRNO is 4095; ip sets have numbers of their own from 4097 on
		return syscall.EBADMSG
	}
	return syscall.Errno(-n)
}

// failure returns what an NLMSG_ERROR says. It copies.
func (r reply) failure(index int) Failure {
	f := Failure{Index: index, Errno: r.errno()}
	if len(r.Data) < 4+headerLen {
		return f
	}
	echo := r.Data[4:]
	n := uint(headerLen)
	if r.Flags&flagCapped == 0 {
		n = max(n, uint(binary.NativeEndian.Uint32(echo)))
	}
	n = min(n, uint(len(echo)))
	f.Reply = append([]byte(nil), echo[:n]...)
	if r.Flags&flagAckTLVs != 0 {
		for a := range Attrs(echo[min(uint(len(echo)), (n+3)&^3):]) {
			if a.Type == errAttrMsg {
				f.Message = a.String()
			}
		}
	}
	return f
}
