package ipvs

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/vipkit/vipkit"
)

// Timeouts are how long IPVS keeps an idle connection, in whole seconds up to 24
// days. In [Client.SetTimeouts] zero leaves a timeout as it is: so the kernel has
// it.
type Timeouts struct {
	TCP    time.Duration // established; 15 minutes unless set
	TCPFin time.Duration // after the first FIN; 2 minutes
	UDP    time.Duration // 5 minutes
}

// maxIdle is what every kernel can count in jiffies: 2³¹−1 of a millisecond.
const maxIdle = (1<<31 - 1) / 1000 * time.Second

// String returns the timeouts as ipvsadm's option, in seconds: "--set 900 120 300".
func (t Timeouts) String() string {
	return fmt.Sprintf("--set %d %d %d", t.TCP/time.Second, t.TCPFin/time.Second, t.UDP/time.Second)
}

// Validate reports everything that is wrong with the timeouts. The error, if any,
// is fs.ErrInvalid.
func (t Timeouts) Validate() error {
	var f faults
	for _, one := range []struct {
		name  string
		value time.Duration
	}{{"tcp", t.TCP}, {"tcpfin", t.TCPFin}, {"udp", t.UDP}} {
		if one.value < 0 || one.value > maxIdle || one.value%time.Second != 0 {
			f.add("%s timeout %v: want whole seconds, 0 (as it is) to %v", one.name, one.value, maxIdle)
		}
	}
	return f.join()
}

// Merge returns t with what is not zero in set: what the kernel makes of them.
func (t Timeouts) Merge(set Timeouts) Timeouts {
	for _, one := range []struct{ have, set *time.Duration }{{&t.TCP, &set.TCP}, {&t.TCPFin, &set.TCPFin}, {&t.UDP, &set.UDP}} {
		if *one.set != 0 {
			*one.have = *one.set
		}
	}
	return t
}

// Daemon is a connection synchronisation daemon of the kernel. Zeros stand for the
// kernel's own choice in [Client.StartDaemon]; [Client.Daemons] has none but SyncID.
// What is not State, Interface and SyncID needs Linux 4.3.
type Daemon struct {
	// State is whether it sends or receives.
	State DaemonState
	// Interface is the network interface for multicast, 1–15 bytes.
	Interface string
	// SyncID is 0–255; a backup with 0 takes every one.
	SyncID uint8
	// MaxLen is the largest UDP payload, in bytes; the kernel brings what does
	// not fit into its limits. Zero: what 1,500 bytes leave, or for a backup the
	// interface's MTU where that is more.
	MaxLen uint16
	// Group is the multicast address. Invalid: 224.0.0.81.
	Group netip.Addr
	// Port is the first UDP port. Zero: 8848.
	Port uint16
	// TTL is the time to live of multicast packets. Zero: 1.
	TTL uint8
}

// Validate reports everything that is wrong with the daemon. The error, if any, is
// fs.ErrInvalid.
func (d Daemon) Validate() error {
	var f faults
	d.State.check(&f)
	if d.Interface == "" || len(d.Interface) > maxName || strings.ContainsAny(d.Interface, "/ \t\n") {
		f.add("interface %q: want a name of 1 to %d bytes", d.Interface, maxName)
	}
	if d.Group.IsValid() && checkAddr(&f, "multicast group", d.Group) && !d.Group.IsMulticast() {
		f.add("multicast group %v: no multicast address", d.Group)
	}
	return f.join()
}

// DaemonState is what a [Daemon] does, with the kernel's numbers.
type DaemonState uint8

// States of a Daemon.
const (
	Master DaemonState = 1 // sends
	Backup DaemonState = 2 // receives
)

// String returns "master" or "backup".
func (s DaemonState) String() string {
	switch s {
	case Master:
		return "master"
	case Backup:
		return "backup"
	}
	return strconv.Itoa(int(s))
}

// Validate reports whether it is one of the two. The error, if any, is
// fs.ErrInvalid.
func (s DaemonState) Validate() error {
	var f faults
	s.check(&f)
	return f.join()
}

func (s DaemonState) check(f *faults) {
	if s != Master && s != Backup {
		f.add("daemon state %d: want master or backup", uint8(s))
	}
}

// String returns the daemon as options of ipvsadm, without those that are left to
// the kernel: "--start-daemon master --mcast-interface eth0 --syncid 7
// --sync-maxlen 1472 --mcast-group 224.0.0.81 --mcast-port 8848 --mcast-ttl 1".
func (d Daemon) String() string {
	text := fmt.Sprintf("--start-daemon %s --mcast-interface %s --syncid %d", d.State, d.Interface, d.SyncID)
	if d.MaxLen != 0 {
		text += fmt.Sprintf(" --sync-maxlen %d", d.MaxLen)
	}
	if d.Group.IsValid() {
		text += fmt.Sprintf(" --mcast-group %s", d.Group)
	}
	if d.Port != 0 {
		text += fmt.Sprintf(" --mcast-port %d", d.Port)
	}
	if d.TTL != 0 {
		text += fmt.Sprintf(" --mcast-ttl %d", d.TTL)
	}
	return text
}

// schedulers gives each scheduler of Linux 6.1 and later the flags that it heeds.
// Those of others, from modules that are not in the kernel's tree, are not known.
var schedulers = map[string]Flags{
	"rr": 0, "wrr": 0, "lc": 0, "wlc": 0, "lblc": 0, "lblcr": 0, "dh": 0, "sed": 0, "nq": 0, "fo": 0, "ovf": 0,
	"sh": Sched1 | Sched2, "mh": Sched1 | Sched2,
}

// Schedulers returns the names of all schedulers of Linux 6.1 and later.
func Schedulers() []string {
	return []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "mh", "dh", "sed", "nq", "fo", "ovf"}
}

// checkFlags refuses flags of the scheduler that it does not heed.
func (s *Service) checkFlags(f *faults) {
	if bad := s.Flags &^ validFlags; bad != 0 {
		f.add("flags %#x: unknown", uint32(bad))
	}
	if s.Flags&(Sched1|Sched2|Sched3) != 0 {
		heeded, known := schedulers[s.Scheduler]
		for i := range flagNames {
			if flag := Sched1 << i; known && s.Flags&flag&^heeded != 0 {
				f.add("flag %s: scheduler %s has none such", flagName(s.Scheduler, i), s.Scheduler)
			}
		}
	}
	if s.Flags&OnePacket != 0 && s.Mark == 0 && s.Protocol != vipkit.UDP {
		f.add("one-packet scheduling: %s, want udp", s.Protocol)
	}
}
