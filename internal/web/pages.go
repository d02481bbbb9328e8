// SPDX-License-Identifier: Apache-2.0

package web

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
	"github.com/kaana/apikey-operator/internal/door"
	"github.com/kaana/apikey-operator/internal/manage"
	"github.com/kaana/apikey-operator/internal/rest"
	"github.com/kaana/apikey-operator/internal/web/session"
)

const (
	keysPage  = "/settings/api-keys"
	assets    = "/assets/"
	assetLife = "public, max-age=3600"
)

// Pages are the HTML pages. All fields are required.
type Pages struct {
	Auth     *door.Authenticator
	Proxies  door.TrustedProxies
	Sessions *session.Sessions
	API      *rest.API // makes the views
	Manage   *manage.Service
	Projects func(tenant string) []authn.Project
	Log      *slog.Logger
	Now      func() time.Time
}

// handler is a page for a signed-in user.
type handler func(http.ResponseWriter, *http.Request, authn.Principal)

// Mount adds the pages to a mux.
func (s *Pages) Mount(mux *http.ServeMux) {
	static := http.FileServerFS(pageFiles)
	mux.HandleFunc("GET "+assets+"{file}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", assetLife)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		r.URL.Path = "/pages/assets/" + r.PathValue("file")
		static.ServeHTTP(w, r)
	})
	handle := func(pattern string, h http.HandlerFunc) { mux.Handle(pattern, s.protected(h)) }
	handle("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, keysPage, http.StatusSeeOther)
	})
	handle("GET /login", s.showSignIn)
	handle("POST /login", s.beginSignIn)
	handle("GET "+session.CallbackPath, s.completeSignIn)
	handle("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		to, err := s.Sessions.End(w, r)
		if err != nil {
			s.Log.ErrorContext(r.Context(), "cannot end a session", "error", err)
			s.showProblem(w, r, http.StatusServiceUnavailable, "You are still signed in",
				"The server could not end your session. Try again in a moment.")
			return
		}
		http.Redirect(w, r, to, http.StatusSeeOther) //nolint:gosec // a URL of the issuer
	})
	handle("GET "+keysPage, s.signedIn(authn.ReadKeys, s.showKeys))
	handle("GET "+keysPage+"/new", s.signedIn(authn.WriteKeys, s.showNew))
	handle("POST "+keysPage, s.signedIn(authn.WriteKeys, s.createFromForm))
	handle("GET "+keysPage+"/{project}/{name}", s.signedIn(authn.ReadKeys, s.showKey))
	handle("GET "+keysPage+"/{project}/{name}/plots/{plot}", s.signedIn(authn.ReadActivity, s.showPlot))
	handle("GET "+keysPage+"/{project}/{name}/{action}", s.signedIn(authn.WriteKeys, s.showConfirm))
	handle("POST "+keysPage+"/{project}/{name}/{action}", s.signedIn(authn.WriteKeys, s.actOnKey))
}

// protected adds the security headers of a page: no content from other hosts, no frames, and no forms of other sites.
func (s *Pages) protected(next http.Handler) http.Handler {
	csp := "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; form-action 'self' " +
		s.Sessions.Origin() + "; frame-ancestors 'none'; base-uri 'none'"
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.showProblem(w, r, http.StatusForbidden, "Not from here",
			"This form was sent from another site. Open the page itself and try again.")
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", csp)
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		door.Uncached(h)
		guard.Handler(next).ServeHTTP(w, r)
	})
}

// signedIn calls next if the user is signed in and the rule permits it. Other users are redirected to the sign-in. The
// verdict on the access token is the same as at every endpoint.
func (s *Pages) signedIn(rule authn.Rule, next handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, err := s.Sessions.Token(w, r)
		if err != nil && !errors.Is(err, session.ErrNone) {
			s.Log.WarnContext(r.Context(), "cannot decide whether a session is valid", "error", err)
			s.showUndecided(w, r)
			return
		}
		if err != nil {
			to := keysPage
			if r.Method == http.MethodGet {
				to = r.URL.RequestURI()
			}
			redirectToSignIn(w, r, to)
			return
		}
		p, denied, err := s.Auth.Authenticate(r.Context(), door.Attempt{
			Endpoint: door.EndpointPage, Token: token, From: s.Proxies.Client(r), Route: r.Pattern, Peer: r.RemoteAddr,
		}, rule)
		switch {
		case err != nil:
			s.showUndecided(w, r)
		case denied.Denied() && denied.Code() == denial.InsufficientScope:
			v := screen{Title: "Access denied", Data: denied.Code().Message() + "."}
			s.show(w, r, http.StatusForbidden, "problem", v.of(p))
		case denied.Denied():
			redirectToSignIn(w, r, keysPage)
		default:
			from := manage.Origin{Endpoint: "page", RequestID: door.RequestID(r.Context())}
			next(w, r.WithContext(manage.From(r.Context(), from)), p)
		}
	}
}

// showUndecided says that the server cannot decide now who the user is. Browsers load the page again by themselves.
func (s *Pages) showUndecided(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		w.Header().Set("Refresh", "2")
	}
	s.showProblem(w, r, http.StatusServiceUnavailable, "Temporarily unavailable",
		"The server cannot verify your session now. Try again in a moment.")
}

func redirectToSignIn(w http.ResponseWriter, r *http.Request, next string) {
	http.Redirect(w, r, "/login?next="+url.QueryEscape(next), http.StatusSeeOther)
}

func (s *Pages) showSignIn(w http.ResponseWriter, r *http.Request) {
	v := screen{Title: "Sign in", Data: session.Local(r.URL.Query().Get("next"))}
	s.show(w, r, http.StatusOK, "signin", v)
}

func (s *Pages) beginSignIn(w http.ResponseWriter, r *http.Request) {
	if err := s.Sessions.Begin(w, r, r.PostFormValue("next")); err != nil {
		s.Log.WarnContext(r.Context(), "cannot begin the sign-in", "error", err)
		s.showProblem(w, r, http.StatusServiceUnavailable, "Temporarily unavailable",
			"The identity provider does not answer. Try again in a moment.")
	}
}

func (s *Pages) completeSignIn(w http.ResponseWriter, r *http.Request) {
	next, err := s.Sessions.Complete(w, r)
	if err != nil {
		s.Log.InfoContext(r.Context(), "sign-in failed", "error", err)
		if !errors.Is(err, session.ErrAttempt) {
			s.showProblem(w, r, http.StatusServiceUnavailable, "Temporarily unavailable",
				"The sign-in could not be completed now. Sign in again in a moment.")
			return
		}
		s.showProblem(w, r, http.StatusBadRequest, "Not signed in",
			"The sign-in did not begin in this browser, took too long, or was refused. Sign in again.")
		return
	}
	if next == "/" {
		next = keysPage
	}
	http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // a local path, by session.Local
}
