// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"

	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/keyring"
	"github.com/kaana/apikey-operator/internal/server"
)

// runServer runs the server until ctx is done.
func runServer(ctx context.Context, cfg ServerConfig, kubeconfig string, log *slog.Logger) error {
	if err := cfg.validate(); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	format, err := apikey.NewFormat(cfg.TokenPrefix)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	certs, err := certwatcher.New(cfg.TLS.CertFile, cfg.TLS.KeyFile)
	if err != nil {
		return fmt.Errorf("load certificate %s with key %s: %w", cfg.TLS.CertFile, cfg.TLS.KeyFile, err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", cfg.Listen, err)
	}
	defer func() { _ = listener.Close() }()
	kube, err := connect(ctx, kubeconfig)
	if err != nil {
		return err
	}
	ring := keyring.New()
	srv := &server.Server{
		Verifier: &authn.Verifier{Format: format, Keys: ring, Now: time.Now},
		Log:      log,
	}
	log.Info("server starts", "version", version(), "address", listener.Addr().String())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return ring.Watch(ctx, kube) })
	group.Go(func() error { return srv.Serve(ctx, listener, certs) })
	return group.Wait()
}
