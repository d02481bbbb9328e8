// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/activity"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/authn/jwt"
	"github.com/kaana/apikey-operator/internal/config"
	"github.com/kaana/apikey-operator/internal/keyring"
	"github.com/kaana/apikey-operator/internal/manage"
	"github.com/kaana/apikey-operator/internal/server"
	"github.com/kaana/apikey-operator/internal/trust"
)

// runServer runs the server until ctx is done.
func runServer(ctx context.Context, cfg config.Server, kubeconfig string, log *slog.Logger) error {
	format := cfg.Format()
	tokens, err := cfg.Issuers(time.Now)
	if err != nil {
		return err
	}
	certs, serving, err := tlsConfig(cfg)
	if err != nil {
		return err
	}
	listeners, err := listen(ctx, cfg.Listen, cfg.Metrics, cfg.ExtAuthz)
	if err != nil {
		return err
	}
	defer closeAll(listeners)
	kube, err := connect(ctx, kubeconfig)
	if err != nil {
		return err
	}
	ring := keyring.New(cfg.MaxStaleness.Duration)
	srv, registry, err := assemble(ctx, cfg, format, kube, ring, tokens, log)
	if err != nil {
		return err
	}
	defer srv.Close()
	log.Info("server starts", "version", version(), "address", listeners[0].Addr().String(), "issuers", len(cfg.JWT))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return certs.Start(ctx) })
	group.Go(func() error { return ring.Watch(ctx, kube, cfg.WatchNamespaces...) })
	group.Go(func() error { tokens.Run(ctx, log); return nil })
	group.Go(func() error { return srv.Serve(ctx, listeners[0], serving) })
	group.Go(func() error { return srv.KeepActivity(ctx) })
	if listeners[1] != nil {
		group.Go(func() error { return srv.ServeMetrics(ctx, listeners[1], serving, registry) })
	}
	if listeners[2] != nil {
		group.Go(func() error { return srv.ServeExtAuthz(ctx, listeners[2], serving) })
	}
	return group.Wait()
}

func options(cfg config.Server, format apikey.Format, ring *keyring.Index, tokens *jwt.Verifier, log *slog.Logger) server.Options {
	verifier := &authn.Verifier{Format: format, Keys: ring, Now: time.Now}
	if len(cfg.JWT) > 0 { // else a token may be an imported key of that shape
		verifier.Tokens = tokens
	}
	return server.Options{
		Verifier: verifier, Log: log, Metrics: &server.Metrics{},
		TrustedProxies: cfg.Proxies(), UsernamePrefix: cfg.TokenReview.UsernamePrefix, ReviewersNeedCertificate: cfg.TokenReview.ClientCAFile != "",
	}
}

// assemble returns the server and its metrics.
func assemble(ctx context.Context, cfg config.Server, format apikey.Format, kube *rest.Config, ring *keyring.Index, tokens *jwt.Verifier, log *slog.Logger) (*server.Server, *prometheus.Registry, error) {
	desk, err := newManager(kube, ring, format)
	if err != nil {
		return nil, nil, err
	}
	door, err := newSignIn(cfg)
	if err != nil {
		return nil, nil, err
	}
	keeper, err := openActivity(ctx, cfg, log)
	if err != nil {
		return nil, nil, err
	}
	o := options(cfg, format, ring, tokens, log)
	o.Manage, o.Activity, o.Login = desk, keeper, door
	srv := server.New(o)
	more := []prometheus.Collector{srv.Metrics, ring, tokens}
	if keeper != nil {
		more = append(more, keeper)
	}
	registry, err := register(more...)
	return srv, registry, err
}

// openActivity returns who keeps what keys are used for, nil when nobody does.
func openActivity(ctx context.Context, cfg config.Server, log *slog.Logger) (*activity.Keeper, error) {
	database, on, err := cfg.Database()
	if err != nil || !on {
		return nil, err
	}
	store, err := activity.Open(ctx, database)
	if errors.Is(err, activity.ErrUnavailable) { // verdicts do not wait for it
		log.ErrorContext(ctx, "activity is kept in memory until its database answers", "error", err)
	} else if err != nil {
		return nil, fmt.Errorf("configuration: activity.database: %w; give a file in a folder that exists, postgres://…, or off", err)
	}
	return activity.NewKeeper(server.NewRecorder(), store, cfg.Activity.Retention.Duration, log), nil
}

// newManager returns where people manage keys: straight at the API server, so that what they read is what is.
func newManager(kube *rest.Config, ring *keyring.Index, format apikey.Format) (*manage.Service, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), eventsv1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("register types: %w", err)
	}
	c, err := client.New(kube, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("make client for %s: %w", kube.Host, err)
	}
	return &manage.Service{Client: c, Tenants: ring, Format: format, Entropy: rand.Reader, Now: time.Now}, nil
}

// tlsConfig returns what keeps the certificate, and the TLS configuration of all doors.
func tlsConfig(cfg config.Server) (*certwatcher.CertWatcher, *tls.Config, error) {
	certs, err := certwatcher.New(cfg.TLS.CertFile, cfg.TLS.KeyFile)
	if err != nil {
		return nil, nil, fmt.Errorf("load certificate %s with key %s: %w", cfg.TLS.CertFile, cfg.TLS.KeyFile, err)
	}
	serving := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certs.GetCertificate}
	pem, err := config.ReadFile("tokenReview.clientCAFile", cfg.TokenReview.ClientCAFile)
	if err != nil || pem == nil {
		return certs, serving, err
	}
	if serving.ClientCAs, err = trust.Pool(pem); err != nil {
		return nil, nil, fmt.Errorf("configuration: tokenReview.clientCAFile: %s %w", cfg.TokenReview.ClientCAFile, err)
	}
	serving.ClientAuth = tls.VerifyClientCertIfGiven
	return certs, serving, nil
}

// listen opens the listeners; that of an address "0" is nil.
func listen(ctx context.Context, addresses ...string) ([]net.Listener, error) {
	out := make([]net.Listener, len(addresses))
	for i, a := range addresses {
		if a == config.Off {
			continue
		}
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", a, err)
		}
		out[i] = l
	}
	return out, nil
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		if l != nil {
			_ = l.Close()
		}
	}
}

// register returns the metrics of the process.
func register(ours ...prometheus.Collector) (*prometheus.Registry, error) {
	registry := prometheus.NewRegistry()
	for _, c := range append(ours, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})) {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return registry, nil
}
