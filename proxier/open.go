package proxier

import (
	"errors"
	"io"

	"github.com/vipkit/vipkit/conntrack"
	"github.com/vipkit/vipkit/dummy"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/iptables"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/ports"
	"github.com/vipkit/vipkit/probe"
	"github.com/vipkit/vipkit/sysctl"
)

// OpenKernel opens the clients of a network namespace by its path
// ("/run/netns/blue"), or of the calling thread's with an empty one. The caller
// calls closeAll when it needs the kernel no more. On a system other than Linux
// the error is [errors.ErrUnsupported].
func OpenKernel(namespace string) (k Kernel, closeAll func() error, err error) {
	var closers []io.Closer
	closeAll = func() error {
		var errs []error
		for _, c := range closers {
			errs = append(errs, c.Close())
		}
		closers = nil
		return errors.Join(errs...)
	}
	var errs []error
	opened := func(c io.Closer, err error) {
		if err != nil {
			errs = append(errs, err)
			return
		}
		closers = append(closers, c)
	}
	v, err := ipvs.Open(&ipvs.Config{Namespace: namespace})
	opened(v, err)
	s, err := ipset.Open(&ipset.Config{Namespace: namespace})
	opened(s, err)
	d, err := dummy.Open(&dummy.Config{Namespace: namespace})
	opened(d, err)
	ct, err := conntrack.Open(&conntrack.Config{Namespace: namespace})
	opened(ct, err)
	t, err := iptables.Open(&iptables.Config{Namespace: namespace})
	errs = append(errs, err)
	sy, err := sysctl.Open(&sysctl.Config{Namespace: namespace})
	errs = append(errs, err)
	po, err := ports.Open(&ports.Config{Namespace: namespace})
	errs = append(errs, err)
	pr, err := probe.Open(&probe.Config{Namespace: namespace})
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return Kernel{}, nil, errors.Join(err, closeAll())
	}
	return Kernel{IPVS: v, IPSet: s, IPTables: t, Dummy: d, Conntrack: ct, Sysctl: sy, Probe: pr, Ports: po}, closeAll, nil
}
