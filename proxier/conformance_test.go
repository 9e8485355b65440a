package proxier_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"
)

const conformanceFile = "../docs/conformance.md"

const conformanceHead = `# Conformance

What becomes of packets, by scenario. Written by ` + "`make golden`" + ` from the files of proxier/testdata/packets: a cell is ✓ where the
packet oracle (package kerneltest/oracle) gives the answer on the host in memory, and – where the line is not about that family or
protocol. ` + "`make test-kernel`" + ` sends the same packets between network namespaces, on Linux 6.1 and 6.12 with both back ends of
iptables, and fails unless each gets the same answer; see TestKernelPackets.

The world: a node with two pods (pod-a, pod-b), a pod of another node behind a router's link (far), and a client outside. "gateway" and
"router" are the node's addresses on the links of its pods and of far: who sees one of them sees source NAT. "rejected" is an ICMP
error or a reset, "dropped" silence; "unanswered" reaches an endpoint whose answer cannot come back.
`

// TestConformance holds docs/conformance.md to the scenarios: -update writes it.
func TestConformance(t *testing.T) {
	answers := make(map[string]map[string]bool) // scenario, line: right
	for _, g := range packetGroups(t) {
		snapshot := g.onHost(t)
		for _, s := range g.scenarios {
			answers[s.name()] = make(map[string]bool)
			for _, line := range s.packets {
				got, _ := s.ask(t, snapshot, line)
				answers[s.name()][line.text] = strings.Join(got, " | ") == strings.Join(line.want, " | ")
			}
		}
	}
	var b strings.Builder
	b.WriteString(conformanceHead)
	fmt.Fprintf(&b, "\n%d scenarios.\n", len(answers))
	files, err := filepath.Glob("testdata/packets/*.txtar")
	require.NoError(t, err)
	for _, file := range files {
		conformanceOf(t, &b, file, answers)
	}
	if *update {
		require.NoError(t, os.WriteFile(conformanceFile, []byte(b.String()), 0o644))
		return
	}
	have, err := os.ReadFile(conformanceFile)
	require.NoError(t, err)
	require.Equal(t, string(have), b.String(), "make golden writes it")
}

func conformanceOf(t *testing.T, b *strings.Builder, file string, answers map[string]map[string]bool) {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	archive := txtar.Parse(data)
	name := strings.TrimSuffix(filepath.Base(file), ".txtar")
	fmt.Fprintf(b, "\n## %s\n\n%s\n", name, archive.Comment)
	for _, f := range archive.Files {
		if f.Name != "packets" {
			fmt.Fprintf(b, "```\n%s```\n\n", f.Data)
			continue
		}
		b.WriteString("| packet | what comes of it | IPv4 tcp | udp | sctp | IPv6 tcp | udp | sctp |\n|---|---|---|---|---|---|---|---|\n")
		for line := range strings.Lines(string(f.Data)) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				conformanceRow(b, name, line, answers)
			}
		}
	}
}

func conformanceRow(b *strings.Builder, name, line string, answers map[string]map[string]bool) {
	words := strings.Fields(line)
	at := 2
	if _, only := strings.CutSuffix(words[0], ":"); only {
		at++
	}
	if words[at-1] == "ping" {
		at++
	}
	fmt.Fprintf(b, "| %s | %s |", strings.Join(words[:at], " "), strings.ReplaceAll(strings.Join(words[at:], " "), " | ", " or "))
	for _, family := range []string{"IPv4", "IPv6"} {
		for _, protocol := range []string{"tcp", "udp", "sctp"} {
			right, asked := answers[name+"/"+family+"/"+protocol][line]
			switch {
			case !asked:
				b.WriteString(" – |")
			case right:
				b.WriteString(" ✓ |")
			default:
				b.WriteString(" **no** |")
			}
		}
	}
	b.WriteString("\n")
}
