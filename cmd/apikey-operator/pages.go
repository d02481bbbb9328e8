// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/kaana/apikey-operator/internal/authn/jwt"
	"github.com/kaana/apikey-operator/internal/login"
)

const issuerTimeout = 10 * time.Second

// newLogin returns where people sign in, nil when there are no pages.
func newLogin(cfg ServerConfig) (*login.Door, error) {
	p := cfg.Pages
	if p.ClientID == "" {
		return nil, nil //nolint:nilnil // no pages
	}
	at, err := url.Parse(p.URL)
	if err != nil || at.Scheme != "https" || at.Host == "" || at.Path != "" {
		return nil, errors.New("configuration: pages.url: want https:// and a host, as people reach this server, without a path")
	}
	issuer, err := pagesIssuer(cfg)
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(p.SessionKeyFile)
	if err != nil {
		return nil, fmt.Errorf("configuration: pages.sessionKeyFile: %w", err)
	}
	var secret []byte
	if p.ClientSecretFile != "" {
		if secret, err = os.ReadFile(p.ClientSecretFile); err != nil {
			return nil, fmt.Errorf("configuration: pages.clientSecretFile: %w", err)
		}
	}
	client, err := trusting(issuer.Issuer.CertificateAuthorityFile)
	if err != nil {
		return nil, err
	}
	door, err := login.New(login.Config{Issuer: issuer.Issuer.URL, ClientID: p.ClientID, ClientSecret: string(bytes.TrimSpace(secret)), Audience: issuer.Issuer.Audiences[0],
		URL: p.URL, Key: key, Client: client}, time.Now)
	if err != nil {
		return nil, fmt.Errorf("configuration: pages.sessionKeyFile: %w", err)
	}
	return door, nil
}

// pagesIssuer returns the issuer that people sign in at, whose tokens must be accepted.
func pagesIssuer(cfg ServerConfig) (jwt.Config, error) {
	for _, c := range cfg.JWT {
		if cfg.Pages.Issuer == "" || c.Issuer.URL == cfg.Pages.Issuer {
			return c, nil
		}
	}
	return jwt.Config{}, errors.New("configuration: pages.issuer: want the URL of an issuer of jwt, whose tokens are accepted")
}

func trusting(caFile string) (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("configuration: certificateAuthorityFile: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(pem)
	}
	return &http.Client{Timeout: issuerTimeout, Transport: &http.Transport{TLSClientConfig: config, Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}}, nil
}
