package kube_test

import (
	"bytes"
	"cmp"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/vipkit/vipkit/proxier"
	"github.com/vipkit/vipkit/proxier/kube"
)

// FuzzDecode: no input makes Decode or what follows it panic, and whatever
// services come of it are such as a proxier takes.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.txtar")
	require.NoError(f, err)
	for _, file := range files {
		script, err := txtar.ParseFile(file)
		require.NoError(f, err)
		f.Add(script.Files[0].Data)
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
