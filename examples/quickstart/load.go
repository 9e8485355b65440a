package main

import (
	_ "embed"
	"io"

	"github.com/vipkit/vipkit/examples/internal/clusterdump"
)

//go:embed cluster-small.yaml
var sample []byte

// load reads the dump and makes services of it. The error says why nothing can
// be done with it.
func (o options) load(stdin io.Reader) (*clusterdump.Cluster, error) {
	source := clusterdump.Source{
		Stdin: stdin, Default: sample, Node: o.node,
		NodeFlag: "-node", NoService: "; to remove everything there is -remove",
	}
	if o.file != "" {
		source.Files = []string{o.file}
	}
	return source.Load()
}
