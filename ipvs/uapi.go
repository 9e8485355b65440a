package ipvs

// Numbers of the generic netlink family IPVS (include/uapi/linux/ip_vs.h). No
// library exports them.
const (
	genlName    = "IPVS"
	genlVersion = 1

	cmdNewService = 1
	cmdSetService = 2
	cmdDelService = 3
	cmdGetService = 4
	cmdNewDest    = 5
	cmdSetDest    = 6
	cmdDelDest    = 7
	cmdGetDest    = 8
	cmdNewDaemon  = 9
	cmdDelDaemon  = 10
	cmdGetDaemon  = 11
	cmdSetConfig  = 12
	cmdGetConfig  = 13
	cmdGetInfo    = 15
	cmdZero       = 16

	attrService = 1
	attrDest    = 2
	attrDaemon  = 3

	attrTimeoutTCP    = 4 // seconds
	attrTimeoutTCPFin = 5
	attrTimeoutUDP    = 6

	svcFamily    = 1
	svcProtocol  = 2
	svcAddr      = 3
	svcPort      = 4 // network order
	svcMark      = 5
	svcScheduler = 6
	svcFlags     = 7 // struct ip_vs_flags: bits, mask
	svcTimeout   = 8
	svcNetmask   = 9 // IPv4: a mask in network order; IPv6: a prefix length in host order
	svcStats     = 10
	svcEngine    = 11
	svcStats64   = 12 // since Linux 4.1

	destAddr        = 1
	destPort        = 2 // network order
	destForward     = 3
	destWeight      = 4
	destUpper       = 5
	destLower       = 6
	destActive      = 7
	destInactive    = 8
	destPersistent  = 9
	destStats       = 10
	destFamily      = 11 // since Linux 3.18
	destStats64     = 12
	destTunnelType  = 13 // since Linux 5.2
	destTunnelPort  = 14 // network order
	destTunnelFlags = 15 // since Linux 5.3

	statConnections = 1
	statPacketsIn   = 2
	statPacketsOut  = 3
	statBytesIn     = 4
	statBytesOut    = 5

	statConnectionRate = 6
	statPacketRateIn   = 7
	statPacketRateOut  = 8
	statByteRateIn     = 9
	statByteRateOut    = 10

	daemonState     = 1
	daemonInterface = 2
	daemonSyncID    = 3
	daemonMaxLen    = 4 // these since Linux 4.3
	daemonGroup     = 5
	daemonGroup6    = 6
	daemonPort      = 7 // host order
	daemonTTL       = 8

	infoVersion   = 1
	infoTableSize = 2

	flagPersistent = 0x1
	flagHashed     = 0x2 // the kernel's own

	forwardMask = 0x7 // IP_VS_CONN_F_FWD_MASK

	afInet  = 2
	afInet6 = 10 // Linux's number, wherever this is compiled
)
