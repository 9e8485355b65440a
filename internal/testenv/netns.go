package testenv

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// NS is a network namespace with its lo up and without duplicate address
// detection, so that IPv6 addresses work at once.
type NS struct {
	ns     netns.NsHandle
	handle *netlink.Handle
}

// NewNetNS makes a namespace and enters it until the test ends. See [NS.Enter]
// for what that means for subtests.
func NewNetNS(t testing.TB) *NS {
	t.Helper()
	ns := AddNetNS(t)
	ns.Enter(t)
	return ns
}

// AddNetNS makes a namespace that lives until the test ends, without entering it.
func AddNetNS(t testing.TB) *NS {
	t.Helper()
	ns, err := newNS()
	if err != nil {
		t.Fatalf("new network namespace: %v", err)
	}
	t.Cleanup(ns.close)
	return ns
}

func newNS() (*NS, error) {
	ns := &NS{ns: netns.None()}
	err := onThread(func() error {
		var err error
		if ns.ns, err = netns.New(); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := ns.setUp(); err != nil {
		ns.close()
		return nil, err
	}
	return ns, nil
}

func (ns *NS) setUp() error {
	var err error
	if ns.handle, err = netlink.NewHandleAt(ns.ns); err != nil {
		return fmt.Errorf("netlink handle: %w", err)
	}
	lo, err := ns.handle.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := ns.handle.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	for _, scope := range []string{"all", "default"} {
		err := ns.writeSysctl("net.ipv6.conf."+scope+".accept_dad", "0")
		if err != nil && !os.IsNotExist(err) { // a kernel without IPv6
			return err
		}
	}
	return nil
}

func (ns *NS) close() {
	if ns.handle != nil {
		ns.handle.Close()
	}
	if ns.ns.IsOpen() {
		_ = ns.ns.Close()
	}
}

// Enter locks the goroutine to its thread and moves it into the namespace until
// the test ends. The functions of subtests run in goroutines of their own: each
// has to enter itself. So does a goroutine that the test starts.
func (ns *NS) Enter(t testing.TB) {
	t.Helper()
	runtime.LockOSThread()
	origin, err := netns.Get()
	if err != nil {
		t.Fatalf("this thread's network namespace: %v", err)
	}
	if err := netns.Set(ns.ns); err != nil {
		t.Fatalf("enter network namespace: %v", err)
	}
	t.Cleanup(func() {
		if err := netns.Set(origin); err != nil {
			// Still locked, the thread ends with the goroutine.
			t.Errorf("leave network namespace: %v", err)
			return
		}
		_ = origin.Close()
		runtime.UnlockOSThread()
	})
}

// Do runs f in the namespace, in a goroutine of its own, and returns its error.
// Sockets that f opens stay in the namespace. f must not call t.Fatal.
func (ns *NS) Do(f func() error) error {
	return onThread(func() error {
		if err := netns.Set(ns.ns); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

// onThread runs f on a thread that ends with it, whatever f did to the thread.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := errors.New("the function ended its goroutine (t.Fatal?)")
		defer func() { done <- err }()
		err = f()
	}()
	return <-done
}

// Run runs a program in the namespace and returns its output; it fails the test
// if the program fails.
func (ns *NS) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	var output []byte
	err := ns.Do(func() error {
		var err error
		output, err = exec.Command(name, args...).CombinedOutput()
		return err
	})
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, output)
	}
	return string(output)
}

// Path returns a path that opens the namespace, as long as the test runs and in
// this process alone.
func (ns *NS) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), int(ns.ns)) }

// Handle returns a netlink handle on the namespace, for what has no method here.
// It is usable from any goroutine and closed with the namespace.
func (ns *NS) Handle() *netlink.Handle { return ns.handle }

// Connect joins two namespaces with a pair of links, both up.
func Connect(t testing.TB, a *NS, aLink string, b *NS, bLink string) {
	t.Helper()
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: aLink}, PeerName: bLink, PeerNamespace: netlink.NsFd(b.ns)}
	if err := a.handle.LinkAdd(pair); err != nil {
		t.Fatalf("veth %s, %s: %v", aLink, bLink, err)
	}
	a.SetUp(t, aLink)
	b.SetUp(t, bLink)
}

// AddDummy makes a dummy link and brings it up.
func (ns *NS) AddDummy(t testing.TB, name string) {
	t.Helper()
	ns.addLink(t, &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: name}})
}

// AddBridge makes a bridge with the given ports and brings it up.
func (ns *NS) AddBridge(t testing.TB, name string, ports ...string) {
	t.Helper()
	ns.addLink(t, &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}})
	bridge := ns.link(t, name)
	for _, port := range ports {
		if err := ns.handle.LinkSetMaster(ns.link(t, port), bridge); err != nil {
			t.Fatalf("put %s on bridge %s: %v", port, name, err)
		}
	}
}

func (ns *NS) addLink(t testing.TB, link netlink.Link) {
	t.Helper()
	if err := ns.handle.LinkAdd(link); err != nil {
		t.Fatalf("add %s %s: %v", link.Type(), link.Attrs().Name, err)
	}
	ns.SetUp(t, link.Attrs().Name)
}

func (ns *NS) link(t testing.TB, name string) netlink.Link {
	t.Helper()
	link, err := ns.handle.LinkByName(name)
	if err != nil {
		t.Fatalf("link %s: %v", name, err)
	}
	return link
}

// SetUp brings a link up.
func (ns *NS) SetUp(t testing.TB, link string) {
	t.Helper()
	if err := ns.handle.LinkSetUp(ns.link(t, link)); err != nil {
		t.Fatalf("bring %s up: %v", link, err)
	}
}

// AddAddr gives a link addresses such as 10.0.0.1/24 or fd00::1/64.
func (ns *NS) AddAddr(t testing.TB, link string, addrs ...string) {
	t.Helper()
	for _, text := range addrs {
		addr, err := netlink.ParseAddr(text)
		if err != nil {
			t.Fatalf("address %s: %v", text, err)
		}
		if err := ns.handle.AddrAdd(ns.link(t, link), addr); err != nil {
			t.Fatalf("address %s on %s: %v", text, link, err)
		}
	}
}

// AddRoute adds a route to a destination such as 10.1.0.0/16, 0.0.0.0/0 or ::/0:
// through the gateway via, an address, or where via is empty straight onto the
// link. link may be empty if via is given.
func (ns *NS) AddRoute(t testing.TB, dst, via, link string) {
	t.Helper()
	prefix, err := netip.ParsePrefix(dst)
	if err != nil {
		t.Fatalf("route: %v", err)
	}
	addr := prefix.Masked().Addr()
	route := &netlink.Route{Dst: &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(prefix.Bits(), addr.BitLen())}}
	if via != "" {
		gateway, err := netip.ParseAddr(via)
		if err != nil {
			t.Fatalf("route: %v", err)
		}
		route.Gw = gateway.AsSlice()
	} else if addr.Is4() {
		route.Scope = 253 // RT_SCOPE_LINK, or it cannot lead to a gateway
	}
	if link != "" {
		route.LinkIndex = ns.link(t, link).Attrs().Index
	}
	if err := ns.handle.RouteAdd(route); err != nil {
		t.Fatalf("route to %s via %q on %q: %v", dst, via, link, err)
	}
}

// Sysctl sets a sysctl such as net.ipv4.ip_forward in the namespace.
func (ns *NS) Sysctl(t testing.TB, name, value string) {
	t.Helper()
	if err := ns.writeSysctl(name, value); err != nil {
		t.Fatalf("sysctl %s=%s: %v", name, value, err)
	}
}

// ReadSysctl returns the value of a sysctl in the namespace.
func (ns *NS) ReadSysctl(t testing.TB, name string) string {
	t.Helper()
	var value []byte
	err := ns.Do(func() error {
		var err error
		value, err = os.ReadFile(sysctlPath(name))
		return err
	})
	if err != nil {
		t.Fatalf("sysctl %s: %v", name, err)
	}
	return strings.TrimSpace(string(value))
}

// writeSysctl writes through /proc/sys, which shows the namespace of the thread
// that opens it.
func (ns *NS) writeSysctl(name, value string) error {
	return ns.Do(func() error { return os.WriteFile(sysctlPath(name), []byte(value), 0o644) })
}

// sysctlPath turns the dots of a name into slashes; a name that has slashes is
// taken as it is, for links with a dot in their name.
func sysctlPath(name string) string {
	if !strings.Contains(name, "/") {
		name = strings.ReplaceAll(name, ".", "/")
	}
	return filepath.Join("/proc/sys", name)
}
