package kube

import (
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/vipkit/vipkit"
)

// parseAddr reads an address that can be a destination in a cluster. Like the
// API server it takes no special address: an endpoint 127.0.0.1 would reach
// into the node.
func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%q is no IP address", s)
	}
	a = a.Unmap()
	var what string
	switch {
	case a.Zone() != "":
		what = "has a zone"
	case a.IsUnspecified():
		what = "is unspecified"
	case a.IsLoopback():
		what = "is a loopback address"
	case a.IsLinkLocalUnicast():
		what = "is a link-local address"
	case a.IsMulticast():
		what = "is a multicast address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		what = "is the broadcast address"
	default:
		return a, nil
	}
	return netip.Addr{}, fmt.Errorf("%s %s", a, what)
}

// parsePrefix reads a network, with the spaces around it that the API allows
// in loadBalancerSourceRanges. Bits beyond its length become zero.
func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(strings.TrimSpace(s))
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is no network", s)
	}
	if p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is an IPv4 network written as IPv6", s)
	}
	return p.Masked(), nil
}

func parsePort(n int32) (uint16, error) {
	if n < 1 || n > 65535 {
		return 0, fmt.Errorf("%d, want 1–65535", n)
	}
	return uint16(n), nil
}

// parseProtocol reads the API's name of a protocol; none is TCP.
func parseProtocol(p corev1.Protocol) (vipkit.Protocol, error) {
	switch p {
	case corev1.ProtocolTCP, "":
		return vipkit.TCP, nil
	case corev1.ProtocolUDP:
		return vipkit.UDP, nil
	case corev1.ProtocolSCTP:
		return vipkit.SCTP, nil
	}
	return 0, fmt.Errorf("%q, want TCP, UDP or SCTP", p)
}

// checkLabel returns an error unless s can be the name of a namespace, a
// Service or a port.
func checkLabel(s string) error {
	if s == "" {
		return fmt.Errorf("missing")
	}
	if len(validation.IsDNS1123Label(s)) > 0 {
		return fmt.Errorf("%q is no DNS label: want a–z, 0–9 and '-', at most 63", s)
	}
	return nil
}
