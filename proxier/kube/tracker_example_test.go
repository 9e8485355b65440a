package kube_test

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vipkit/vipkit/proxier/kube"
)

// What the handlers of two watches call, and what a proxy has to do then.
func ExampleTracker() {
	tracker := kube.NewTracker(kube.Node{Name: "node-a"})
	changes := func(event string) {
		changes, err := tracker.Changes() // for proxier.Proxier.Apply
		fmt.Println(event)
		for _, s := range changes.Upsert {
			fmt.Println("  set", s.Name, "weights of endpoints:")
			for _, e := range s.Endpoints {
				fmt.Println("   ", e.Addr, e.Weight)
			}
		}
		for _, name := range changes.Delete {
			fmt.Println("  delete", name)
		}
		if err != nil {
			fmt.Println("  error:", err)
		}
	}

	port := int32(8080)
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web-1",
			Labels: map[string]string{discoveryv1.LabelServiceName: "web"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.244.0.5"}}},
		Ports:       []discoveryv1.EndpointPort{{Port: &port}},
	}
	tracker.SetEndpointSlice(slice)
	changes("slice added")

	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
		Spec:       corev1.ServiceSpec{ClusterIP: "10.96.0.1", Ports: []corev1.ServicePort{{Port: 80}}},
	}
	tracker.SetService(service)
	changes("Service added")

	tracker.SetService(service)
	changes("the same again")

	service = service.DeepCopy()
	service.Annotations = map[string]string{kube.AnnotationPrefix + "weight": "ten"}
	tracker.SetService(service)
	changes("wrong annotation")

	service = service.DeepCopy()
	service.Annotations = map[string]string{kube.AnnotationPrefix + "weight": "10"}
	tracker.SetService(service)
	changes("right annotation")

	tracker.DeleteService("shop", "web")
	changes("Service deleted")

	// Output:
	// slice added
	// Service added
	//   set shop/web weights of endpoints:
	//     10.244.0.5 1
	// the same again
	// wrong annotation
	//   error: Service shop/web: metadata.annotations[vipkit.github.io/weight]: "ten", want 0–65535
	// right annotation
	//   set shop/web weights of endpoints:
	//     10.244.0.5 10
	// Service deleted
	//   delete shop/web
}
