// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
)

// revocation is where the issuer revokes tokens, and how it authenticates clients there (RFC 8414).
type revocation struct {
	Endpoint string   `json:"revocation_endpoint"`
	Methods  []string `json:"revocation_endpoint_auth_methods_supported"`
	Tokens   []string `json:"token_endpoint_auth_methods_supported"`
}

// revoke revokes a refresh token at the issuer (RFC 7009), if the issuer can.
func (s *Sessions) revoke(ctx context.Context, refresh string) error {
	if refresh == "" {
		return nil
	}
	p, err := s.discover(ctx)
	if err != nil {
		return err
	}
	at, err := revocationOf(p)
	if err != nil || at.Endpoint == "" {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, issuerTimeout)
	defer cancel()
	r, err := s.revocationRequest(ctx, at, refresh)
	if err != nil {
		return fmt.Errorf("revoke refresh token: %w", err)
	}
	answer, err := s.config.Client.Do(r)
	if err != nil {
		return fmt.Errorf("revoke refresh token: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("revoke refresh token: the issuer answers with status %d", answer.StatusCode)
	}
	return nil
}

func revocationOf(p *oidc.Provider) (at revocation, err error) {
	if err := p.Claims(&at); err != nil {
		return revocation{}, fmt.Errorf("read the issuer's metadata: %w", err)
	}
	return at, nil
}

func (s *Sessions) revocationRequest(ctx context.Context, at revocation, refresh string) (*http.Request, error) {
	form := url.Values{"token": {refresh}, "token_type_hint": {"refresh_token"}}
	methods := at.Methods
	if len(methods) == 0 { // RFC 8414 gives them the same default
		methods = at.Tokens
	}
	basic := s.config.ClientSecret != "" && (len(methods) == 0 || slices.Contains(methods, "client_secret_basic"))
	if !basic {
		form.Set("client_id", s.config.ClientID)
		if s.config.ClientSecret != "" {
			form.Set("client_secret", s.config.ClientSecret)
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at.Endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err //nolint:wrapcheck // wrapped by the caller
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if basic { // RFC 6749, section 2.3.1
		r.SetBasicAuth(url.QueryEscape(s.config.ClientID), url.QueryEscape(s.config.ClientSecret))
	}
	return r, nil
}
