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
	"os"
	"strconv"
	"strings"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/kaana/apikey-operator/internal/admission"
	"github.com/kaana/apikey-operator/internal/bootstrap"
	"github.com/kaana/apikey-operator/internal/config"
)

// podNamespace is where a Pod finds the name of its Namespace.
const podNamespace = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// getCertificate is that of tls.Config.
type getCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)

// addAdmission adds the server of the webhook and the runnable that maintains its certificate. It returns what checks
// that the webhook serves; nil if the webhook is off.
func addAdmission(mgr ctrl.Manager, cfg config.Controller, log *slog.Logger) (healthz.Checker, error) {
	if cfg.Admission.Listen == config.Off {
		return nil, nil //nolint:nilnil // off
	}
	host, service, err := net.SplitHostPort(cfg.Admission.Listen)
	if err != nil {
		return nil, fmt.Errorf("configuration: admission.listen: %w", err)
	}
	port, err := strconv.Atoi(service)
	if err != nil {
		return nil, fmt.Errorf("configuration: admission.listen: port: %w", err)
	}
	keeper, certificate, err := admissionCertificate(mgr, cfg, log)
	if err != nil {
		return nil, err
	}
	server := webhook.NewServer(
		webhook.Options{Host: host, Port: port, TLSOpts: []func(*tls.Config){func(c *tls.Config) {
			c.MinVersion, c.GetCertificate = tls.VersionTLS12, certificate
		}}},
	)
	hook := &admission.Webhook{Now: time.Now}
	hook.Mount(server)
	for _, r := range []manager.Runnable{keeper, server} {
		if err := mgr.Add(r); err != nil {
			return nil, fmt.Errorf("set up admission: %w", err)
		}
	}
	return server.StartedChecker(), nil
}

// admissionCertificate returns the runnable that maintains the webhook's certificate: it reads files, if the
// configuration names them, or else issues the certificate itself.
func admissionCertificate(mgr ctrl.Manager, cfg config.Controller, log *slog.Logger) (
	manager.Runnable, getCertificate, error) {
	a := cfg.Admission
	if a.TLS.CertFile != "" {
		files, err := certwatcher.New(a.TLS.CertFile, a.TLS.KeyFile)
		if err != nil {
			return nil, nil, fmt.Errorf("load certificate %s with key %s: %w", a.TLS.CertFile, a.TLS.KeyFile, err)
		}
		return files, files.GetCertificate, nil
	}
	own, err := ownNamespace(cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("%w; or give admission.tls, or turn admission off by listen: \"0\"", err)
	}
	if a.Host == "" {
		a.Host = "apikey-operator-admission." + own + ".svc"
	}
	live := mgr.GetAPIReader()
	made := &bootstrap.Certificate{
		Client: mgr.GetClient(), Live: live,
		Secret: client.ObjectKey{Namespace: own, Name: admission.CertificateSecret},
		Hosts:  []string{a.Host}, Log: log,
		Check: func(ctx context.Context, ca []byte) error { return admission.Trusted(ctx, live, ca) },
	}
	return made, made.Get, nil
}

// addServerSecrets adds the runnables that create the Secrets of the server: its certificate and its session key.
func addServerSecrets(mgr ctrl.Manager, cfg config.Controller, log *slog.Logger) error {
	s := cfg.Server
	if s.CertificateSecret == "" && s.SessionKeySecret == "" {
		return nil
	}
	own, err := ownNamespace(cfg)
	if err != nil {
		return err
	}
	if s.CertificateSecret != "" {
		if err := mgr.Add(&bootstrap.Certificate{
			Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Log: log,
			Secret: client.ObjectKey{Namespace: own, Name: s.CertificateSecret},
			Hosts:  append([]string{"apikey-operator-server." + own + ".svc"}, s.Hosts...),
		}); err != nil {
			return fmt.Errorf("set up the server's certificate: %w", err)
		}
	}
	if s.SessionKeySecret != "" {
		if err := mgr.Add(&bootstrap.SessionKey{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Log: log,
			Secret: client.ObjectKey{Namespace: own, Name: s.SessionKeySecret}, Entropy: rand.Reader}); err != nil {
			return fmt.Errorf("set up the session key: %w", err)
		}
	}
	return nil
}

// ownNamespace returns the Namespace that the operator keeps its own Secrets in.
func ownNamespace(cfg config.Controller) (string, error) {
	if cfg.Admission.Namespace != "" {
		return cfg.Admission.Namespace, nil
	}
	own, err := os.ReadFile(podNamespace)
	if err != nil {
		return "", errors.New("configuration: admission.namespace: required outside a cluster")
	}
	return strings.TrimSpace(string(own)), nil
}
