// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	// CallbackPath is where the issuer sends people back to.
	CallbackPath = "/login/callback"

	attemptName, sessionName = "login", "session"

	attemptLifetime = 10 * time.Minute
	sessionLifetime = 12 * time.Hour // then people sign in again, however often it was refreshed
	refreshBefore   = time.Minute
	issuerTimeout   = 10 * time.Second
)

// Config says where and as what people sign in.
type Config struct {
	Issuer       string // its URL, to the letter
	ClientID     string
	ClientSecret string   // empty: a public client
	Audience     string   // of the access token; Auth0 and its like take it as a parameter
	Scopes       []string // asked for besides those of OpenID Connect: what the pages do for people
	URL          string   // of this server as people reach it, without a path
	Key          []byte   // seals cookies; the same for all replicas
	Client       *http.Client
}

// Door is where people sign in and out. Make one with New.
type Door struct {
	config Config
	sealer sealer
	now    func() time.Time

	mu       sync.Mutex
	provider *oidc.Provider // once it has answered
}

// New returns a door. The issuer need not answer yet.
func New(c Config, now func() time.Time) (*Door, error) {
	s, err := newSealer(c.Key)
	return &Door{config: c, sealer: s, now: now}, err
}

// attempt is what is remembered while somebody is at the issuer.
type attempt struct {
	State, Nonce, Verifier, Next string
	Expires                      time.Time
}

// session is what is remembered of who is signed in.
type session struct {
	Access, Refresh string
	Expires, Ends   time.Time // of the access token, and of the session
}

// discover returns what the issuer says of itself.
func (d *Door) discover(ctx context.Context) (*oidc.Provider, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.provider == nil {
		p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), d.config.Client), d.config.Issuer)
		if err != nil {
			return nil, fmt.Errorf("ask the issuer: %w", err)
		}
		d.provider = p
	}
	return d.provider, nil
}

func (d *Door) oauth(p *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{ClientID: d.config.ClientID, ClientSecret: d.config.ClientSecret, Endpoint: p.Endpoint(), RedirectURL: d.config.URL + CallbackPath,
		Scopes: append([]string{oidc.ScopeOpenID, "profile", "email", oidc.ScopeOfflineAccess}, d.config.Scopes...)}
}

func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Begin sends somebody to the issuer, to come back to a page of ours.
func (d *Door) Begin(w http.ResponseWriter, r *http.Request, next string) error {
	p, err := d.discover(r.Context())
	if err != nil {
		return err
	}
	a := attempt{State: random(), Nonce: random(), Verifier: oauth2.GenerateVerifier(), Next: Local(next), Expires: d.now().Add(attemptLifetime)}
	if err := d.sealer.write(w, r, attemptName, a, attemptLifetime); err != nil {
		return err
	}
	to := d.oauth(p).AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier), oauth2.SetAuthURLParam("audience", d.config.Audience))
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// ErrAttempt is a sign-in that did not begin in this browser, took too long, or was refused by the issuer.
var ErrAttempt = errors.New("the sign-in did not begin here, took too long, or was refused")

// Complete takes somebody back from the issuer and returns where they wanted to be. Whatever session there was is
// replaced.
func (d *Door) Complete(w http.ResponseWriter, r *http.Request) (next string, err error) {
	var a attempt
	err = d.sealer.read(r, attemptName, &a)
	expire(w, r, attemptName, 0) // one attempt, one answer
	q := r.URL.Query()
	switch {
	case err != nil, !d.now().Before(a.Expires), subtle.ConstantTimeCompare([]byte(a.State), []byte(q.Get("state"))) != 1:
		return "", ErrAttempt
	case q.Get("error") != "":
		return "", fmt.Errorf("%w: %s", ErrAttempt, q.Get("error"))
	}
	p, err := d.discover(r.Context())
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(r.Context(), d.config.Client), issuerTimeout)
	defer cancel()
	token, err := d.oauth(p).Exchange(ctx, q.Get("code"), oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return "", fmt.Errorf("%w: the issuer does not know the code", ErrAttempt)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := p.VerifierContext(ctx, &oidc.Config{ClientID: d.config.ClientID, Now: d.now}).Verify(ctx, raw)
	if err != nil || subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(a.Nonce)) != 1 {
		return "", fmt.Errorf("%w: the identity token is not for this attempt", ErrAttempt)
	}
	return a.Next, d.keep(w, r, token, d.now().Add(sessionLifetime))
}

func (d *Door) keep(w http.ResponseWriter, r *http.Request, t *oauth2.Token, ends time.Time) error {
	return d.sealer.write(w, r, sessionName, session{Access: t.AccessToken, Refresh: t.RefreshToken, Expires: t.Expiry, Ends: ends}, ends.Sub(d.now()))
}

// Token returns the access token of whoever is signed in, refreshed when it is about to end, and false when nobody
// is.
func (d *Door) Token(w http.ResponseWriter, r *http.Request) (string, bool) {
	var s session
	if d.sealer.read(r, sessionName, &s) != nil || !d.now().Before(s.Ends) {
		return "", false
	}
	if d.now().Before(s.Expires.Add(-refreshBefore)) {
		return s.Access, true
	}
	if fresh, err := d.refresh(r.Context(), s); err == nil {
		return fresh.AccessToken, d.keep(w, r, fresh, s.Ends) == nil
	}
	if d.now().Before(s.Expires) {
		return s.Access, true
	}
	expire(w, r, sessionName, 0)
	return "", false
}

func (d *Door) refresh(ctx context.Context, s session) (*oauth2.Token, error) {
	if s.Refresh == "" {
		return nil, errors.New("the issuer has given no refresh token")
	}
	p, err := d.discover(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, d.config.Client), issuerTimeout)
	defer cancel()
	t, err := d.oauth(p).TokenSource(ctx, &oauth2.Token{RefreshToken: s.Refresh}).Token()
	if err != nil {
		return nil, fmt.Errorf("refresh session: %w", err)
	}
	return t, nil
}

// End signs somebody out, here and at the issuer, and returns where to send them.
func (d *Door) End(w http.ResponseWriter, r *http.Request) string {
	expire(w, r, sessionName, 0)
	var says struct {
		End string `json:"end_session_endpoint"`
	}
	p, err := d.discover(r.Context())
	if err != nil || p.Claims(&says) != nil || says.End == "" {
		return "/"
	}
	to, err := url.Parse(says.End)
	if err != nil {
		return "/"
	}
	q := to.Query()
	q.Set("client_id", d.config.ClientID)
	q.Set("post_logout_redirect_uri", d.config.URL+"/")
	to.RawQuery = q.Encode()
	return to.String()
}

// URL returns this server as people reach it, without a path.
func (d *Door) URL() string { return d.config.URL }

// Origin returns the issuer's origin, which forms may lead to.
func (d *Door) Origin() string {
	u, err := url.Parse(d.config.Issuer)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// Local returns a path of ours as it is, and "/" for anything that a browser could take for somewhere else.
func Local(next string) string {
	strange := strings.ContainsFunc(next, func(c rune) bool {
		return c == '\\' || unicode.IsControl(c) || unicode.IsSpace(c) || c > unicode.MaxASCII
	})
	u, err := url.Parse(next)
	if err != nil || strange || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || u.Host != "" {
		return "/"
	}
	return next
}
