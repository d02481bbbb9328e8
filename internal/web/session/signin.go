// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
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
	// CallbackPath is the path to which the issuer redirects after a sign-in.
	CallbackPath = "/login/callback"

	attemptName, sessionName = "login", "session"

	attemptLifetime = 10 * time.Minute
	sessionLifetime = 12 * time.Hour // after that a new sign-in is required, even if tokens were refreshed
	refreshBefore   = time.Minute
	issuerTimeout   = 10 * time.Second
)

// Config configures the sign-in.
type Config struct {
	Issuer       string // its URL, exactly as the issuer writes it
	ClientID     string
	ClientSecret string   // empty: a public client
	Audience     string   // of the access token; Auth0 expects it as a parameter
	Scopes       []string // requested in addition to the scopes of OpenID Connect: those that the pages need
	URL          string   // public URL of this server, without a path
	Key          []byte   // encrypts cookies; the same for all replicas
	Client       *http.Client
	Registry     Registry // nil: a Memory of this server alone
	Log          *slog.Logger
}

// Sessions signs users in and out, and keeps each session in an encrypted cookie. Create one with New.
type Sessions struct {
	config Config
	sealer sealer
	now    func() time.Time

	registry Registry

	mu       sync.Mutex
	provider *oidc.Provider // nil until the issuer has answered

	flights flights
}

// New returns Sessions. The issuer does not have to be reachable yet.
func New(c Config, now func() time.Time) (*Sessions, error) {
	sealer, err := newSealer(c.Key)
	if c.Registry == nil {
		c.Registry = &Memory{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Sessions{config: c, sealer: sealer, now: now, registry: c.Registry}, err
}

// attempt is the content of the cookie of a sign-in that has begun.
type attempt struct {
	State, Nonce, Verifier, Next string
	Expires                      time.Time
}

// session is the content of the cookie of a signed-in user.
type session struct {
	ID              string // random; the same after a refresh
	Access, Refresh string
	Expires, Ends   time.Time // of the access token, and of the session
}

// discover returns the issuer's metadata, which it requests until the issuer has answered once.
func (s *Sessions) discover(ctx context.Context) (*oidc.Provider, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.provider == nil {
		p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), s.config.Client), s.config.Issuer)
		if err != nil {
			return nil, fmt.Errorf("ask the issuer: %w", err)
		}
		s.provider = p
	}
	return s.provider, nil
}

func (s *Sessions) oauth(p *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID:     s.config.ClientID,
		ClientSecret: s.config.ClientSecret,
		Endpoint:     p.Endpoint(),
		RedirectURL:  s.config.URL + CallbackPath,
		Scopes:       append([]string{oidc.ScopeOpenID, "profile", "email", oidc.ScopeOfflineAccess}, s.config.Scopes...),
	}
}

func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Begin redirects the browser to the issuer. After the sign-in it returns to the local path next.
func (s *Sessions) Begin(w http.ResponseWriter, r *http.Request, next string) error {
	p, err := s.discover(r.Context())
	if err != nil {
		return err
	}
	a := attempt{
		State: random(), Nonce: random(), Verifier: oauth2.GenerateVerifier(),
		Next: Local(next), Expires: s.now().Add(attemptLifetime),
	}
	if err := s.sealer.write(w, r, attemptName, a, attemptLifetime); err != nil {
		return err
	}
	to := s.oauth(p).AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier),
		oauth2.SetAuthURLParam("audience", s.config.Audience))
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// ErrAttempt is the error of a sign-in that began in another browser, took too long, or was refused by the issuer.
var ErrAttempt = errors.New("the sign-in did not begin here, took too long, or was refused")

// Complete handles the redirect back from the issuer. It starts a session, which replaces an existing one, and returns
// the local path at which the sign-in began. Any error but ErrAttempt means that it could not be completed now.
func (s *Sessions) Complete(w http.ResponseWriter, r *http.Request) (next string, err error) {
	var a attempt
	err = s.sealer.read(r, attemptName, &a)
	expire(w, r, attemptName, 0) // one attempt, one answer
	q := r.URL.Query()
	switch {
	case err != nil,
		!s.now().Before(a.Expires),
		subtle.ConstantTimeCompare([]byte(a.State), []byte(q.Get("state"))) != 1:
		return "", ErrAttempt
	case q.Get("error") != "":
		return "", fmt.Errorf("%w: %s", ErrAttempt, q.Get("error"))
	}
	p, err := s.discover(r.Context())
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(r.Context(), s.config.Client), issuerTimeout)
	defer cancel()
	token, err := s.exchange(ctx, p, q.Get("code"), a.Verifier)
	if err != nil {
		return "", err
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := p.VerifierContext(ctx, &oidc.Config{ClientID: s.config.ClientID, Now: s.now}).Verify(ctx, raw)
	if keysUnavailable(err) {
		return "", err
	}
	if err != nil || subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(a.Nonce)) != 1 {
		return "", fmt.Errorf("%w: the identity token is not for this attempt", ErrAttempt)
	}
	var before session
	if s.sealer.read(r, sessionName, &before) == nil && before.ID != "" { // it is replaced
		if err := s.end(r.Context(), before); err != nil {
			return "", err
		}
	}
	return a.Next, s.keep(w, r, session{ID: random(), Access: token.AccessToken, Refresh: token.RefreshToken,
		Expires: token.Expiry, Ends: s.now().Add(sessionLifetime)})
}

// keysUnavailable reports whether an identity token could not be verified because the issuer's keys could not be
// fetched. The library says so only in words.
func keysUnavailable(err error) bool {
	return err != nil && strings.Contains(err.Error(), "fetching keys")
}

// exchange returns the tokens for a code. The error is ErrAttempt only if the issuer refuses the code.
func (s *Sessions) exchange(ctx context.Context, p *oidc.Provider, code, verifier string) (*oauth2.Token, error) {
	token, err := s.oauth(p).Exchange(ctx, code, oauth2.VerifierOption(verifier))
	var refusal *oauth2.RetrieveError
	switch {
	case errors.As(err, &refusal) && refusal.ErrorCode != "":
		return nil, fmt.Errorf("%w: the issuer refuses the code: %s", ErrAttempt, refusal.ErrorCode)
	case err != nil:
		return nil, fmt.Errorf("exchange code: %w", err)
	}
	return token, nil
}

func (s *Sessions) keep(w http.ResponseWriter, r *http.Request, content session) error {
	return s.sealer.write(w, r, sessionName, content, content.Ends.Sub(s.now()))
}

// ErrNone is the error of a request without a valid session.
var ErrNone = errors.New("the request has no valid session")

// Token returns the access token of the signed-in user and refreshes it shortly before it expires. It returns ErrNone
// if the request has no valid session. Any other error means that this cannot be decided now: the session may be valid.
func (s *Sessions) Token(w http.ResponseWriter, r *http.Request) (string, error) {
	var current session
	if s.sealer.read(r, sessionName, &current) != nil || current.ID == "" || !s.now().Before(current.Ends) {
		return "", ErrNone
	}
	asked, cancel := context.WithTimeout(r.Context(), registryTimeout)
	ended, err := s.registry.SessionEnded(asked, current.ID)
	cancel()
	switch {
	case err != nil:
		return "", err //nolint:wrapcheck // of our own database
	case ended:
		expire(w, r, sessionName, 0)
		return "", ErrNone
	case s.now().Before(current.Expires.Add(-refreshBefore)):
		return current.Access, nil
	}
	fresh, err := s.refreshOnce(r.Context(), current)
	switch {
	case err == nil:
		next := session{ID: current.ID, Access: fresh.AccessToken, Refresh: fresh.RefreshToken, Expires: fresh.Expiry,
			Ends: current.Ends}
		return next.Access, s.keep(w, r, next)
	case s.now().Before(current.Expires):
		return current.Access, nil
	case !refused(err):
		return "", err
	}
	expire(w, r, sessionName, 0)
	return "", ErrNone
}

// End ends the session, in this browser and for every copy of its cookie, and revokes its refresh token at the issuer.
// It returns the URL that ends the issuer's own session too, or "/" if the issuer has none. After an error the session
// goes on, and the user can sign out again.
func (s *Sessions) End(w http.ResponseWriter, r *http.Request) (string, error) {
	var current session
	known := s.sealer.read(r, sessionName, &current) == nil && current.ID != ""
	if known {
		if err := s.end(r.Context(), current); err != nil {
			return "", err
		}
	}
	expire(w, r, sessionName, 0)
	return s.issuerEnd(r.Context()), nil
}

// end ends a session for every copy of its cookie, and revokes its refresh tokens, also when the browser does not wait.
func (s *Sessions) end(ctx context.Context, of session) error {
	ctx = context.WithoutCancel(ctx)
	asked, cancel := context.WithTimeout(ctx, registryTimeout)
	err := s.registry.EndSession(asked, of.ID, of.Ends)
	cancel()
	refresh := []string{of.Refresh}
	if next := s.flights.result(of); next != nil && next.RefreshToken != of.Refresh {
		refresh = append(refresh, next.RefreshToken) // of which the browser has no cookie yet
	}
	for _, token := range refresh {
		if err := s.revoke(ctx, token); err != nil {
			s.config.Log.WarnContext(ctx, "the issuer has not revoked a refresh token", "error", err)
		}
	}
	return err //nolint:wrapcheck // of our own database
}

// issuerEnd returns the URL that ends the issuer's own session, or "/" if the issuer has none.
func (s *Sessions) issuerEnd(ctx context.Context) string {
	var metadata struct {
		End string `json:"end_session_endpoint"`
	}
	p, err := s.discover(ctx)
	if err != nil || p.Claims(&metadata) != nil || metadata.End == "" {
		return "/"
	}
	to, err := url.Parse(metadata.End)
	if err != nil {
		return "/"
	}
	q := to.Query()
	q.Set("client_id", s.config.ClientID)
	q.Set("post_logout_redirect_uri", s.config.URL+"/")
	to.RawQuery = q.Encode()
	return to.String()
}

// URL returns the public URL of this server, without a path.
func (s *Sessions) URL() string { return s.config.URL }

// Origin returns the issuer's origin. The browser has to allow forms to redirect there.
func (s *Sessions) Origin() string {
	u, err := url.Parse(s.config.Issuer)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// Local returns next if it is a local path, and "/" for anything that a browser could resolve to another host.
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
