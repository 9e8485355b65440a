package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Most lines of a file, and of a function, that users compile. Aim at 300 for a
// file: what is above is room for a last change before it is split.
const (
	maxFile     = 320
	maxFunction = 60
)

// larger are the exceptions, by file or by file and function. The list only gets
// shorter: one that is small enough has to go.
var larger = map[string]bool{
	"proxier/rules.go rules": true, // one table, in the order in which a packet meets it
}

// TestSize keeps files and functions as small as a reader wants them. Tests, and
// packages that are about tests, may be longer.
func TestSize(t *testing.T) {
	root := filepath.Join("..", "..")
	found := make(map[string]string)
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(name, ".") || strings.HasSuffix(name, "test") || name == "build" || name == "testdata"):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		return measure(path, filepath.ToSlash(rel), found)
	}))
	for what, size := range found {
		if !larger[what] {
			t.Errorf("%s has %s", what, size)
		}
	}
	for what := range larger {
		if found[what] == "" {
			t.Errorf("%s is small enough by now: take it off the list", what)
		}
	}
}

// measure adds to found what is too long in a file.
func measure(path, name string, found map[string]string) error {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	if n := files.File(file.FileStart).LineCount(); n > maxFile+1 { // the last line is empty
		found[name] = fmt.Sprintf("%d lines: at most %d", n-1, maxFile)
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if n := files.Position(f.End()).Line - files.Position(f.Pos()).Line + 1; n > maxFunction {
			found[name+" "+f.Name.Name] = fmt.Sprintf("%d lines: at most %d", n, maxFunction)
		}
	}
	return nil
}
