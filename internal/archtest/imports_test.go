package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/vipkit/vipkit"

// facilities are the packages over one kernel facility each.
var facilities = []string{"./ipvs", "./ipset", "./iptables", "./dummy", "./conntrack", "./sysctl", "./probe"}

// maxForeign bounds what a program that imports proxier has to compile.
const maxForeign = 20

// A rule says what packages must not import in the code that users compile.
type rule struct {
	// from and to take the import paths of others, and those of the module as go
	// list's arguments have them: "." is its root, "./ipvs" a package.
	from   func(pkg string) bool
	to     func(imported string) bool
	reason string
}

var rules = []rule{{
	from:   is("."),
	to:     ours,
	reason: "the root is the leaf that every package shares, and depends on none of them",
}, {
	from: is(facilities...),
	to: func(imported string) bool {
		return ours(imported) && imported != "." && !strings.HasPrefix(imported, "./internal/")
	},
	reason: "facility packages never import each other, nor what is built on them: each is usable alone",
}, {
	from: under("./proxier"),
	to: anyOf(is("syscall", "os/exec", "./internal/nl", "./internal/run", "./realserver"), under(
		"golang.org/x/sys", "github.com/vishvananda", "github.com/moby/ipvs", "github.com/coreos/go-iptables")),
	reason: "proxier reaches the kernel through the facility packages' interfaces alone, so that fakes can stand in for it",
}, {
	from:   is("./proxier"),
	to:     under("./proxier/kube", "./examples"),
	reason: "imports point one way: proxier does not know what is built on it",
}, {
	from:   not(anyOf(forTests, under("./examples"))),
	to:     anyOf(forTests, is("testing"), under("github.com/stretchr/testify")),
	reason: "only *test packages, examples and _test.go files import a *test package or testing: users' programs must not carry them",
}, {
	from:   not(anyOf(under("./proxier/kube", "./examples"))),
	to:     kubernetes,
	reason: "Kubernetes types appear in proxier/kube and examples only",
}, {
	from:   not(forTests),
	to:     is("./internal/testenv"),
	reason: "testenv is for tests",
}, {
	from:   not(anyOf(is("./internal/run"), forTests, under("./examples"))),
	to:     is("os/exec"),
	reason: "internal/run is the one place that starts a process",
}}

func is(paths ...string) func(string) bool {
	return func(pkg string) bool { return slices.Contains(paths, pkg) }
}

func under(roots ...string) func(string) bool {
	return func(pkg string) bool {
		return slices.ContainsFunc(roots, func(root string) bool {
			return pkg == root || strings.HasPrefix(pkg, root+"/")
		})
	}
}

func not(f func(string) bool) func(string) bool {
	return func(pkg string) bool { return !f(pkg) }
}

func anyOf(fs ...func(string) bool) func(string) bool {
	return func(pkg string) bool {
		return slices.ContainsFunc(fs, func(f func(string) bool) bool { return f(pkg) })
	}
}

// forTests knows the packages that exist for tests: those whose name ends in test,
// and what lies below them, and testenv. Packages of others are not meant.
func forTests(pkg string) bool {
	return pkg == "./internal/testenv" || ours(pkg) && slices.ContainsFunc(strings.Split(pkg, "/"), func(element string) bool {
		return strings.HasSuffix(element, "test")
	})
}

func kubernetes(pkg string) bool {
	first, _, _ := strings.Cut(pkg, "/")
	return first == "k8s.io" || strings.HasSuffix(first, ".k8s.io")
}

func ours(pkg string) bool { return strings.HasPrefix(pkg, ".") }

type listed struct {
	ImportPath string
	Imports    []string
	Module     *struct{ Path string }
}

// list runs go list for an operating system. What does not compile is listed too,
// and packages that match nothing are none.
func list(t *testing.T, goos string, args ...string) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{
		"list", "-e", "-json=ImportPath,Imports,Module"}, args...)...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	var packages []listed
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var pkg listed
		if err := decoder.Decode(&pkg); errors.Is(err, io.EOF) {
			return packages
		} else {
			require.NoError(t, err)
		}
		packages = append(packages, pkg)
	}
}

// relative turns the import path of a package of ours into one that starts with a dot.
func relative(pkg string) string {
	if rest, ok := strings.CutPrefix(pkg+"/", module+"/"); ok {
		return strings.TrimSuffix("./"+rest, "/")
	}
	return pkg
}

func TestImports(t *testing.T) {
	for _, goos := range []string{"linux", "darwin"} {
		packages := list(t, goos, "./...")
		require.NotEmpty(t, packages)
		for _, pkg := range packages {
			for _, imported := range pkg.Imports {
				for _, broken := range violations(relative(pkg.ImportPath), relative(imported)) {
					t.Errorf("%s: %s imports %s: %s", goos, pkg.ImportPath, imported, broken)
				}
			}
		}
	}
}

// violations returns the reasons why one package must not import the other.
func violations(from, to string) []string {
	var reasons []string
	for _, rule := range rules {
		if rule.from(from) && rule.to(to) {
			reasons = append(reasons, rule.reason)
		}
	}
	return reasons
}

// The rules themselves: what each is meant to catch, and to let pass.
func TestRules(t *testing.T) {
	forbidden := [][2]string{
		{".", "./ipvs"},
		{"./ipvs", "./ipset"}, {"./dummy", "./proxier"}, {"./ipset", "./kerneltest"},
		{"./proxier", "golang.org/x/sys/unix"}, {"./proxier", "syscall"}, {"./proxier", "./internal/nl"},
		{"./ipvs", "./realserver"}, {"./proxier", "./realserver"},
		{"./proxier/kube", "github.com/vishvananda/netlink"}, {"./proxier", "os/exec"}, {"./proxier", "./proxier/kube"},
		{"./ipvs", "./ipvs/ipvstest"}, {"./proxier", "testing"}, {"./internal/nl", "./internal/testenv"},
		{"./proxier", "k8s.io/api/core/v1"}, {"./kerneltest", "sigs.k8s.io/yaml"},
		{"./iptables", "os/exec"},
	}
	for _, pair := range forbidden {
		require.NotEmpty(t, violations(pair[0], pair[1]), "%s imports %s", pair[0], pair[1])
	}
	allowed := [][2]string{
		{".", "errors"}, {"./ipvs", "."}, {"./ipvs", "./internal/nl"}, {"./iptables", "./internal/run"},
		{"./proxier", "./ipvs"}, {"./proxier", "net/netip"}, {"./proxier/kube", "k8s.io/api/core/v1"}, {"./proxier/kube", "./proxier"},
		{"./realserver", "./dummy"}, {"./realserver", "github.com/vishvananda/netlink"},
		{"./ipvs/ipvstest", "testing"}, {"./ipvs/ipvstest", "./internal/testenv"}, {"./kerneltest", "./ipset/ipsettest"},
		{"./examples/quickstart", "./kerneltest"}, {"./internal/run", "os/exec"}, {"./ipvs", "golang.org/x/sys/unix"},
	}
	for _, pair := range allowed {
		require.Empty(t, violations(pair[0], pair[1]), "%s imports %s", pair[0], pair[1])
	}
}

// A program that imports proxier compiles few packages of others.
func TestProxierIsLight(t *testing.T) {
	var foreign []string
	for _, pkg := range list(t, "linux", "-deps", "./proxier/") {
		if pkg.Module == nil || pkg.Module.Path == module {
			continue
		}
		foreign = append(foreign, pkg.ImportPath)
		require.False(t, kubernetes(pkg.ImportPath), "proxier depends on %s: Kubernetes stays in proxier/kube", pkg.ImportPath)
		require.NotEqual(t, "testing", path.Base(pkg.ImportPath))
	}
	require.LessOrEqual(t, len(foreign), maxForeign,
		"proxier depends on so many packages of other modules:\n%s", strings.Join(foreign, "\n"))
}
