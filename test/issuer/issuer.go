// SPDX-License-Identifier: Apache-2.0

// Package issuer is an OpenID Connect issuer on this machine, for tests and for `make run`: the
// certified provider of zitadel/oidc in the shape of Auth0, with three accounts that sign in by one
// click. It is no part of the product.
package issuer

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/kaana/apikey-operator/test/process"
)

const (
	// Audience is the API that access tokens are for.
	Audience = "https://api.kaana.test"
	// ClientID is the one application that signs people in.
	ClientID = "kaana-local"
	// ClientSecret is its secret; it opens nothing but this issuer.
	ClientSecret = "local-only"
	// Namespace starts the names of the issuer's own claims.
	Namespace = "https://kaana.com/"

	keyBits       = 2048
	tokenLifetime = 10 * time.Minute
	headerTimeout = 5 * time.Second
)

// Account is somebody who can sign in.
type Account struct {
	Name, Subject, Email, Role, Tenant string
	Permissions                        []string
}

var memberScopes = []string{"user:read", "projects:read", "keys:read", "keys:write", "activity:read"}

// Accounts are all who can sign in.
var Accounts = []Account{
	{"admin", "auth0|1001", "ada@acme.example", "admin", "acme", append([]string{"tokens:introspect"}, memberScopes...)},
	{"member", "auth0|1002", "max@acme.example", "member", "acme", memberScopes},
	{"globex", "auth0|2001", "gil@globex.example", "member", "globex", memberScopes},
	{
		"scoped",
		"auth0|1003",
		"sue@acme.example",
		"member",
		"acme",
		nil,
	}, // of an API without RBAC: limited to what the application asks for
}

func account(subject string) (Account, error) {
	for _, a := range Accounts {
		if a.Subject == subject || a.Name == subject {
			return a, nil
		}
	}
	return Account{}, fmt.Errorf("no account %q: want admin, member, globex or scoped", subject)
}

// Issuer is a running issuer.
type Issuer struct {
	URL string // with a slash at its end, as Auth0's

	mu        sync.Mutex
	requests  map[string]*request // by id
	codes     map[string]string   // ids by code
	refresh   map[string]*request // by refresh token
	keys      []*signingKey       // the first signs
	redirects []string            // where people may be sent back to
	fetches   int                 // of the keys
	hidden    bool                // the keys are

	server  *http.Server
	cert    tls.Certificate
	handler http.Handler
}

// Start starts an issuer with that certificate, which may send people back to those URLs. It is stopped by Stop.
func Start(ctx context.Context, certFile, keyFile string, redirects ...string) (*Issuer, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("load the issuer's certificate: %w", err)
	}
	address, err := process.Address() // not any: Listen takes it again
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	i := &Issuer{
		URL:       "https://localhost:" + port + "/",
		requests:  map[string]*request{},
		codes:     map[string]string{},
		refresh:   map[string]*request{},
		redirects: append(redirects, callback),
		cert:      cert,
	}
	if err := i.Roll(); err != nil {
		return nil, err
	}
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // never fails
	provider, err := op.NewProvider(
		&op.Config{CryptoKey: seed, CodeMethodS256: true, AuthMethodPost: true, GrantTypeRefreshToken: true},
		(*storage)(i),
		op.StaticIssuer(i.URL),
		op.WithCustomEndpoints(op.NewEndpoint("authorize"), op.NewEndpoint("oauth/token"), op.NewEndpoint("userinfo"),
			op.NewEndpoint("oauth/revoke"), op.NewEndpoint("oidc/logout"), op.NewEndpoint(".well-known/jwks.json")),
	)
	if err != nil {
		return nil, fmt.Errorf("make issuer: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", i.showLogin)
	mux.HandleFunc(
		"POST /login",
		func(w http.ResponseWriter, r *http.Request) { i.login(w, r, op.AuthCallbackURL(provider)) },
	)
	mux.Handle("/", provider)
	i.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/jwks.json") {
			i.mu.Lock()
			i.fetches++
			hidden := i.hidden
			i.mu.Unlock()
			if hidden {
				http.Error(w, "try again", http.StatusServiceUnavailable)
				return
			}
		}
		// Auth0's parameter, which the library does not know.
		mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), audienceKey{}, r.FormValue("audience"))))
	})
	return i, i.Listen(ctx)
}

// Listen takes the issuer up again after Stop.
func (i *Issuer) Listen(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(
		ctx,
		"tcp",
		"127.0.0.1:"+strings.Trim(i.URL[strings.LastIndexByte(i.URL, ':')+1:], "/"),
	)
	if err != nil {
		return fmt.Errorf("start issuer: %w", err)
	}
	i.server = &http.Server{Handler: i.handler, ReadHeaderTimeout: headerTimeout,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{i.cert}, MinVersion: tls.VersionTLS12}}
	go func(s *http.Server) { _ = s.ServeTLS(l, "", "") }(i.server)
	return nil
}

// Stop closes every connection at once, as a crash would.
func (i *Issuer) Stop() error { return i.server.Close() }

// Fetches returns how often the keys were asked for.
func (i *Issuer) Fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// HideKeys makes the issuer answer 503 to requests for its keys, or ends that.
func (i *Issuer) HideKeys(hidden bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.hidden = hidden
}

// Roll makes a new key, which signs from now on. The former one stays published.
func (i *Issuer) Roll() error {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return fmt.Errorf("make the issuer's key: %w", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append([]*signingKey{{id: random(), key: key}}, i.keys...)
	return nil
}

// Retire stops publishing every key but the one that signs.
func (i *Issuer) Retire() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = i.keys[:1]
}

// Key returns the key that signs, and its id, for tests that make tokens of their own.
func (i *Issuer) Key() (*rsa.PrivateKey, string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys[0].key, i.keys[0].id
}

func random() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

var loginPage = template.Must(template.New("login").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Local sign-in</title>
<style>:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:24rem;margin:15vh auto;padding:0 1rem}
button{font:inherit;width:100%;margin:.3rem 0;padding:.7rem 1rem;text-align:left;
border:1px solid #8888;border-radius:.5rem;cursor:pointer}</style>
<h1>Sign in</h1><p>Accounts of this machine's issuer, for trying things out.</p>
<form method="post" action="/login"><input type="hidden" name="id" value="{{.ID}}">
{{range .Accounts}}<button name="account" value="{{.Name}}">
<strong>{{.Email}}</strong><br>{{.Role}} of {{.Tenant}}</button>
{{end}}</form></html>`))

func (i *Issuer) showLogin(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = loginPage.Execute(w, map[string]any{"ID": r.FormValue("id"), "Accounts": Accounts})
}

func (i *Issuer) login(w http.ResponseWriter, r *http.Request, back func(context.Context, string) string) {
	a, err := account(r.FormValue("account"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	i.mu.Lock()
	req := i.requests[r.FormValue("id")]
	if req != nil {
		req.account, req.done = a, true
	}
	i.mu.Unlock()
	if req == nil {
		http.Error(w, errUnknown.Error(), http.StatusBadRequest)
		return
	}
	http.Redirect(w, r, back(op.ContextWithIssuer(r.Context(), i.URL), req.id), http.StatusFound)
}

var errUnknown = errors.New("this sign-in is not known any more; start again")
