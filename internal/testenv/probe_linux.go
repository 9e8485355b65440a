package testenv

import (
	"fmt"
	"os/exec"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// probeFacility tries a facility out in a namespace of its own, where the kernel
// loads the module for it, as it does for root.
func probeFacility(name string) error {
	switch name {
	case IPVS:
		return inScratch(probeIPVS)
	case IPSet:
		return inScratch(func() error { _, _, err := netlink.IpsetProtocol(); return err })
	case IPTables:
		return inScratch(probeIPTables)
	case Dummy:
		return inScratch(addLink(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: "probe"}}))
	case Veth:
		return inScratch(addLink(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "probe"}, PeerName: "peer"}))
	case Bridge:
		return inScratch(addLink(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "probe"}}))
	case Conntrack:
		return inScratch(func() error {
			_, err := netlink.ConntrackTableList(netlink.ConntrackTable, unix.AF_INET)
			return err
		})
	case SCTP:
		return probeSCTP()
	default:
		_, err := exec.LookPath(name)
		return err
	}
}

// inScratch runs f in a namespace that lives as long as f.
func inScratch(f func() error) error {
	ns, err := newNS()
	if err != nil {
		return err
	}
	defer ns.close()
	return ns.Do(f)
}

func addLink(link netlink.Link) func() error {
	return func() error { return netlink.LinkAdd(link) }
}

// probeIPVS reads the version: the family alone is there in a user namespace too,
// where every request is refused.
func probeIPVS() error {
	family, err := netlink.GenlFamilyGet("IPVS")
	if err != nil {
		return err
	}
	const getInfo = 15 // IPVS_CMD_GET_INFO in linux/ip_vs.h
	request := nl.NewNetlinkRequest(int(family.ID), 0)
	request.AddData(&nl.Genlmsg{Command: getInfo, Version: nl.GENL_CTRL_VERSION})
	_, err = request.Execute(unix.NETLINK_GENERIC, 0)
	return err
}

// probeIPTables reads the nat table of both families: the tool, its back end and
// the kernel have to fit together.
func probeIPTables() error {
	for _, tool := range []string{"iptables", "ip6tables"} {
		output, err := exec.Command(tool, "-w", "-t", "nat", "-S").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s -t nat -S: %w: %s", tool, err, strings.TrimSpace(string(output)))
		}
		for _, name := range []string{tool + "-save", tool + "-restore"} {
			if _, err := exec.LookPath(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func probeSCTP() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}
