package conntrack

// Numbers of include/uapi/linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h.
const (
	subsys = 1 << 8 // NFNL_SUBSYS_CTNETLINK

	cmdNew    = subsys
	cmdGet    = subsys | 1
	cmdDelete = subsys | 2
	cmdStats  = subsys | 5

	attrTupleOrig  = 1
	attrTupleReply = 2
	attrStatus     = 3
	attrProtoInfo  = 4
	attrTimeout    = 7
	attrMark       = 8
	attrID         = 12
	attrZone       = 18
	attrMarkMask   = 21
	attrFilter     = 25
	attrStatusMask = 26

	tupleIP    = 1
	tupleProto = 2
	tupleZone  = 3

	ipV4Src = 1
	ipV4Dst = 2
	ipV6Src = 3
	ipV6Dst = 4

	protoNum        = 1
	protoSrc        = 2
	protoDst        = 3
	protoICMPID     = 4 // then type and code
	protoICMPType   = 5
	protoICMPCode   = 6
	protoICMPv6ID   = 7
	protoICMPv6Type = 8
	protoICMPv6Code = 9

	infoTCP   = 1
	infoSCTP  = 3
	infoState = 1 // of either

	filterOrig  = 1
	filterReply = 2

	// Which parts of a tuple a filter compares (nf_internals.h).
	filterIPSrc   = 1 << 0
	filterIPDst   = 1 << 1
	filterNum     = 1 << 3
	filterSrcPort = 1 << 4
	filterDstPort = 1 << 5

	statsEntries = 1
	statsMax     = 2

	afInet, afInet6 = 2, 10 // Linux's, whatever the system that compiles this

	flagDump = 0x300 // NLM_F_DUMP
)

const nfgenLen = 4

// The names that conntrack(8) has for the states of nf_conntrack_tcp.h and
// nf_conntrack_sctp.h.
var (
	tcpStates = []string{
		"NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE", "SYN_SENT2",
	}
	sctpStates = []string{
		"NONE", "CLOSED", "COOKIE_WAIT", "COOKIE_ECHOED", "ESTABLISHED", "SHUTDOWN_SENT", "SHUTDOWN_RECD", "SHUTDOWN_ACK_SENT",
		"HEARTBEAT_SENT", "HEARTBEAT_ACKED",
	}
)
