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
)

// world is a node with two pods, a pod of another node behind a router's link,
// and a client outside; each a network namespace.
//
//	client ── node ─┬─ bridge ── pod-a, pod-b
//	                └─ far
type world struct {
	hosts map[string]*testenv.NS
}

// Addresses of the world, IPv4 and IPv6.
var (
	clientAddr = [2]string{"198.51.100.9", "2001:db8:99::9"}
	nodeAddr   = [2]string{"198.51.100.1", "2001:db8:99::1"}
	bridgeAddr = [2]string{"10.244.0.1", "fd00:244::1"}
	podAAddr   = [2]string{"10.244.0.11", "fd00:244::11"}
	podBAddr   = [2]string{"10.244.0.12", "fd00:244::12"}
	routerAddr = [2]string{"10.244.1.1", "fd00:244:1::1"}
	farAddr    = [2]string{"10.244.1.5", "fd00:244:1::5"}
)

var masks = [2]string{"/24", "/64"}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{hosts: make(map[string]*testenv.NS)}
	for _, name := range []string{"client", "node", "pod-a", "pod-b", "far"} {
		w.hosts[name] = testenv.AddNetNS(t)
	}
	node := w.hosts["node"]
	testenv.Connect(t, w.hosts["client"], "eth0", node, "outside")
	testenv.Connect(t, w.hosts["far"], "eth0", node, "far")
	testenv.Connect(t, w.hosts["pod-a"], "eth0", node, "pod-a")
	testenv.Connect(t, w.hosts["pod-b"], "eth0", node, "pod-b")
	node.AddBridge(t, "bridge", "pod-a", "pod-b")
	for i, everywhere := range []string{"0.0.0.0/0", "::/0"} {
		node.AddAddr(t, "outside", nodeAddr[i]+masks[i])
		node.AddAddr(t, "bridge", bridgeAddr[i]+masks[i])
		node.AddAddr(t, "far", routerAddr[i]+masks[i])
		for _, h := range []struct{ name, addr, via string }{
			{"client", clientAddr[i], nodeAddr[i]},
			{"pod-a", podAAddr[i], bridgeAddr[i]},
			{"pod-b", podBAddr[i], bridgeAddr[i]},
			{"far", farAddr[i], routerAddr[i]},
		} {
			w.hosts[h.name].AddAddr(t, "eth0", h.addr+masks[i])
			w.hosts[h.name].AddRoute(t, everywhere, h.via, "eth0")
		}
	}
	// Every refusal is to be seen, however many come at once.
	node.Sysctl(t, "net.ipv4.icmp_ratelimit", "0")
	node.Sysctl(t, "net.ipv6.icmp.ratelimit", "0")
	for _, pod := range []string{"pod-a", "pod-b", "far"} {
		w.serve(t, pod, ":8080")
	}
	// A listener of the host that no virtual address may expose.
	w.serve(t, "node", ":9999")
	return w
}

// serve answers every request with the host's name and the address that it
// came from: HTTP on TCP, a datagram on UDP, both families.
func (w *world) serve(t *testing.T, name, address string) {
	t.Helper()
	answer := func(from string) string {
		return name + " saw " + netip.MustParseAddrPort(from).Addr().Unmap().String()
	}
	var listener net.Listener
	var packets net.PacketConn
	require.NoError(t, w.hosts[name].Do(func() (err error) {
		var c net.ListenConfig
		if listener, err = c.Listen(context.Background(), "tcp", address); err != nil {
			return err
		}
		packets, err = c.ListenPacket(context.Background(), "udp", address)
		return err
	}))
	server := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(rw, answer(r.RemoteAddr))
		}),
	}
	go func() { _ = server.Serve(listener) }()
	go func() {
		buf := make([]byte, 64)
		for {
			_, from, err := packets.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = packets.WriteTo([]byte(answer(from.String())), from)
		}
	}()
	t.Cleanup(func() {
		_ = server.Close()
		_ = packets.Close()
	})
}

// ask sends one request from a host and says what came of it: the answer,
// "refused", "silence" after the given patience, or "denied" where the host
// itself may not send.
func (w *world) ask(from, protocol, to string, patience time.Duration) string {
	var answer string
	err := w.hosts[from].Do(func() (err error) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
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
		n, err := conn.Read(buf)
		answer = string(buf[:n])
		return err
	})
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
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
