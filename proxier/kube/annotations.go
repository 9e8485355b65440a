package kube

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/proxier"
)

// AnnotationPrefix begins the names of the annotations that this package reads,
// as in "vipkit.github.io/scheduler".
const AnnotationPrefix = "vipkit.github.io/"

// Names of annotations, after the prefix.
const (
	annScheduler      = "scheduler"
	annSchedulerFlags = "scheduler-flags"
	annOnePacket      = "one-packet"
	annForwarding     = "forwarding"
	annTunnelPort     = "tunnel-port"
	annAffinityIPv4   = "affinity-prefix-ipv4"
	annAffinityIPv6   = "affinity-prefix-ipv6"
	annWithout        = "without-endpoints"
	annWeight         = "weight"
	annUpper          = "upper-threshold"
	annLower          = "lower-threshold"
)

// annotation is how one is read.
type annotation struct {
	read func(value string, into *settings) error
	// slice says that EndpointSlices have it too.
	slice bool
}

var annotations = map[string]annotation{
	annScheduler: {read: func(v string, s *settings) (err error) {
		s.scheduler, err = oneOf(v, ipvs.Schedulers())
		return err
	}},
	annSchedulerFlags: {read: readSchedulerFlags},
	annOnePacket: {read: func(v string, s *settings) error {
		is, err := oneOf(v, []string{"true", "false"})
		s.onePacket = is == "true"
		return err
	}},
	annForwarding: {read: readForwarding},
	annTunnelPort: {read: func(v string, s *settings) error {
		n, err := parseNumber(v, 1, math.MaxUint16)
		s.tunnelPort = uint16(n)
		return err
	}},
	annAffinityIPv4: {read: func(v string, s *settings) error {
		n, err := parseNumber(v, 1, 32)
		s.bits4 = uint8(n)
		return err
	}},
	annAffinityIPv6: {read: func(v string, s *settings) error {
		n, err := parseNumber(v, 1, 128)
		s.bits6 = uint8(n)
		return err
	}},
	annWithout: {read: func(v string, s *settings) error {
		what, err := oneOf(v, []string{"reject", "drop"})
		if what == "drop" {
			s.withoutEndpoints = proxier.Drop
		}
		return err
	}},
	annWeight: {slice: true, read: func(v string, s *settings) error {
		n, err := parseNumber(v, 0, math.MaxUint16)
		if err == nil {
			s.load.weight = &n
		}
		return err
	}},
	annUpper: {slice: true, read: func(v string, s *settings) (err error) {
		s.load.upper, err = parseNumber(v, 1, math.MaxInt32)
		return err
	}},
	annLower: {slice: true, read: func(v string, s *settings) (err error) {
		s.load.lower, err = parseNumber(v, 1, math.MaxInt32)
		return err
	}},
}

func readForwarding(v string, s *settings) error {
	var names []string
	for _, w := range forwardings {
		if w.name == v {
			s.forwarding = w
			return nil
		}
		names = append(names, w.name)
	}
	_, err := oneOf(v, names)
	return err
}

// readSchedulerFlags reads a list as "sh-fallback,sh-port".
func readSchedulerFlags(v string, s *settings) error {
	known := []string{"sh-fallback", "sh-port", "mh-fallback", "mh-port"}
	for word := range strings.SplitSeq(v, ",") {
		word = strings.TrimSpace(word)
		if !slices.Contains(known, word) {
			return fmt.Errorf("%q, want some of %s with commas between", v, strings.Join(known, ", "))
		}
		of, flag, _ := strings.Cut(word, "-")
		if s.flagsOf != "" && s.flagsOf != of {
			return fmt.Errorf("%q, want flags of one scheduler", v)
		}
		s.flagsOf = of
		if flag == "fallback" {
			s.flags |= ipvs.Sched1
		} else {
			s.flags |= ipvs.Sched2
		}
	}
	return nil
}

// readAnnotations reads those of a Service or an EndpointSlice that begin with
// our prefix, and returns nil if none does. One that has a fault counts as absent.
func readAnnotations(all map[string]string, ofSlice bool, f *objectFaults) *settings {
	names := ownAnnotations(all)
	if len(names) == 0 {
		return nil
	}
	s := new(settings)
	for _, name := range names {
		a, known := annotations[name]
		if !known || ofSlice && !a.slice {
			f.add(annotationField(name), "unknown, want one of %s", strings.Join(annotationNames(ofSlice), ", "))
			continue
		}
		read := *s
		if err := a.read(all[AnnotationPrefix+name], &read); err != nil {
			f.wrap(annotationField(name), err)
			continue
		}
		*s = read
	}
	switch l := &s.load; {
	case l.lower > 0 && l.upper == 0:
		f.add(annotationField(annLower), "%d, want one only together with %s", l.lower, annUpper)
		l.lower = 0
	case l.lower > l.upper:
		f.add(annotationField(annLower), "%d, want at most %s, %d", l.lower, annUpper, l.upper)
		l.upper, l.lower = 0, 0
	}
	return s
}

// ownAnnotations returns the names after our prefix, sorted.
func ownAnnotations(all map[string]string) []string {
	var names []string
	for key := range all {
		if name, own := strings.CutPrefix(key, AnnotationPrefix); own {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// annotationNames returns the names that there are, sorted.
func annotationNames(ofSlice bool) []string {
	var names []string
	for name, a := range annotations {
		if a.slice || !ofSlice {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func annotationField(name string) string {
	return "metadata.annotations[" + AnnotationPrefix + name + "]"
}

func oneOf(v string, want []string) (string, error) {
	if !slices.Contains(want, v) {
		return "", fmt.Errorf("%q, want one of %s", v, strings.Join(want, ", "))
	}
	return v, nil
}

func parseNumber(v string, lowest, highest uint32) (uint32, error) {
	n, err := strconv.ParseUint(v, 10, 32)
	if err != nil || n < uint64(lowest) || n > uint64(highest) {
		return 0, fmt.Errorf("%q, want %d–%d", v, lowest, highest)
	}
	return uint32(n), nil
}
