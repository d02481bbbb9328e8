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
	key, err1 := content("pages.sessionKeyFile", p.SessionKeyFile)
	secret, err2 := content("pages.clientSecretFile", p.ClientSecretFile)
	client, err3 := trusting(issuer.Issuer.CertificateAuthorityFile)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	door, err := login.New(login.Config{Issuer: issuer.Issuer.URL, ClientID: p.ClientID, ClientSecret: string(bytes.TrimSpace(secret)), Audience: issuer.Issuer.Audiences[0], Scopes: p.Scopes,
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

// content returns what a file of the configuration holds; without a file, nothing.
func content(field, file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file) //nolint:gosec // the file that the configuration names
	if err != nil {
		return nil, fmt.Errorf("configuration: %s: %w", field, err)
	}
	return text, nil
}

func trusting(caFile string) (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	pem, err := content("certificateAuthorityFile", caFile)
	if err != nil {
		return nil, err
	}
	if pem != nil {
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(pem)
	}
	return &http.Client{Timeout: issuerTimeout, Transport: &http.Transport{TLSClientConfig: config, Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}}, nil
}
