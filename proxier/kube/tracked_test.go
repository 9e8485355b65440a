package kube

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestTrackerForgets: nothing is left of objects that are gone, or of faults that
// are no more.
func TestTrackerForgets(t *testing.T) {
	meta := metav1.ObjectMeta{Namespace: "shop", Name: "web", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}}
	tracker := NewTracker(Node{})
	tracker.SetService(&corev1.Service{ObjectMeta: meta})
	tracker.SetEndpointSlice(&discoveryv1.EndpointSlice{ObjectMeta: meta, AddressType: "IPv5"})
	_, err := tracker.Changes()
	require.Error(t, err)
	require.Len(t, tracker.faulty, 1)

	tracker.DeleteService("shop", "web")
	tracker.DeleteEndpointSlice("shop", "web")
	_, err = tracker.Changes()
	require.NoError(t, err)
	require.Empty(t, tracker.services)
	require.Empty(t, tracker.owners)
	require.Empty(t, tracker.faulty)
	require.Empty(t, tracker.due)
}
