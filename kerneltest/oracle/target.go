package oracle

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/iptables"
)

// target does what a rule says with a packet that it matches.
func (w *walk) target(at place, text iptables.Rule, r *rule, depth int) (fate, error) {
	name := r.Target.Name
	say := func(then string) { w.step(at.String(), string(text), then) }
	switch name {
	case "":
		return next, nil
	case "ACCEPT":
		say("accepted")
		return accepted, nil
	case "DROP":
		say("dropped")
		w.verdict.Reason = fmt.Sprintf("%v: %s", at, text)
		return dropped, nil
	case "REJECT":
		say("rejected")
		w.verdict.Reason = fmt.Sprintf("%v: %s", at, text)
		return rejected, nil
	case "RETURN":
		say("back")
		return back, nil
	case "LOG", "NFLOG", "TRACE", "TCPMSS", "CHECKSUM":
		return next, nil
	case "MARK":
		if err := w.setMark(r.Target.Options); err != nil {
			return 0, err
		}
		say(fmt.Sprintf("mark %#x", w.p.mark))
		return next, nil
	case "SET":
		then, err := w.setTarget(r.Target.Options)
		if err == nil {
			say(then)
		}
		return next, err
	case "MASQUERADE", "SNAT", "DNAT":
		if err := w.translate(name, r.Target.Options); err != nil {
			return 0, err
		}
		if name == "DNAT" {
			say("destination " + endText(w.p.dst))
		} else {
			say("source " + w.p.src.Addr().String())
		}
		return accepted, nil
	case "CT":
		if len(r.Target.Options) == 1 && r.Target.Options[0].Name == "--notrack" {
			w.p.untracked = true
			say("untracked")
			return accepted, nil
		}
	}
	if _, chain := w.s.tables[w.p.family][at.table][name]; chain {
		say("")
		return w.chain(at.table, name, depth+1)
	}
	return 0, fmt.Errorf("the oracle does not know the target %s", name)
}

// setMark is MARK (net/netfilter/xt_mark.c, mark_tg): --set-xmark clears the
// bits of the mask and flips those of the value.
func (w *walk) setMark(options []iptables.Option) error {
	for _, o := range options {
		if len(o.Args) != 1 {
			return fmt.Errorf("MARK %s: want one value", o.Name)
		}
		value, mask, err := parseMark(o.Args[0])
		if err != nil {
			return err
		}
		switch o.Name {
		case "--set-xmark":
			w.p.mark = w.p.mark&^mask ^ value
		case "--set-mark":
			w.p.mark = w.p.mark&^(mask|value) ^ value
		case "--or-mark":
			w.p.mark |= value
		case "--and-mark":
			w.p.mark &= value
		case "--xor-mark":
			w.p.mark ^= value
		default:
			return fmt.Errorf("the oracle does not know MARK %s", o.Name)
		}
	}
	return nil
}

// setTarget is SET (net/netfilter/xt_set.c, set_target_v3).
func (w *walk) setTarget(options []iptables.Option) (string, error) {
	var entry ipset.Entry
	found := false
	for _, o := range options {
		switch {
		case o.Name == "--map-set" && len(o.Args) == 2:
			var err error
			if entry, found, err = w.find(o.Args[0], o.Args[1]); err != nil {
				return "", err
			}
		case o.Name == "--map-mark":
			if found {
				w.p.mark = w.p.mark&^entry.MarkMask ^ entry.Mark
			}
		case o.Name == "--map-prio" || o.Name == "--map-queue": // nothing that decides here
		default:
			return "", fmt.Errorf("the oracle does not know SET %s", o.Name)
		}
	}
	return fmt.Sprintf("mark %#x", w.p.mark), nil
}

// find looks the packet up in a set.
func (w *walk) find(name, dims string) (ipset.Entry, bool, error) {
	s := w.s.sets[name]
	if s == nil {
		return ipset.Entry{}, false, fmt.Errorf("no set %s", name)
	}
	return s.find(dims, &w.p)
}

var errLater = errors.New("the oracle follows an untranslated destination only")

// translate is NAT of the nat table.
func (w *walk) translate(target string, options []iptables.Option) error {
	option := func(name string) (string, bool) {
		for _, o := range options {
			if o.Name == name && len(o.Args) == 1 {
				return o.Args[0], true
			}
		}
		return "", false
	}
	if target == "MASQUERADE" {
		route, ok := w.s.network.lookup(w.p.dst.Addr())
		if !ok {
			return fmt.Errorf("no route to %v", w.p.dst.Addr())
		}
		return w.masquerade(w.s.network.sourceFor(route, w.p.dst.Addr()))
	}
	if to, ok := option("--to-source"); ok && target == "SNAT" {
		a, err := parseEnd(to, w.p.src.Port())
		if err != nil {
			return err
		}
		return w.masquerade(a.Addr())
	}
	to, ok := option("--to-destination")
	if !ok {
		return fmt.Errorf("the oracle does not know %s without an address", target)
	}
	if w.p.translated {
		return errLater
	}
	a, err := parseEnd(to, w.p.dst.Port())
	w.p.dst, w.p.translated = a, true
	return err
}

// masquerade gives the packet another source.
func (w *walk) masquerade(a netip.Addr) error {
	if !a.IsValid() {
		return errors.New("no address of this host to masquerade with")
	}
	w.p.src, w.p.masked = netip.AddrPortFrom(a, w.p.src.Port()), true
	return nil
}

// parseEnd reads "10.0.0.1" or "10.0.0.1:80"; a range of them is not known.
func parseEnd(text string, port uint16) (netip.AddrPort, error) {
	if strings.Contains(text, "-") {
		return netip.AddrPort{}, fmt.Errorf("the oracle does not know which of %s it is", text)
	}
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(a, port), nil
	}
	return netip.ParseAddrPort(text)
}
