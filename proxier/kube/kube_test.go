package kube_test

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/vipkit/vipkit/proxier"
	"github.com/vipkit/vipkit/proxier/kube"
)

var update = flag.Bool("update", false, "rewrite the expected sections and golden files")

// TestScripts runs testdata/*/*.txtar. A section "objects.…" is the input, which
// is decoded; the others are what must come of it:
//
//	decode               the error of Decode
//	nodes                the nodes and the cluster's pod CIDRs
//	services NODE ZONE   the services on a node of that name and zone, or on none
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			script, err := txtar.ParseFile(file)
			require.NoError(t, err)
			runScript(t, script)
			if *update {
				require.NoError(t, os.WriteFile(file, txtar.Format(script), 0o644))
			}
		})
	}
}

func runScript(t *testing.T, script *txtar.Archive) {
	var objects *kube.Objects
	decoded := "ok\n"
	for i, section := range script.Files {
		name := strings.Fields(section.Name)
		var have string
		switch {
		case strings.HasPrefix(section.Name, "objects."):
			var err error
			if objects, err = kube.Decode(bytes.NewReader(section.Data)); err != nil {
				decoded = err.Error() + "\n"
			}
			continue
		case name[0] == "decode":
			have = decoded
		case name[0] == "nodes":
			have = renderNodes(objects)
		case name[0] == "services":
			name = append(name, "", "") // no node, no zone
			services, err := kube.Services(objects, kube.Node{Name: name[1], Zone: name[2]})
			have = render(services, err)
		default:
			require.Fail(t, "unknown section", section.Name)
		}
		if *update {
			script.Files[i].Data = []byte(have)
			continue
		}
		require.Equal(t, string(section.Data), have, section.Name)
	}
}

// TestDump compares what each node of a real cluster has to serve with
// testdata/golden.
func TestDump(t *testing.T) {
	dump, err := os.Open("testdata/cluster-small.yaml")
	require.NoError(t, err)
	defer dump.Close()
	objects, err := kube.Decode(dump)
	require.NoError(t, err)
	require.Equal(t, []string{"node-a", "node-b", "node-c"}, objects.NodeNames())
	for _, name := range objects.NodeNames() {
		t.Run(name, func(t *testing.T) {
			node, err := objects.Node(name)
			require.NoError(t, err)
			services, err := kube.Services(objects, node)
			require.NoError(t, err)
			golden := filepath.Join("testdata/golden", name+".txt")
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(render(services, err)), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), render(services, nil))
		})
	}
}

// render writes all of the services, a line a fact, and the error.
func render(services []proxier.Service, err error) string {
	var b strings.Builder
	kinds := map[proxier.FrontendKind]string{
		proxier.ClusterIP:      "cluster-ip",
		proxier.ExternalIP:     "external-ip",
		proxier.LoadBalancerIP: "load-balancer-ip",
		proxier.NodePort:       "node-port",
	}
	for _, s := range services {
		fmt.Fprintln(&b, s.Name, s.Protocol)
		for _, f := range s.Frontends {
			fmt.Fprintln(&b, " ", kinds[f.Kind], netip.AddrPortFrom(f.Addr, f.Port))
		}
		if s.Internal == proxier.Local {
			fmt.Fprintln(&b, "  internal local")
		}
		if s.External == proxier.Local {
			fmt.Fprintln(&b, "  external local")
		}
		for _, r := range s.SourceRanges {
			fmt.Fprintln(&b, "  source", r)
		}
		if s.Affinity != (proxier.Affinity{}) {
			fmt.Fprint(&b, "  affinity ", s.Affinity.Timeout)
			if s.Affinity.Bits4 != 0 || s.Affinity.Bits6 != 0 {
				fmt.Fprintf(&b, " /%d /%d", s.Affinity.Bits4, s.Affinity.Bits6)
			}
			fmt.Fprintln(&b)
		}
		if s.Scheduler != "" || s.Flags != 0 {
			fmt.Fprintf(&b, "  scheduler %s flags %#x\n", s.Scheduler, uint32(s.Flags))
		}
		if s.Forward != proxier.Masquerade {
			fmt.Fprint(&b, "  forward ", s.Forward)
			if s.Forward == proxier.Tunnel {
				fmt.Fprintf(&b, " %v port %d", s.Tunnel.Type, s.Tunnel.Port)
			}
			fmt.Fprintln(&b)
		}
		if s.HealthCheckPort != 0 {
			fmt.Fprintln(&b, "  health-check", s.HealthCheckPort)
		}
		if s.WithoutEndpoints != proxier.Reject {
			fmt.Fprintln(&b, "  without endpoints", s.WithoutEndpoints)
		}
		for _, e := range s.Endpoints {
			fmt.Fprintln(&b, " ", renderEndpoint(e))
		}
	}
	if err != nil {
		fmt.Fprintf(&b, "error: %s\n", strings.ReplaceAll(err.Error(), "\n", "\nerror: "))
	}
	return b.String()
}

func renderEndpoint(e proxier.Endpoint) string {
	words := []string{"->", netip.AddrPortFrom(e.Addr, e.Port).String()}
	if e.Weight != 1 {
		words = append(words, fmt.Sprintf("weight=%d", e.Weight))
	}
	if e.Upper != 0 || e.Lower != 0 {
		words = append(words, fmt.Sprintf("thresholds=%d,%d", e.Lower, e.Upper))
	}
	for _, w := range []struct {
		is   bool
		word string
	}{
		{e.Local, "local"},
		{e.Ready, "ready"},
		{e.Serving, "serving"},
		{e.Terminating, "terminating"},
		{e.Elsewhere, "elsewhere"},
	} {
		if w.is {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, " ")
}

func renderNodes(objects *kube.Objects) string {
	var b strings.Builder
	for _, name := range objects.NodeNames() {
		n, err := objects.Node(name)
		fmt.Fprintf(&b, "%s zone %q\n", n.Name, n.Zone)
		for _, a := range n.Addresses {
			fmt.Fprintln(&b, "  address", a)
		}
		for _, p := range n.PodCIDRs {
			fmt.Fprintln(&b, "  pods", p)
		}
		if err != nil {
			fmt.Fprintf(&b, "  error: %s\n", strings.ReplaceAll(err.Error(), "\n", "\n  error: "))
		}
	}
	cidrs, err := objects.PodCIDRs()
	fmt.Fprintln(&b, "cluster", cidrs)
	if err != nil {
		fmt.Fprintf(&b, "error: %s\n", strings.ReplaceAll(err.Error(), "\n", "\nerror: "))
	}
	return b.String()
}
