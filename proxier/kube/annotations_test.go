package kube_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/proxier/kube"
)

// TestAnnotationTable: the table in the documentation has exactly the names that
// there are, and each of IPVS's schedulers.
func TestAnnotationTable(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	var documented []string
	for _, m := range regexp.MustCompile(`(?m)^//\t`+regexp.QuoteMeta(kube.AnnotationPrefix)+`(\S+) +(.*)$`).FindAllStringSubmatch(string(doc), -1) {
		documented = append(documented, m[1])
		if m[1] == "scheduler" {
			require.Equal(t, ipvs.Schedulers(), strings.FieldsFunc(strings.ReplaceAll(m[2], " or ", ", "), func(r rune) bool { return r == ',' || r == ' ' }))
		}
	}
	slices.Sort(documented)

	objects := cluster(1)
	annotation := map[string]string{kube.AnnotationPrefix + "none-such": ""}
	for _, o := range []metav1.Object{objects.Services[0], objects.EndpointSlices[0]} {
		o.SetAnnotations(annotation)
	}
	_, err = kube.Services(objects, kube.Node{})
	faults := faultsOf(t, err)
	require.Len(t, faults, 2)
	require.EqualError(t, faults[0].Err, "unknown, want one of "+strings.Join(documented, ", "))
	require.EqualError(t, faults[1].Err, "unknown, want one of lower-threshold, upper-threshold, weight")
}

// TestAnnotationsAreStrict: values are written in one way:
// no spaces, signs, other bases or other cases.
func TestAnnotationsAreStrict(t *testing.T) {
	for _, name := range []string{
		"scheduler", "scheduler-flags", "one-packet", "forwarding", "tunnel-port", "affinity-prefix-ipv4", "affinity-prefix-ipv6",
		"without-endpoints", "weight", "upper-threshold", "lower-threshold",
	} {
		for _, value := range []string{"", " ", "+1", "0x1", "1 ", "1.0", "١", "RR", "True", "4294967297", "-0", "1_0"} {
			objects := cluster(2)
			objects.Services[0].Annotations = map[string]string{kube.AnnotationPrefix + name: value}
			services, err := kube.Services(objects, kube.Node{})
			faults := faultsOf(t, err)
			require.NotEmpty(t, faults, "%s: %q", name, value)
			require.Equal(t, "metadata.annotations["+kube.AnnotationPrefix+name+"]", faults[0].Field)
			require.Contains(t, faults[0].Err.Error(), "want ")
			require.Len(t, services, 1, "the other proceeds")
		}
	}
}
