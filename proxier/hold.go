package proxier

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/ports"
)

// heldPorts are the ports of the host that services have, if the configuration
// says that they are held. One that changes hands is held throughout.
type heldPorts struct {
	client ports.Client
	held   map[ports.Key]io.Closer
}

// portsOf returns the ports of the host that a service wants.
func (c *config) portsOf(svc Service) map[ports.Key]int {
	keys := make(map[ports.Key]int)
	c.tuples(svc, func(frontend int, key ipvs.Key) {
		if !svc.Frontends[frontend].Kind.virtual() {
			keys[ports.Key{Protocol: key.Protocol, Addr: key.Addr, Port: key.Port}] = frontend
		}
	})
	return keys
}

// hold takes the ports that services want and do not have yet, and returns what
// speaks against those services whose ports somebody else has. A service that
// cannot be had because of another reason keeps them until the next call that
// leaves nothing to do.
func (h *heldPorts) hold(ctx context.Context, c *config, services []Service) refusals {
	denied := make(refusals)
	if !c.HoldPorts {
		return denied
	}
	for _, svc := range services {
		if svc.Validate() != nil {
			continue // refused, and for that
		}
		for key, frontend := range c.portsOf(svc) {
			if h.held[key] != nil {
				continue // perhaps for another service: who gets the tuple is decided elsewhere
			}
			held, err := h.client.Hold(ctx, key)
			if err != nil {
				denied.add(svc.Name, fmt.Errorf("frontends[%d]: %w", frontend, err))
				continue
			}
			h.held[key] = held
		}
	}
	return denied
}

// release gives back the ports that no service in the kernel has.
func (h *heldPorts) release(a *applied) error {
	var errs []error
	for key, held := range h.held {
		if a.tuples[ipvs.Key{Protocol: key.Protocol, Addr: key.Addr, Port: key.Port}] == "" {
			errs = append(errs, held.Close())
			delete(h.held, key)
		}
	}
	return errors.Join(errs...)
}

// Close gives back the ports that the proxier holds ([Config.HoldPorts]). The
// kernel stays as it is. Without held ports there is nothing to close.
func (p *Proxier) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held.release(newApplied(p.config, newState()))
}
