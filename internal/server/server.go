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
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/time/rate"

	"github.com/kaana/apikey-operator/internal/activity"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/manage"
	"github.com/kaana/apikey-operator/internal/web/session"
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

// Server answers at every door. Make one with New.
type Server struct {
	Options
	diary    diary
	failures *limits
}

// Options are what a server is made of.
type Options struct {
	Verifier *authn.Verifier
	Log      *slog.Logger // the audit log
	Metrics  *Metrics
	Manage   *manage.Service  // nil: keys are not managed here
	Activity *activity.Keeper // of NewRecorder; nil: nobody counts what keys are used for
	Login    *session.Sessions    // nil: there are no pages

	// TrustedProxies are believed what they say in X-Forwarded-For.
	TrustedProxies []netip.Prefix
	// UsernamePrefix starts the names of accounts in Kubernetes; it must not start with system:.
	UsernamePrefix string
	// ReviewersNeedCertificate makes TokenReview want a verified client certificate.
	ReviewersNeedCertificate bool
}

// New returns a server.
func New(o Options) *Server {
	return &Server{Options: o, diary: diary{limit: rate.NewLimiter(logged, loggedBurst)}, failures: newLimits()}
}

// Close closes the database of activity, if there is one.
func (s *Server) Close() {
	if s.Activity != nil {
		_ = s.Activity.Store.Close()
	}
}

// Handler returns all doors that speak HTTP behind one handler.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	s.mountProbes(mux)
	s.newAPI(mux)
	if s.Login != nil && s.Manage != nil {
		s.mountPages(mux)
	}
	only(mux, http.MethodPost, "/webhook/tokenreview", s.tokenReview)
	only(mux, http.MethodPost, "/oauth2/introspect", s.guard(authn.IntrospectTokens, s.introspect))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, http.StatusNotFound, "Not Found", "There is nothing at this path", "not_found")
	})
	bounded := http.MaxBytesHandler(identified(mux), maxBodyBytes)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/auth" { // any method, and the shortest way
			s.forwardAuth(w, r)
			return
		}
		bounded.ServeHTTP(w, r)
	})
}

// only mounts a handler for one method, and tells of it whoever uses another.
func only(mux *http.ServeMux, method, path string, h http.HandlerFunc) {
	mux.HandleFunc(method+" "+path, h)
	allow := method
	if method == http.MethodGet {
		allow = "GET, HEAD"
	}
	notAllowed(mux, path, allow)
}

// notAllowed answers the methods that nothing is mounted for.
func notAllowed(mux *http.ServeMux, path, allow string) {
	mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", allow)
		writeError(w, http.StatusMethodNotAllowed, "Method Not Allowed", "Use "+allow, "method_not_allowed")
	})
}

// Serve answers HTTPS on the listener until ctx is done, then lets requests under way finish.
func (s *Server) Serve(ctx context.Context, l net.Listener, config *tls.Config) error {
	return serve(ctx, l, config, s.Handler(), s.Log)
}

// serve answers HTTPS on the listener until ctx is done, then lets requests under way finish.
func serve(ctx context.Context, l net.Listener, config *tls.Config, h http.Handler, log *slog.Logger) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // strangers' broken handshakes
		TLSConfig:         config.Clone(),                                    // the library writes to it
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.ServeTLS(l, "", "") }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		if err := srv.Shutdown(drain); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("shut down: %w", err)
		}
		return nil
	}
}

// ServeMetrics answers /metrics over HTTPS on the listener until ctx is done.
func (s *Server) ServeMetrics(ctx context.Context, l net.Listener, config *tls.Config, registry prometheus.Gatherer) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return serve(ctx, l, config, mux, s.Log)
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
