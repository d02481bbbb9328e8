// SPDX-License-Identifier: Apache-2.0

// Package trust decides which certificates this program's HTTPS clients and servers accept. It reads CA certificates
// and makes the one HTTP client that talks to OpenID Connect issuers.
package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	idleTimeout  = 30 * time.Second
	maxRedirects = 5
)

// ErrNoCertificate is the error of a text without a certificate.
var ErrNoCertificate = errors.New("holds no certificate in PEM")

// Pool returns the certificates of a PEM text. A text without any is ErrNoCertificate, so that a wrong file never
// means "trust nobody" or "trust the system" silently.
func Pool(pem []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, ErrNoCertificate
	}
	return pool, nil
}

// ClientConfig returns the TLS configuration of a client that trusts these CAs; nil: those of the system.
func ClientConfig(roots *x509.CertPool) *tls.Config {
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// Client returns an HTTP client that trusts these CAs; nil: those of the system. It uses the proxy of the environment
// and follows at most five redirects, none of them away from HTTPS.
func Client(roots *x509.CertPool, timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout:       timeout,
		CheckRedirect: stayOnHTTPS,
		Transport: &http.Transport{TLSClientConfig: ClientConfig(roots), Proxy: http.ProxyFromEnvironment,
			IdleConnTimeout: idleTimeout, ForceAttemptHTTP2: true},
	}
}

func stayOnHTTPS(to *http.Request, via []*http.Request) error {
	switch {
	case to.URL.Scheme != "https":
		return fmt.Errorf("redirect to %s: want https", to.URL.Redacted())
	case len(via) > maxRedirects:
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	return nil
}
