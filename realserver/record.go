package realserver

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// A record is what Undo must know and the kernel keeps nowhere else: parameters as
// they were, and the GUE ports that are ours. It is the alias of the dummy link,
// written before what it is about is done, so that a crash loses nothing.
type record struct {
	params map[string]string // by name, with slashes
	ports  map[netip.AddrPort]bool
}

// recordMark begins every record.
const recordMark = "vipkit realserver"

// maxAlias is IFALIASZ less the terminator, in bytes (include/uapi/linux/if.h).
const maxAlias = 255

// confDir is where all the parameters are that a record tells of.
const confDir = "net/ipv4/conf/"

func newRecord() record {
	return record{params: make(map[string]string), ports: make(map[netip.AddrPort]bool)}
}

func (r record) clone() record {
	return record{params: maps.Clone(r.params), ports: maps.Clone(r.ports)}
}

func (r record) equal(other record) bool {
	return maps.Equal(r.params, other.params) && maps.Equal(r.ports, other.ports)
}

// String returns the record as it is stored: "vipkit realserver all/arp_ignore=0
// gue=192.0.2.1:5555".
func (r record) String() string {
	var b strings.Builder
	b.WriteString(recordMark)
	for _, name := range slices.Sorted(maps.Keys(r.params)) {
		fmt.Fprintf(&b, " %s=%s", strings.TrimPrefix(name, confDir), r.params[name])
	}
	for _, port := range slices.SortedFunc(maps.Keys(r.ports), netip.AddrPort.Compare) {
		fmt.Fprintf(&b, " gue=%s", port)
	}
	return b.String()
}

// parseRecord reads an alias. An empty one is what a link has that was made and
// got no further; anything else that is no record is an error.
func parseRecord(alias string) (record, error) {
	r := newRecord()
	if alias == "" {
		return r, nil
	}
	rest, ok := strings.CutPrefix(alias, recordMark)
	if !ok || rest != "" && rest[0] != ' ' {
		return r, fmt.Errorf("alias %q is no record", alias)
	}
	for _, word := range strings.Fields(rest) {
		at := strings.LastIndexByte(word, '=')
		if at < 1 || at == len(word)-1 {
			return r, fmt.Errorf("alias %q: %q is no entry of a record", alias, word)
		}
		name, value := word[:at], word[at+1:]
		if name != "gue" {
			r.params[confDir+name] = value
			continue
		}
		port, err := netip.ParseAddrPort(value)
		if err != nil {
			return r, fmt.Errorf("alias %q: %w", alias, err)
		}
		r.ports[port] = true
	}
	return r, nil
}
