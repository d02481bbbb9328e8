// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/certwatcher"

	"github.com/kaana/apikey-operator/internal/authn"
)

// Bounds of one connection and request.
const (
	readHeaderTimeout = 5 * time.Second
	requestTimeout    = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 16 << 10 // a token may have 8 KiB
	maxBodyBytes      = 1 << 20
	drainTimeout      = 10 * time.Second
)

// Server answers at every door.
type Server struct {
	Verifier *authn.Verifier
	Log      *slog.Logger // the audit log
}

// Handler returns all doors behind one handler.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	s.mountProbes(mux)
	s.mountREST(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, http.StatusNotFound, "Not Found", "There is nothing at this path", "not_found")
	})
	return http.MaxBytesHandler(mux, maxBodyBytes)
}

// Serve answers HTTPS on the listener until ctx is done, then lets requests under way finish. It
// reloads the certificate when its files change.
func (s *Server) Serve(ctx context.Context, l net.Listener, certs *certwatcher.CertWatcher) error {
	srv := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug), // strangers' broken handshakes
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certs.GetCertificate},
	}
	failed := make(chan error, 2)
	go func() { failed <- certs.Start(ctx) }()
	go func() { failed <- srv.ServeTLS(l, "", "") }()
	for {
		select {
		case err := <-failed:
			if err != nil {
				_ = srv.Close()
				return fmt.Errorf("serve %s: %w", l.Addr(), err)
			}
		case <-ctx.Done():
			drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
			defer cancel()
			if err := srv.Shutdown(drain); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("shut down: %w", err)
			}
			return nil
		}
	}
}

// mountProbes mounts what the kubelet asks: alive, and ready to give verdicts.
func (s *Server) mountProbes(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !s.Verifier.Keys.Ready() {
			http.Error(w, authn.ErrUnsynced.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
}
