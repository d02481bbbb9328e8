// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/clock"
)

// connectTimeout bounds the first call to the API server.
const connectTimeout = 10 * time.Second

// connect returns a client configuration for an API server that answers and serves ApiKeys. Its clients compare the
// clocks.
func connect(ctx context.Context, kubeconfig string, skew *clock.Skew) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("find the Kubernetes API server: %w", err)
	}
	cfg.UserAgent = "apikey-operator"
	cfg.QPS = -1 // the default of 20 a second throttles to 20 keys a second; the API server has its own fairness

	cfg.Wrap(skew.Observe)
	probe := rest.CopyConfig(cfg)
	probe.Timeout = connectTimeout
	client, err := discovery.NewDiscoveryClientForConfig(probe)
	if err != nil {
		return nil, fmt.Errorf("make client for %s: %w", cfg.Host, err)
	}
	if _, err := client.ServerVersion(); err != nil {
		return nil, fmt.Errorf("reach the Kubernetes API server at %s: %w", cfg.Host, err)
	}
	switch _, err := client.ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String()); {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf(
			"the API server at %s does not serve ApiKeys; install them with kubectl apply -k config/crd: %w",
			cfg.Host,
			err,
		)
	case err != nil:
		return nil, fmt.Errorf("ask the API server at %s whether it serves ApiKeys: %w", cfg.Host, err)
	}
	return cfg, ctx.Err()
}
