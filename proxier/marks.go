package proxier

import (
	"fmt"
	"hash/fnv"
)

// assignMarks gives each of the services that [needsMark] a firewall mark. One
// that has a mark in have keeps it. A new one gets what a hash of its name says,
// or the next one free, so that the same services get the same marks on every
// fresh host.
func assignMarks(c *config, services []Service, have *state) (map[string]uint32, map[string]error) {
	marks := make(map[string]uint32)
	had := have.marks()
	// A mark is nobody else's until the entries that carry it are gone.
	owner := make(map[uint32]string, len(had))
	for name, m := range had {
		owner[m] = name
	}
	taken := make(map[uint32]bool)
	free := func(m uint32, name string) bool {
		if o, ok := have.elsewhere.markOwner(m); ok && o != name {
			return false
		}
		return !taken[m] && (owner[m] == "" || owner[m] == name)
	}
	for _, svc := range services {
		if m, ok := had[svc.Name]; ok && needsMark(svc) && free(m, svc.Name) && c.LocalMarks.holds(m) {
			marks[svc.Name], taken[m] = m, true
		}
	}
	var failed map[string]error
	for _, svc := range services {
		if _, done := marks[svc.Name]; done || !needsMark(svc) {
			continue
		}
		m, ok := nextMark(c, svc.Name, free)
		if !ok {
			if failed == nil {
				failed = make(map[string]error)
			}
			failed[svc.Name] = fmt.Errorf("all firewall marks %#x–%#x are taken: policy Local needs one", c.LocalMarks.First, c.LocalMarks.Last)
			continue
		}
		marks[svc.Name], taken[m] = m, true
	}
	return marks, failed
}

// nextMark returns the mark that a hash of the name says, or the next one free.
func nextMark(c *config, name string, free func(uint32, string) bool) (uint32, bool) {
	size := c.LocalMarks.Last - c.LocalMarks.First + 1
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // a hash never fails
	first := h.Sum32() % size
	for i := range size {
		if m := c.LocalMarks.First + (first+i)%size; free(m, name) {
			return m, true
		}
	}
	return 0, false
}

func (r MarkRange) holds(m uint32) bool { return r.First <= m && m <= r.Last }

// marks returns the mark of each service that has one in the kernel.
func (s *state) marks() map[string]uint32 {
	marks := make(map[string]uint32)
	for _, f := range families {
		for key, e := range s.entries(setLocal, f) {
			if name := s.entries(setLedger, f)[key].Comment; name != "" {
				marks[name] = e.Mark
			}
		}
	}
	return marks
}
