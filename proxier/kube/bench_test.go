package kube_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vipkit/vipkit/proxier/kube"
)

// BenchmarkServices reads a whole cluster of Services with ten endpoints each.
func BenchmarkServices(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprintf("services=%d", n), func(b *testing.B) {
			objects := cluster(n)
			b.ReportAllocs()
			for b.Loop() {
				services, err := kube.Services(objects, kube.Node{Name: "node-1", Zone: "zone-1"})
				require.NoError(b, err)
				require.Len(b, services, n)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/service")
		})
	}
}

func cluster(n int) *kube.Objects {
	objects := &kube.Objects{}
	name, port := "http", int32(8080)
	for i := range n {
		objects.Services = append(objects.Services, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "load", Name: fmt.Sprintf("web-%d", i)},
			Spec: corev1.ServiceSpec{
				ClusterIP: fmt.Sprintf("10.96.%d.%d", i/250, i%250+1),
				Ports:     []corev1.ServicePort{{Name: name, Port: 80}},
			},
		})
		slice := &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "load", Name: fmt.Sprintf("web-%d-1", i),
				Labels: map[string]string{discoveryv1.LabelServiceName: fmt.Sprintf("web-%d", i)},
			},
			AddressType: discoveryv1.AddressTypeIPv4,
			Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
		}
		for e := range 10 {
			node := fmt.Sprintf("node-%d", e)
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
				Addresses: []string{fmt.Sprintf("10.%d.%d.%d", 100+e, i/250, i%250+1)}, NodeName: &node,
			})
		}
		objects.EndpointSlices = append(objects.EndpointSlices, slice)
	}
	return objects
}

// BenchmarkTracker changes one endpoint of one Service among many, twice.
func BenchmarkTracker(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprintf("services=%d", n), func(b *testing.B) {
			tracker, slice := loaded(b, n)
			b.ReportAllocs()
			for b.Loop() {
				oneEndpoint(b, tracker, slice)
			}
		})
	}
}
