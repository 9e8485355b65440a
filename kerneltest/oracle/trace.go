package oracle

import (
	"github.com/vipkit/vipkit/ipvs"
)

// Trace returns what can become of a packet that begins a connection: a verdict
// for each destination that the scheduler could pick, in the order of their
// addresses, or the only one there is. It changes nothing.
func (s *Snapshot) Trace(p Packet) ([]Verdict, error) {
	var verdicts []Verdict
	for i, n := 0, 1; i < n; i++ {
		w, err := s.newWalk(p)
		if err != nil {
			return nil, err
		}
		w.pick = func(_ *server, could []ipvs.DestinationInfo) ipvs.DestinationInfo {
			n = len(could)
			return could[i]
		}
		if err := w.run(); err != nil {
			return nil, err
		}
		verdicts = append(verdicts, w.verdict)
	}
	return verdicts, nil
}
