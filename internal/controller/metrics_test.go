// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/controller"
)

func TestOnlyTheControllerThatLeadsReportsKeys(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	key := &v1alpha1.ApiKey{}
	key.Namespace, key.Name = "prod", "a"
	leading, registry := make(chan struct{}), prometheus.NewPedanticRegistry()
	cache := fake.NewClientBuilder().WithScheme(scheme).WithObjects(key).Build()
	registry.MustRegister(controller.NewMetrics(cache, leading))
	keys := func() (n float64) {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "apikey_keys" {
				n += f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		return n
	}
	if n := keys(); n != 0 {
		t.Errorf("a standby reports %v keys", n)
	}
	close(leading)
	if n := keys(); n != 1 {
		t.Errorf("the leader reports %v keys", n)
	}
}
