package ipset

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/vipkit/vipkit"
)

// ParseKey reads an entry's key in the form of [EntryKey.String].
func ParseKey(s string) (k EntryKey, err error) {
	first, rest, more := strings.Cut(s, ",")
	if !more {
		if port, err := strconv.ParseUint(first, 10, 16); err == nil {
			return EntryKey{Port: uint16(port)}, nil
		}
	}
	if k.Net, err = parseNet(first); err != nil || !more {
		return k, err
	}
	service, third, more := strings.Cut(rest, ",")
	name, port, ok := strings.Cut(service, ":")
	if !ok {
		return EntryKey{}, fmt.Errorf("%q is no PROTOCOL:PORT", service)
	}
	if k.Protocol, err = parseProtocol(name); err != nil {
		return EntryKey{}, err
	}
	v, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return EntryKey{}, fmt.Errorf("%q is no port", port)
	}
	k.Port = uint16(v)
	if more {
		if k.Net2, err = parseNet(third); err != nil {
			return EntryKey{}, err
		}
	}
	return k, nil
}

func parseProtocol(s string) (vipkit.Protocol, error) {
	if n, err := strconv.ParseUint(s, 10, 8); err == nil {
		return vipkit.Protocol(n), nil
	}
	return vipkit.ParseProtocol(s)
}

func parseNet(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		return netip.ParsePrefix(s)
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	if a.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%q has a zone", s)
	}
	return Host(a), nil
}
