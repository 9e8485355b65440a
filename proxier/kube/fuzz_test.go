package kube_test

import (
	"bytes"
	"cmp"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vipkit/vipkit/proxier"
	"github.com/vipkit/vipkit/proxier/kube"
)

// FuzzDecode: no input makes Decode or what follows it panic, and whatever
// services come of it are such as a proxier takes.
func FuzzDecode(f *testing.F) {
	for _, input := range inputs(f) {
		f.Add(input)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		objects, err := kube.Decode(bytes.NewReader(input))
		require.NotNil(t, objects)
		if err != nil {
			require.NotEmpty(t, err.Error())
		}
		_, _ = objects.PodCIDRs()
		node := kube.Node{Name: "node-a", Zone: "zone-1"}
		for _, name := range objects.NodeNames() {
			node, _ = objects.Node(name)
			require.Equal(t, name, node.Name)
		}
		services, _ := kube.Services(objects, node)
		require.True(t, slices.IsSortedFunc(services, func(a, b proxier.Service) int {
			return cmp.Compare(a.Name, b.Name)
		}))
		for i, s := range services {
			require.NoError(t, s.Validate(), "%v", s)
			require.False(t, i > 0 && services[i-1].Name == s.Name, "two services are named %s", s.Name)
		}
	})
}

// FuzzTracker: what Decode makes of any input comes to a tracker as a program of
// events says, and what it yields adds up to what Services makes of it.
func FuzzTracker(f *testing.F) {
	for i, input := range inputs(f) {
		f.Add(input, []byte{0, 4, 8, 12, 3, 16, 20, 3, 1, 5, 2, 3, byte(i)})
	}
	f.Fuzz(func(t *testing.T, input, program []byte) {
		objects, err := kube.Decode(bytes.NewReader(input))
		if err != nil {
			require.NotEmpty(t, err.Error())
		}
		var all []metav1.Object
		for _, s := range objects.Services {
			all = append(all, s)
		}
		for _, s := range objects.EndpointSlices {
			all = append(all, s)
		}
		if len(all) == 0 {
			return
		}
		f := newFollower(kube.Node{Name: "node-a", Zone: "zone-1"})
		for _, b := range program[:min(len(program), 64)] {
			switch o := all[int(b)/4%len(all)]; b % 4 {
			case 0:
				f.set(o)
			case 1:
				f.delete(o)
			case 2: // what belongs together belongs elsewhere now
				o = deepCopy(o)
				o.SetLabels(all[int(b)/8%len(all)].GetLabels())
				o.SetAnnotations(all[int(b)/16%len(all)].GetAnnotations())
				f.set(o)
			case 3:
				f.changes(t)
			}
		}
		f.changes(t)
		for _, s := range f.have {
			require.NoError(t, s.Validate())
		}
	})
}

func deepCopy(o metav1.Object) metav1.Object {
	if s, ok := o.(*corev1.Service); ok {
		return s.DeepCopy()
	}
	return o.(*discoveryv1.EndpointSlice).DeepCopy()
}

// inputs are what the scripts decode.
func inputs(f *testing.F) [][]byte {
	files, err := filepath.Glob("testdata/*/*.txtar")
	require.NoError(f, err)
	var inputs [][]byte
	for _, file := range files {
		script, err := txtar.ParseFile(file)
		require.NoError(f, err)
		inputs = append(inputs, script.Files[0].Data)
	}
	return inputs
}
