// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// callback is where a sign-in without a browser ends; nobody listens there.
const callback = "https://localhost/callback"

var errArrived = errors.New("arrived")

// SignIn signs an account in as a browser would (authorization code with PKCE, RFC 7636), and
// returns its tokens: the access token is a JWT for Audience.
func SignIn(ctx context.Context, issuerURL, caFile, name string) (*oauth2.Token, error) {
	app := &oauth2.Config{
		ClientID:     ClientID,
		ClientSecret: ClientSecret,
		RedirectURL:  callback,
		Scopes:       []string{"openid", "offline_access"},
		Endpoint: oauth2.Endpoint{
			AuthURL:   issuerURL + "authorize",
			TokenURL:  issuerURL + "oauth/token",
			AuthStyle: oauth2.AuthStyleInHeader,
		},
	}
	verifier, state := oauth2.GenerateVerifier(), random()
	address := app.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("audience", Audience))
	end, err := Approve(ctx, issuerURL, caFile, address, name)
	if err != nil {
		return nil, err
	}
	browser, err := browser(issuerURL, caFile)
	if err != nil {
		return nil, err
	}
	if q := end.Query(); q.Get("state") != state || q.Get("code") == "" {
		return nil, fmt.Errorf("sign in at %s: %s %s", issuerURL, q.Get("error"), q.Get("error_description"))
	}
	token, err := app.Exchange(
		context.WithValue(ctx, oauth2.HTTPClient, browser),
		end.Query().Get("code"),
		oauth2.VerifierOption(verifier),
	)
	if err != nil {
		return nil, fmt.Errorf("exchange code at %s: %w", issuerURL, err)
	}
	return token, nil
}

// Approve signs an account in at the address that an application sends people to, and returns where the issuer sends
// them back to.
func Approve(ctx context.Context, issuerURL, caFile, address, name string) (*url.URL, error) {
	if _, err := account(name); err != nil {
		return nil, err
	}
	browser, err := browser(issuerURL, caFile)
	if err != nil {
		return nil, err
	}
	page, err := follow(ctx, browser, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	return follow(
		ctx,
		browser,
		http.MethodPost,
		issuerURL+"login",
		url.Values{"id": {page.Query().Get("id")}, "account": {name}},
	)
}

// follow makes a request and follows redirects to a page, or to where the sign-in ends.
func follow(ctx context.Context, browser *http.Client, method, address string, form url.Values) (*url.URL, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := browser.Do(r)
	var arrived *url.Error
	if errors.As(err, &arrived) && errors.Is(err, errArrived) {
		return url.Parse(arrived.URL)
	}
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("sign in: %s %s: %s", method, resp.Request.URL.Path, resp.Status)
	}
	return resp.Request.URL, nil
}

// browser returns a client that stops where the issuer sends it away.
func browser(issuerURL, caFile string) (*http.Client, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("read CA: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, fmt.Errorf("make cookie jar: %w", err)
	}
	return &http.Client{
		Jar:       jar,
		Timeout:   10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
		CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			if !strings.HasPrefix(r.URL.String(), issuerURL) {
				return errArrived
			}
			return nil
		},
	}, nil
}
