package kube_test

import (
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/vipkit/vipkit/proxier/kube"
)

func readDump(t testing.TB) *kube.Objects {
	t.Helper()
	dump, err := os.Open("testdata/cluster-small.yaml")
	require.NoError(t, err)
	defer dump.Close()
	objects, err := kube.Decode(dump)
	require.NoError(t, err)
	return objects
}

func TestDecodeJSON(t *testing.T) {
	dump, err := os.ReadFile("testdata/cluster-small.yaml")
	require.NoError(t, err)
	asJSON, err := yaml.YAMLToJSON(dump)
	require.NoError(t, err)
	have, err := kube.Decode(strings.NewReader(string(asJSON)))
	require.NoError(t, err)
	require.Equal(t, readDump(t), have)
}

// TestDecodeAgrees holds what Decode made of the dump against what the API's
// own types make of each item.
func TestDecodeAgrees(t *testing.T) {
	dump, err := os.ReadFile("testdata/cluster-small.yaml")
	require.NoError(t, err)
	var services corev1.ServiceList
	require.NoError(t, yaml.Unmarshal(dump, &services))
	want := make(map[string]corev1.Service)
	for _, s := range services.Items {
		if s.Kind == "Service" {
			want[s.Namespace+"/"+s.Name] = s
		}
	}
	objects := readDump(t)
	require.Len(t, objects.Services, len(want))
	for _, s := range objects.Services {
		require.Equal(t, want[s.Namespace+"/"+s.Name], *s)
	}
	require.Len(t, objects.EndpointSlices, len(services.Items)-len(want)-len(objects.Nodes))
}

func TestDecodeErrors(t *testing.T) {
	for _, empty := range []string{"", "\n", "# nothing\n", "---\n", "\ufeff", "...\n---\n...\n", "null"} {
		objects, err := kube.Decode(strings.NewReader(empty))
		require.ErrorIs(t, err, kube.ErrEmpty, "%q", empty)
		require.Equal(t, 0, len(objects.Services)+len(objects.EndpointSlices)+len(objects.Nodes))
	}

	objects, err := kube.Decode(io.MultiReader(
		strings.NewReader(`{"kind": "Node", "apiVersion": "v1", "metadata": {"name": "a"}}`),
		iotest.ErrReader(fs.ErrClosed)))
	require.ErrorIs(t, err, fs.ErrClosed)
	require.Empty(t, objects.Nodes, "half of a file is no state")

	_, err = kube.Decode(strings.NewReader("{apiVersion: v1, kind: Node, metadata: {name: a}, spec: {podCIDR: 5}}"))
	var fault *kube.ObjectError
	require.ErrorAs(t, err, &fault)
	require.Equal(t, kube.ObjectError{
		Document: 1, Kind: "Node", Name: "a", Field: "spec.podCIDR", Err: fault.Err,
	}, *fault)
	require.EqualError(t, fault.Err, "5 is no string")
	require.EqualError(t, fault, "document 1 (Node a): spec.podCIDR: 5 is no string")
}

// TestDecodeHostile: input that wants to be large, deep or several lines of a
// log is refused in short time and in one line.
func TestDecodeHostile(t *testing.T) {
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 12; i++ {
		last := fmt.Sprintf("*a%d", i-1)
		bomb += fmt.Sprintf("a%d: &a%d [%s%s]\n", i, i, strings.Repeat(last+", ", 9), last)
	}
	for _, c := range []struct{ input, want string }{
		{bomb, "document 1: yaml: document contains excessive aliasing"},
		{"a: " + strings.Repeat("[", 100_000), "document 1: yaml: exceeded max depth of 10000"},
		{`{"a": ` + strings.Repeat("[", 100_000), "document 1: yaml: exceeded max depth of 10000"},
		{"? {a: 1}\n: 2\n", `document 1: yaml: invalid map key: map[interface {}]interface {}{"a":1}`},
		{"{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"a\\nb\", \"labels\": {\"c\\u001b\": [\n1]}}}",
			`document 1 ("Service a\nb"): "metadata.labels.c\x1b": [1] is no string`},
	} {
		_, err := kube.Decode(strings.NewReader(c.input))
		require.EqualError(t, err, c.want)
	}
}

func TestNode(t *testing.T) {
	objects := readDump(t)
	_, err := objects.Node("node-x")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.EqualError(t, err, "Node node-x: file does not exist; nodes: node-a, node-b, node-c")

	var none kube.Objects
	_, err = none.Node("node-x")
	require.EqualError(t, err, "Node node-x: file does not exist; nodes: none")
	require.Empty(t, none.NodeNames())
	cidrs, err := none.PodCIDRs()
	require.NoError(t, err)
	require.Empty(t, cidrs)
	services, err := kube.Services(&none, kube.Node{})
	require.NoError(t, err)
	require.Empty(t, services)
}

// TestServicesOrder: neither the order of the objects nor that they were used
// before makes a difference.
func TestServicesOrder(t *testing.T) {
	objects := readDump(t)
	node, err := objects.Node("node-b")
	require.NoError(t, err)
	want, err := kube.Services(objects, node)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		rng.Shuffle(len(objects.Services), func(i, j int) {
			objects.Services[i], objects.Services[j] = objects.Services[j], objects.Services[i]
		})
		rng.Shuffle(len(objects.EndpointSlices), func(i, j int) {
			objects.EndpointSlices[i], objects.EndpointSlices[j] = objects.EndpointSlices[j], objects.EndpointSlices[i]
		})
		have, err := kube.Services(objects, node)
		require.NoError(t, err)
		require.Equal(t, want, have)
	}
	have, err := kube.Services(readDump(t), node)
	require.NoError(t, err)
	require.Equal(t, want, have)
}

// TestServicesOfWatch: objects need not come from Decode; their faults then
// have no document.
func TestServicesOfWatch(t *testing.T) {
	meta := metav1.ObjectMeta{Namespace: "shop", Name: "web"}
	objects := &kube.Objects{
		Services: []*corev1.Service{{ObjectMeta: meta, Spec: corev1.ServiceSpec{
			ClusterIP: "10.96.0.1", Ports: []corev1.ServicePort{{Port: 80}, {Name: "x", Port: 0}},
		}}},
		EndpointSlices: []*discoveryv1.EndpointSlice{{AddressType: "IPv5", ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web-1", Labels: map[string]string{discoveryv1.LabelServiceName: "web"},
		}}},
	}
	services, err := kube.Services(objects, kube.Node{Name: "node-a"})
	require.Empty(t, services)
	require.EqualError(t, err, `Service shop/web: spec.ports[1].port: 0, want 1–65535
EndpointSlice shop/web-1: addressType: "IPv5", want IPv4, IPv6 or FQDN`)
	var joined interface{ Unwrap() []error }
	require.ErrorAs(t, err, &joined)
	require.Len(t, joined.Unwrap(), 2)
}
