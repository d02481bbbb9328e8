// SPDX-License-Identifier: Apache-2.0

package main

import (
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
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/kaana/apikey-operator/internal/admission"
)

// podNamespace is where a Pod finds the name of its Namespace.
const podNamespace = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// getCertificate is that of tls.Config.
type getCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)

// addAdmission adds the webhook's server and, in the background, whoever keeps its certificate.
func addAdmission(mgr ctrl.Manager, cfg ControllerConfig, log *slog.Logger) error {
	if cfg.Admission.Listen == "0" {
		return nil
	}
	host, service, err := net.SplitHostPort(cfg.Admission.Listen)
	if err != nil {
		return fmt.Errorf("configuration: admission.listen: %w", err)
	}
	port, err := strconv.Atoi(service)
	if err != nil {
		return fmt.Errorf("configuration: admission.listen: port: %w", err)
	}
	keeper, certificate, err := admissionCertificate(mgr, cfg, log)
	if err != nil {
		return err
	}
	server := webhook.NewServer(webhook.Options{Host: host, Port: port, TLSOpts: []func(*tls.Config){func(c *tls.Config) {
		c.MinVersion, c.GetCertificate = tls.VersionTLS12, certificate
	}}})
	hook := &admission.Webhook{Cache: mgr.GetClient(), Live: mgr.GetAPIReader(), Now: time.Now}
	hook.Mount(server, mgr.GetScheme())
	for _, r := range []manager.Runnable{keeper, server} {
		if err := mgr.Add(r); err != nil {
			return fmt.Errorf("set up admission: %w", err)
		}
	}
	return nil
}

// admissionCertificate returns who keeps the webhook's certificate: files that somebody else writes,
// or the controller itself.
func admissionCertificate(mgr ctrl.Manager, cfg ControllerConfig, log *slog.Logger) (manager.Runnable, getCertificate, error) {
	a := cfg.Admission
	if a.TLS.CertFile != "" {
		files, err := certwatcher.New(a.TLS.CertFile, a.TLS.KeyFile)
		if err != nil {
			return nil, nil, fmt.Errorf("load certificate %s with key %s: %w", a.TLS.CertFile, a.TLS.KeyFile, err)
		}
		return files, files.GetCertificate, nil
	}
	if a.Namespace == "" {
		own, err := os.ReadFile(podNamespace)
		if err != nil {
			return nil, nil, errors.New("configuration: admission.namespace: required outside a cluster; or give admission.tls, or turn admission off by listen: \"0\"")
		}
		a.Namespace = strings.TrimSpace(string(own))
	}
	if a.Host == "" {
		a.Host = "apikey-operator-admission." + a.Namespace + ".svc"
	}
	own := &admission.Certificates{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Namespace: a.Namespace, Host: a.Host, Log: log}
	return own, own.Get, nil
}
