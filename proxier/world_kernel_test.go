//go:build linux

package proxier_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/proxier"
)

// world is the hosts of [packetHosts], each a network namespace.
type world struct {
	hosts map[string]*testenv.NS
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{hosts: make(map[string]*testenv.NS)}
	for _, name := range []string{"client", "node", "pod-a", "pod-b", "far"} {
		w.hosts[name] = testenv.AddNetNS(t)
	}
	node := w.hosts["node"]
	testenv.Connect(t, w.hosts["client"], "eth0", node, "outside")
	for _, name := range []string{"pod-a", "pod-b", "far"} {
		testenv.Connect(t, w.hosts[name], "eth0", node, name)
	}
	for i, everywhere := range []string{"0.0.0.0/0", "::/0"} {
		subnet := [2]string{"/24", "/64"}[i]
		host := [2]string{"/32", "/128"}[i]
		addr := func(name string) string { return packetHosts[name][i] }
		for _, h := range []struct{ name, gateway, link string }{{"client", "node", "outside"}, {"far", "router", "far"}} {
			node.AddAddr(t, h.link, addr(h.gateway)+subnet)
			w.hosts[h.name].AddAddr(t, "eth0", addr(h.name)+subnet)
			w.hosts[h.name].AddRoute(t, everywhere, addr(h.gateway), "eth0")
		}
		for _, pod := range []string{"pod-a", "pod-b"} {
			node.AddAddr(t, pod, addr("gateway")+host)
			node.AddRoute(t, addr(pod)+host, "", pod)
			w.hosts[pod].AddAddr(t, "eth0", addr(pod)+host)
			w.hosts[pod].AddRoute(t, addr("gateway")+host, "", "eth0")
			w.hosts[pod].AddRoute(t, everywhere, addr("gateway"), "eth0")
		}
	}
	// Every refusal is to be seen, however many come at once.
	node.Sysctl(t, "net.ipv4.icmp_ratelimit", "0")
	node.Sysctl(t, "net.ipv4.icmp_msgs_per_sec", "100000")
	node.Sysctl(t, "net.ipv6.icmp.ratelimit", "0")
	for _, pod := range []string{"pod-a", "pod-b", "far"} {
		w.serve(t, pod, endpointPort)
	}
	// A listener of the host that no virtual address may expose.
	w.serve(t, "node", hostPort)
	return w
}

// realKernel opens the kernel of a namespace.
func realKernel(t *testing.T, ns *testenv.NS) proxier.Kernel {
	t.Helper()
	k, closeAll, err := proxier.OpenKernel(ns.Path())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, closeAll()) })
	return k
}

// setRules makes what somebody else's firewall says of a namespace what rules
// say, by family; with none of them nothing.
func setRules(t *testing.T, ns *testenv.NS, rules [2]string) {
	t.Helper()
	for i, tool := range []string{"iptables", "ip6tables"} {
		text := rules[i]
		if text == "" {
			text = "*mangle\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
		}
		ns.Run(t, "sh", "-c", `printf %s "$1" | `+tool+`-restore`, "sh", text)
	}
}

// setServers makes somebody else's virtual servers those of a text that ipvsadm
// reads.
func setServers(t *testing.T, ns *testenv.NS, text string) {
	t.Helper()
	ns.Run(t, "ipvsadm", "-C")
	ns.Run(t, "sh", "-c", `printf %s "$1" | ipvsadm -R`, "sh", text)
}

// serve answers every request with the host's name and the address that it
// came from: HTTP on TCP, a datagram on UDP, both families.
func (w *world) serve(t *testing.T, name string, port uint16) {
	t.Helper()
	answer := func(from string) string {
		return name + " saw " + netip.MustParseAddrPort(from).Addr().Unmap().String()
	}
	address := fmt.Sprintf(":%d", port)
	var listener net.Listener
	packets := make([]net.PacketConn, 0, 2)
	require.NoError(t, w.hosts[name].Do(func() (err error) {
		var c net.ListenConfig
		if listener, err = c.Listen(context.Background(), "tcp", address); err != nil {
			return err
		}
		// An address each, so that the answer comes from it.
		for _, a := range packetHosts[name] {
			p, err := c.ListenPacket(context.Background(), "udp", net.JoinHostPort(a, fmt.Sprint(port)))
			if err != nil {
				return err
			}
			packets = append(packets, p)
		}
		return nil
	}))
	server := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(rw, answer(r.RemoteAddr))
		}),
	}
	go func() { _ = server.Serve(listener) }()
	for _, p := range packets {
		go func() {
			buf := make([]byte, 64)
			for {
				_, from, err := p.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = p.WriteTo([]byte(answer(from.String())), from)
			}
		}()
		t.Cleanup(func() { _ = p.Close() })
	}
	t.Cleanup(func() { _ = server.Close() })
	for _, a := range packetHosts[name] {
		at := netip.AddrPortFrom(netip.MustParseAddr(a), port)
		require.NoError(t, w.hosts[name].Do(func() error { return serveSCTP(t, at, answer) }))
	}
}

// ask sends one request from a host and says what came of it: the answer,
// "rejected", "silence" after the given patience, or "denied" where the host
// itself may not send.
func (w *world) ask(from, protocol, to string, patience time.Duration) string {
	var answer string
	err := w.hosts[from].Do(func() (err error) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if protocol == "sctp" {
			answer, err = askSCTP(netip.MustParseAddrPort(to), patience)
			return err
		}
		conn, err := new(net.Dialer).DialContext(ctx, protocol, to)
		if err != nil {
			return err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		request := "ping"
		if protocol == "tcp" {
			request = "GET / HTTP/1.0\r\n\r\n"
		}
		if _, err := io.WriteString(conn, request); err != nil {
			return err
		}
		buf := make([]byte, 4096)
		for end := time.Now().Add(patience); ; {
			if protocol == "udp" { // a datagram may be lost where many are sent at once
				_ = conn.SetReadDeadline(time.Now().Add(min(time.Second, time.Until(end))))
			}
			n, err := conn.Read(buf)
			answer = string(buf[:n])
			if protocol != "udp" || !errors.Is(err, os.ErrDeadlineExceeded) || !time.Now().Before(end) {
				return err
			}
			if _, err := io.WriteString(conn, request); err != nil {
				return err
			}
		}
	})
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "rejected"
	case errors.Is(err, syscall.EPERM):
		return "denied"
	case errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded):
		return "silence"
	case err != nil:
		return fmt.Sprintf("error: %v", err)
	}
	if _, body, ok := strings.Cut(answer, "\r\n\r\n"); ok {
		return body
	}
	return answer
}
