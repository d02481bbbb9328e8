// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/clock"
	"github.com/kaana/apikey-operator/internal/config"
	"github.com/kaana/apikey-operator/internal/controller"
)

// runController runs the controller until ctx is done.
func runController(ctx context.Context, cfg config.Controller, kubeconfig string, log *slog.Logger) error {
	skew := clock.New()
	kube, err := connect(ctx, kubeconfig, skew)
	if err != nil {
		return err
	}
	options, err := managerOptions(cfg)
	if err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(kube, options)
	if err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	counts := controller.NewMetrics(mgr.GetClient(), mgr.Elected())
	for _, c := range []prometheus.Collector{counts, skew.Metric()} {
		if err := metrics.Registry.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	r := &controller.Reconciler{
		Metrics: counts,
		Client:  mgr.GetClient(), Live: mgr.GetAPIReader(), Events: mgr.GetEventRecorder("apikey-operator"),
		Format: cfg.Format(), Entropy: rand.Reader, Now: time.Now, Ahead: skew.Ahead, RequirePolicies: cfg.RequirePolicies,
	}
	if own, err := ownNamespace(cfg); err == nil { // outside a cluster it may be unknown
		r.Namespace = own
	}
	var hook healthz.Checker
	for _, add := range []func() error{
		func() error { return r.SetupWithManager(ctx, mgr, cfg.Workers) },
		func() (err error) { hook, err = addAdmission(mgr, cfg, log); return err },
		func() error { return addServerSecrets(mgr, cfg, log) },
		func() error { return addProbes(mgr, hook) },
	} {
		if err := add(); err != nil {
			return err
		}
	}
	log.Info("controller starts", "version", version(), "workers", cfg.Workers)
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("run controller: %w", err)
	}
	return nil
}

// managerOptions returns what the manager caches and serves.
func managerOptions(cfg config.Controller) (ctrl.Options, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return ctrl.Options{}, fmt.Errorf("register Kubernetes types: %w", err)
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return ctrl.Options{}, fmt.Errorf("register ApiKey: %w", err)
	}
	watched, err := controller.Watched()
	if err != nil {
		return ctrl.Options{}, err
	}
	metrics := metricsserver.Options{
		BindAddress: cfg.Metrics, SecureServing: true, ExtraHandlers: profiles(cfg.Profiling),
	}
	return ctrl.Options{
		Scheme:                        scheme,
		HealthProbeBindAddress:        cfg.Probes,
		Metrics:                       metrics,
		LeaderElection:                cfg.LeaderElection.Enabled,
		LeaderElectionID:              "apikey-operator.kaana.com",
		LeaderElectionNamespace:       cfg.LeaderElection.Namespace,
		LeaderElectionReleaseOnCancel: true,
		Cache:                         cache.Options{ByObject: watched, DefaultNamespaces: limited(cfg.WatchNamespaces)},
	}, nil
}

// limited returns the Namespaces to cache; nil means all.
func limited(namespaces []string) map[string]cache.Config {
	if len(namespaces) == 0 {
		return nil
	}
	out := make(map[string]cache.Config, len(namespaces))
	for _, ns := range namespaces {
		out[ns] = cache.Config{}
	}
	return out
}

// syncPatience is how long a readiness probe waits for the cache; the kubelet gives it a second.
const syncPatience = 200 * time.Millisecond

// addProbes adds the kubelet's probes. A controller is ready, also while another one leads, when it can take over and
// the API server can call it: its cache has what it watches, and its webhook serves a certificate.
func addProbes(mgr ctrl.Manager, hook healthz.Checker) error {
	checks := map[string]healthz.Checker{"cache": synced(mgr.GetCache())}
	if hook != nil {
		checks["webhook"] = hook
	}
	for name, check := range checks {
		if err := mgr.AddReadyzCheck(name, check); err != nil {
			return fmt.Errorf("set up probes: %w", err)
		}
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("set up probes: %w", err)
	}
	return nil
}

func synced(c cache.Cache) healthz.Checker {
	return func(r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), syncPatience)
		defer cancel()
		if !c.WaitForCacheSync(ctx) {
			return errors.New("the cache does not have all objects yet")
		}
		return nil
	}
}
