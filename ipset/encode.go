package ipset

import (
	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
)

// Numbers of include/uapi/linux/netfilter/nfnetlink.h and ipset/ip_set.h.
const (
	subsys = 6 << 8 // NFNL_SUBSYS_IPSET

	cmdProtocol = subsys | 1
	cmdCreate   = subsys | 2
	cmdDestroy  = subsys | 3
	cmdFlush    = subsys | 4
	cmdRename   = subsys | 5
	cmdSwap     = subsys | 6
	cmdList     = subsys | 7
	cmdAdd      = subsys | 9
	cmdDel      = subsys | 10
	cmdTest     = subsys | 11
	cmdType     = subsys | 13

	attrProtocol    = 1
	attrSetname     = 2
	attrTypename    = 3
	attrSetname2    = 3
	attrRevision    = 4
	attrFamily      = 5
	attrFlags       = 6
	attrData        = 7
	attrADT         = 8
	attrLineno      = 9
	attrRevisionMin = 10
	attrProtocolMin = 10

	dataIP       = 1
	dataCIDR     = 3
	dataPort     = 4
	dataPortTo   = 5
	dataTimeout  = 6
	dataProto    = 7
	dataFlags    = 8
	dataHashsize = 18
	dataMaxelem  = 19
	dataNetmask  = 20
	dataIP2      = 20
	dataCIDR2    = 21
	dataBytes    = 24
	dataPackets  = 25
	dataComment  = 26
	dataSkbmark  = 27
	dataSkbprio  = 28
	dataSkbqueue = 29

	ipv4 = 1 // IPSET_ATTR_IPADDR_IPV4
	ipv6 = 2 // IPSET_ATTR_IPADDR_IPV6

	listHeader = 1 << 2 // IPSET_FLAG_LIST_HEADER

	flagNoMatch  = 1 << 2
	flagCounters = 1 << 3
	flagComment  = 1 << 4
	flagForceadd = 1 << 5
	flagSkbinfo  = 1 << 6

	netOrder = 1 << 14 // NLA_F_NET_BYTEORDER: the kernel insists on it (ip_set_attr_netorder)

	afInet, afInet6 = 2, 10 // Linux's, whatever the system that compiles this

	flagAck  = 0x4   // NLM_F_ACK
	flagExcl = 0x200 // NLM_F_EXCL: without it, IPSET_FLAG_EXIST is on
	flagDump = 0x300 // NLM_F_DUMP
)

// The versions of the protocol that this package speaks.
const minProtocol, maxProtocol = 6, 7

// knownRevision is the highest revision of a type whose meaning this package
// knows.
func knownRevision(t Type) uint8 {
	switch t {
	case HashIPPort, HashNet:
		return 7
	case HashIPPortNet:
		return 8
	case BitmapPort:
		return 3
	case HashIP, HashIPPortIP:
	}
	return 6
}

// maxBulk is when a message takes no more entries: an attribute has less than
// 64 KiB, and an entry at most 450 bytes.
const maxBulk = 60 << 10

func nfFamily(f vipkit.Family) uint8 {
	switch f {
	case vipkit.IPv4:
		return afInet
	case vipkit.IPv6:
		return afInet6
	}
	return 0
}

// begin starts a message about a set. proto is the negotiated version.
func begin(b *nl.Batch, cmd, flags uint16, proto uint8, set string) {
	b.Begin(cmd, flags)
	b.Nfgen(afInet)
	b.U8(attrProtocol, proto)
	if set != "" {
		b.String(attrSetname, set)
	}
}

func appendCreate(b *nl.Batch, proto, revision uint8, s Set) {
	begin(b, cmdCreate, flagExcl, proto, s.Name)
	b.String(attrTypename, string(s.Type))
	b.U8(attrRevision, revision)
	b.U8(attrFamily, nfFamily(s.Family))
	data := b.Nest(attrData)
	if s.Type == BitmapPort {
		b.Be16(dataPort|netOrder, s.PortFrom)
		b.Be16(dataPortTo|netOrder, s.PortTo)
	}
	if s.HashSize != 0 {
		b.Be32(dataHashsize|netOrder, s.HashSize)
	}
	if s.MaxElem != 0 {
		b.Be32(dataMaxelem|netOrder, s.MaxElem)
	}
	appendTimeout(b, s.Timeout)
	var flags uint32
	if s.Counters {
		flags |= flagCounters
	}
	if s.Comment {
		flags |= flagComment
	}
	if s.SkbInfo {
		flags |= flagSkbinfo
	}
	if flags != 0 {
		b.Be32(dataFlags|netOrder, flags)
	}
	b.EndNest(data)
	b.End()
}

// appendSetCommand appends a command about whole sets. Without NLM_F_EXCL the
// kernel takes it for success to destroy a set that is not there.
func appendSetCommand(b *nl.Batch, cmd uint16, proto uint8, set, other string) {
	begin(b, cmd, flagExcl, proto, set)
	if other != "" {
		b.String(attrSetname2, other)
	}
	b.End()
}

// entryCommand returns the message type and flags of an entry operation.
func entryCommand(op Op) (cmd, flags uint16) {
	if op == DeleteEntry {
		return cmdDel, flagExcl
	}
	if op == UpdateEntry {
		return cmdAdd, 0
	}
	return cmdAdd, flagExcl
}
