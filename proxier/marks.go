package proxier

import (
	"fmt"
	"hash/fnv"
)

// assignMarks gives each of the services that [needsMark] a firewall mark. One
// that has a mark (have) keeps it. A new one gets what a hash of its name says,
// or the next one free, so that the same services get the same marks on every
// fresh host.
//
// Services that stay as they are keep theirs.
func assignMarks(c *config, services []Service, have map[string]uint32, stays others) (map[string]uint32, map[string]error) {
	marks := make(map[string]uint32)
	taken := map[uint32]bool{c.dropMark: true}
	for name, m := range have {
		if stays(name) {
			taken[m] = true
		}
	}
	for _, svc := range services {
		if m, ok := have[svc.Name]; ok && needsMark(svc) && !taken[m] && c.LocalMarks.holds(m) {
			marks[svc.Name], taken[m] = m, true
		}
	}
	var failed map[string]error
	size := c.LocalMarks.Last - c.LocalMarks.First + 1
	for _, svc := range services {
		if _, done := marks[svc.Name]; done || !needsMark(svc) {
			continue
		}
		if uint32(len(taken)) >= size {
			if failed == nil {
				failed = make(map[string]error)
			}
			failed[svc.Name] = fmt.Errorf("all %d firewall marks %#x–%#x are taken: policy Local needs one", size, c.LocalMarks.First, c.LocalMarks.Last)
			continue
		}
		h := fnv.New32a()
		_, _ = h.Write([]byte(svc.Name)) // a hash never fails
		m := c.LocalMarks.First + h.Sum32()%size
		for taken[m] {
			m = c.LocalMarks.First + (m-c.LocalMarks.First+1)%size
		}
		marks[svc.Name], taken[m] = m, true
	}
	return marks, failed
}

func (r MarkRange) holds(m uint32) bool { return r.First <= m && m <= r.Last }

// marks returns the mark of each service that has one in the kernel.
func (s *state) marks(c *config) map[string]uint32 {
	marks := make(map[string]uint32)
	for _, f := range families {
		for key, e := range s.entries(setLocal, f) {
			if name := s.entries(setLedger, f)[key].Comment; name != "" && e.Mark != c.dropMark {
				marks[name] = e.Mark
			}
		}
	}
	return marks
}
