package kube_test

import (
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/vipkit/vipkit/proxier/kube"
)

// What is wrong is named, and what is right is there.
func ExampleDecode() {
	objects, err := kube.Decode(strings.NewReader(`
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  clusterIP: 10.96.0.1
  ports: [{port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: dns, namespace: shop}
spec:
  clusterIP: 10.96.0.2
  ports: [{name: udp, port: 53}, {name: tcp, port: domain}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
`))
	fmt.Println(len(objects.Services), "Service")
	fmt.Println(err)
	// Output:
	// 1 Service
	// document 2 (Service shop/dns): spec.ports[1].port: "domain" is no integer of 32 bits
	// document 3 (ConfigMap shop/settings): kind: "ConfigMap" of apiVersion "v1", want Service (v1), EndpointSlice (discovery.k8s.io/v1) or Node (v1)
}

// From a cluster's objects to the services of one of its nodes.
func ExampleServices() {
	dump, err := os.Open("testdata/cluster-small.yaml")
	if err != nil {
		panic(err)
	}
	defer dump.Close()
	objects, err := kube.Decode(dump)
	if err != nil {
		panic(err)
	}
	node, err := objects.Node("node-a")
	if err != nil {
		panic(err)
	}
	services, err := kube.Services(objects, node)
	if err != nil {
		panic(err)
	}
	for _, s := range services {
		if !strings.HasPrefix(s.Name, "shop/frontend") {
			continue
		}
		fmt.Println(s.Name, s.Protocol)
		for _, f := range s.Frontends {
			fmt.Println("  at", netip.AddrPortFrom(f.Addr, f.Port))
		}
		for _, e := range s.Endpoints {
			fmt.Println("  to", netip.AddrPortFrom(e.Addr, e.Port), "local:", e.Local)
		}
	}
	// Output:
	// shop/frontend:admin tcp
	//   at 10.96.122.13:9090
	//   at [fd00:10:96::8aa5]:9090
	//   at 0.0.0.0:30091
	//   at [::]:30091
	//   to 10.244.0.12:9090 local: true
	//   to 10.244.1.12:9090 local: false
	//   to 10.244.2.10:9090 local: false
	//   to [fd00:244::c]:9090 local: true
	//   to [fd00:244:1::c]:9090 local: false
	//   to [fd00:244:2::a]:9090 local: false
	// shop/frontend:http tcp
	//   at 10.96.122.13:80
	//   at [fd00:10:96::8aa5]:80
	//   at 0.0.0.0:30081
	//   at [::]:30081
	//   to 10.244.0.12:8080 local: true
	//   to 10.244.1.12:8080 local: false
	//   to 10.244.2.10:8080 local: false
	//   to [fd00:244::c]:8080 local: true
	//   to [fd00:244:1::c]:8080 local: false
	//   to [fd00:244:2::a]:8080 local: false
}

// A node's addresses are where its node ports answer; the pod CIDRs of all
// nodes tell the cluster's own clients from others.
func ExampleObjects_Node() {
	dump, err := os.Open("testdata/cluster-small.yaml")
	if err != nil {
		panic(err)
	}
	defer dump.Close()
	objects, err := kube.Decode(dump)
	if err != nil {
		panic(err)
	}
	node, err := objects.Node("node-b")
	if err != nil {
		panic(err)
	}
	cluster, err := objects.PodCIDRs()
	if err != nil {
		panic(err)
	}
	fmt.Println(node.Name, "in", node.Zone)
	fmt.Println("addresses", node.Addresses)
	fmt.Println("its pods", node.PodCIDRs)
	fmt.Println("all pods", cluster)
	// Output:
	// node-b in zone-2
	// addresses [192.168.50.12 fd00:50::12]
	// its pods [10.244.1.0/24 fd00:244:1::/64]
	// all pods [10.244.0.0/24 10.244.1.0/24 10.244.2.0/24 fd00:244::/64 fd00:244:1::/64 fd00:244:2::/64]
}
