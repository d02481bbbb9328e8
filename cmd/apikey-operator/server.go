// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	restclient "k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"

	"github.com/kaana/apikey-operator/internal/activity"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/authn/jwt"
	"github.com/kaana/apikey-operator/internal/clock"
	"github.com/kaana/apikey-operator/internal/config"
	"github.com/kaana/apikey-operator/internal/door"
	"github.com/kaana/apikey-operator/internal/door/envoy"
	"github.com/kaana/apikey-operator/internal/keyring"
	"github.com/kaana/apikey-operator/internal/manage"
	"github.com/kaana/apikey-operator/internal/rest"
	"github.com/kaana/apikey-operator/internal/trust"
	"github.com/kaana/apikey-operator/internal/web"
	"github.com/kaana/apikey-operator/internal/web/session"
)

// runServer runs the server until ctx is done.
func runServer(ctx context.Context, cfg config.Server, kubeconfig string, log *slog.Logger) error {
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
	skew := clock.New()
	kube, err := connect(ctx, kubeconfig, skew)
	if err != nil {
		return err
	}
	ring := keyring.New(cfg.MaxStaleness.Duration)
	s, err := newServer(ctx, cfg, kube, ring, tokens, log)
	if err != nil {
		return err
	}
	defer s.close()
	if s.keeper != nil {
		s.keeper.Doubted = skew.Doubted
	}
	registry, err := register(append(s.collectors(), skew.Metric())...)
	if err != nil {
		return err
	}
	log.Info("server starts", "version", version(), "address", listeners[0].Addr().String(), "issuers", len(cfg.JWT))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return certs.Start(ctx) })
	group.Go(func() error { return ring.Watch(ctx, kube, cfg.WatchNamespaces...) })
	group.Go(func() error { tokens.Run(ctx, log); return nil })
	group.Go(func() error { return door.Serve(ctx, listeners[0], serving, endpoints(cfg, s), log) })
	group.Go(func() error { return s.reportActivity(ctx) })
	group.Go(func() error { return s.trail.Run(ctx) })
	if l := listeners[1]; l != nil {
		h := metricsHandler(registry, cfg.Profiling)
		group.Go(func() error { return door.Serve(ctx, l, serving, h, log) })
	}
	if l := listeners[2]; l != nil {
		check := &envoy.ExtAuthz{Auth: s.auth, Proxies: cfg.Proxies()}
		group.Go(func() error { return check.Serve(ctx, l, serving) })
	}
	err = group.Wait()
	s.trail.Flush(context.WithoutCancel(ctx)) // also what was changed by the last requests
	return err
}

// server holds what the endpoints share.
type server struct {
	ring     *keyring.Index
	tokens   *jwt.Verifier
	auth     *door.Authenticator
	manage   *manage.Service
	keeper   *activity.Keeper  // nil: key usage is not recorded
	sessions *session.Sessions // nil: there are no pages
	trail    *activity.Trail
	log      *slog.Logger // bounded
}

func newServer(ctx context.Context, cfg config.Server, kube *restclient.Config, ring *keyring.Index,
	tokens *jwt.Verifier, log *slog.Logger) (*server, error) {
	audit := log // every change has its line
	log = door.BoundedLog(log)
	s := &server{ring: ring, tokens: tokens, log: log}
	var err error
	if s.manage, err = newManager(kube, ring, cfg.Format()); err != nil {
		return nil, err
	}
	if s.keeper, err = openActivity(ctx, cfg, log); err != nil {
		return nil, err
	}
	if s.sessions, err = newSessions(cfg, s.keeper, log); err != nil {
		return nil, err
	}
	s.trail = activity.NewTrail(nil, audit)
	if s.keeper != nil {
		s.trail.Store = s.keeper.Store
	}
	s.manage.Trail = s.trail
	verifier := &authn.Verifier{Format: cfg.Format(), Keys: ring, Now: time.Now}
	if len(cfg.JWT) > 0 { // without issuers, a token of this shape may be an imported key
		verifier.Tokens = tokens
	}
	var recorder *activity.Recorder
	if s.keeper != nil {
		recorder = s.keeper.Recorder
	}
	s.auth = door.NewAuthenticator(verifier, &door.Metrics{}, recorder, log, time.Now)
	return s, nil
}

// endpoints lists the endpoints that speak HTTP.
func endpoints(cfg config.Server, s *server) http.Handler {
	proxies := door.TrustedProxies(cfg.Proxies())
	guard := door.NewGuard(s.auth, proxies)
	api := &rest.API{Auth: guard, Manage: s.manage, Projects: s.ring.Projects, Log: s.log, Now: time.Now}
	if s.keeper != nil {
		api.Activity = s.keeper.Store
	}
	all := []door.Mounter{
		door.Probes{Ready: s.ring.Ready},
		&door.TokenReview{
			Auth:               s.auth,
			UsernamePrefix:     cfg.TokenReview.UsernamePrefix,
			Audiences:          cfg.TokenReview.Audiences,
			RequireCertificate: cfg.TokenReview.ClientCAFile != "",
		},
		&door.Introspection{Auth: s.auth, Guard: guard},
		api,
	}
	if s.sessions != nil {
		all = append(all, &web.Pages{
			Auth: s.auth, Proxies: proxies, Sessions: s.sessions, API: api, Manage: s.manage,
			Projects: s.ring.Projects, Log: s.log, Now: time.Now,
		})
	}
	return door.Handler(&door.ForwardAuth{Auth: s.auth, Proxies: proxies}, all...)
}

// reportActivity records key usage until ctx is done.
func (s *server) reportActivity(ctx context.Context) error {
	if s.keeper == nil {
		return nil
	}
	return (&manage.Reporter{Service: s.manage, Log: s.log}).Run(ctx, s.keeper)
}

func (s *server) collectors() []prometheus.Collector {
	out := []prometheus.Collector{s.auth.Metrics, s.ring, s.tokens, s.trail}
	if s.keeper != nil {
		out = append(out, s.keeper)
	}
	return out
}

// close closes the activity database.
func (s *server) close() {
	if s.keeper != nil {
		_ = s.keeper.Store.Close()
	}
}

// openActivity returns the keeper of key usage, and nil if it is off.
func openActivity(ctx context.Context, cfg config.Server, log *slog.Logger) (*activity.Keeper, error) {
	database, on, err := cfg.Database()
	if err != nil || !on {
		return nil, err
	}
	store, err := activity.Open(ctx, database)
	if errors.Is(err, activity.ErrUnavailable) { // verdicts do not wait for it
		log.ErrorContext(ctx, "activity is kept in memory until its database answers", "error", err)
	} else if err != nil {
		return nil, fmt.Errorf("configuration: activity.database: %w; "+
			"give a file in a folder that exists, postgres://…, or off", err)
	}
	return activity.NewKeeper(door.NewRecorder(), store, cfg.Activity.Retention.Duration, log), nil
}

// tlsConfig returns the watcher of the certificate, and the TLS configuration of all listeners.
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

// listen opens the listeners. The listener of the address "0" is nil.
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
