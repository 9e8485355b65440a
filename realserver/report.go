package realserver

import "strings"

// Report is what [Prepare] or [Undo] did.
type Report struct {
	// Done are the writes that succeeded, in their order, as commands that
	// would have done the same: "ip addr add 192.0.2.80/32 dev vipkit-rs".
	// There are none where everything was as it should be.
	Done []string
	// Left says what was found and stays as it is though it matters: a
	// parameter that is quiet enough already, a GUE port that somebody else
	// has opened, a parameter that somebody has set since Prepare did.
	Left []string
}

// String returns one line for each of Done, and one for each of Left behind "# ".
func (r Report) String() string {
	var b strings.Builder
	for _, line := range r.Done {
		b.WriteString(line + "\n")
	}
	for _, line := range r.Left {
		b.WriteString("# " + line + "\n")
	}
	return b.String()
}
