// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/denial"
	"github.com/kaana/apikey-operator/internal/manage"
	"github.com/kaana/apikey-operator/internal/web/session"
)

//go:embed pages
var pageFiles embed.FS

const (
	keysPage  = "/settings/api-keys"
	assets    = "/assets/"
	assetLife = "public, max-age=3600"
)

// templates are the pages; each is a file beside the layout.
var templates = func() map[string]*template.Template {
	out := map[string]*template.Template{}
	for _, name := range []string{"list", "new", "created", "key", "confirm", "signin", "problem"} {
		out[name] = template.Must(template.New("layout.html").Funcs(template.FuncMap{"words": strings.Fields, "pair": listOfCounts, "when": when, "ago": ago, "join": strings.Join, "lower": strings.ToLower}).
			ParseFS(pageFiles, "pages/layout.html", "pages/"+name+".html"))
	}
	return out
}()

// counts is a list of counts under a name, and the highest.
type counts struct {
	Name  string
	Items []countedView
	Most  int64
}

func listOfCounts(name string, items []countedView) counts {
	const few = 8
	c := counts{Name: name, Items: items[:min(few, len(items))]}
	for _, i := range items {
		c.Most = max(c.Most, i.Count)
	}
	return c
}

// when shows an instant that the reader's browser puts into its own zone.
func when(at any) template.HTML {
	var t time.Time
	switch v := at.(type) {
	case time.Time:
		t = v
	case *time.Time:
		if v != nil {
			t = *v
		}
	}
	if t.IsZero() {
		return "—"
	}
	u := t.UTC()
	return template.HTML(`<time datetime="` + u.Format(time.RFC3339) + `">` + u.Format("2 Jan 2006 15:04") + ` UTC</time>`) //nolint:gosec // digits and fixed words
}

// ago shows how long an instant is past, or ahead, in one unit.
func ago(t *time.Time, now time.Time) string {
	if t == nil || t.IsZero() {
		return "never"
	}
	d, form := now.Sub(*t), "%s ago"
	if d < 0 {
		d, form = -d, "in %s"
	}
	return strings.Replace(form, "%s", roughly(d), 1)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

func roughly(d time.Duration) string {
	units := []struct {
		size time.Duration
		name string
	}{{365 * 24 * time.Hour, "year"}, {30 * 24 * time.Hour, "month"}, {24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}}
	for _, u := range units {
		if n := int(d / u.size); n > 0 {
			return plural(n, u.name)
		}
	}
	return "moments"
}

// screen is what every page shows.
type screen struct {
	Title  string
	User   *user
	Tenant string
	Admin  bool
	Path   string
	Now    time.Time
	Notice string
	Data   any
}

// mountPages mounts the pages.
func (s *Server) mountPages(mux *http.ServeMux) {
	static := http.FileServerFS(pageFiles)
	mux.HandleFunc("GET "+assets+"{file}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", assetLife)
		w.Header()["X-Content-Type-Options"] = noSniff
		r.URL.Path = "/pages/assets/" + r.PathValue("file")
		static.ServeHTTP(w, r)
	})
	handle := func(pattern string, h func(http.ResponseWriter, *http.Request)) {
		mux.Handle(pattern, s.protected(http.HandlerFunc(h)))
	}
	handle("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, keysPage, http.StatusSeeOther) })
	handle("GET /login", s.showSignIn)
	handle("POST /login", s.beginSignIn)
	handle("GET "+session.CallbackPath, s.completeSignIn)
	handle("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, s.Login.End(w, r), http.StatusSeeOther) //nolint:gosec // what the issuer says of itself
	})
	handle("GET "+keysPage, s.signedIn(authn.ReadKeys, s.showKeys))
	handle("GET "+keysPage+"/new", s.signedIn(authn.WriteKeys, s.showNew))
	handle("POST "+keysPage, s.signedIn(authn.WriteKeys, s.createFromForm))
	handle("GET "+keysPage+"/{project}/{name}", s.signedIn(authn.ReadKeys, s.showKey))
	handle("GET "+keysPage+"/{project}/{name}/plots/{plot}", s.signedIn(authn.ReadActivity, s.showPlot))
	handle("GET "+keysPage+"/{project}/{name}/{action}", s.signedIn(authn.WriteKeys, s.showConfirm))
	handle("POST "+keysPage+"/{project}/{name}/{action}", s.signedIn(authn.WriteKeys, s.actOnKey))
}

// protected keeps a page to itself: nothing from elsewhere, in no frame, and no form of another site.
func (s *Server) protected(next http.Handler) http.Handler {
	csp := "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; form-action 'self' " + s.Login.Origin() + "; frame-ancestors 'none'; base-uri 'none'"
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.show(w, r, http.StatusForbidden, "problem", screen{Title: "Not from here", Data: "This form was sent from another site. Open the page itself and try again."})
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", csp)
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h["Cache-Control"], h["X-Content-Type-Options"] = noStore, noSniff
		guard.Handler(next).ServeHTTP(w, r)
	})
}

// signedIn lets somebody who is signed in through, when the rule allows them, and sends others to sign in. The
// verdict on their access token is the one of every door.
func (s *Server) signedIn(rule authn.Rule, next func(http.ResponseWriter, *http.Request, authn.Principal)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, ok := s.Login.Token(w, r)
		if !ok {
			to := keysPage
			if r.Method == http.MethodGet {
				to = r.URL.RequestURI()
			}
			http.Redirect(w, r, "/login?next="+url.QueryEscape(to), http.StatusSeeOther)
			return
		}
		p, denied, err := s.judge(r.Context(), presented{door: Page, token: token, from: s.client(r), route: r.Pattern, peer: r.RemoteAddr}, rule)
		switch {
		case err != nil:
			s.show(w, r, http.StatusServiceUnavailable, "problem", screen{Title: "One moment", Data: "The server cannot tell yet who you are. Try again in a moment."})
		case denied.Denied() && denied.Code() == denial.InsufficientScope:
			s.show(w, r, http.StatusForbidden, "problem", s.about(p, screen{Title: "Not for you", Data: denied.Code().Message() + "."}))
		case denied.Denied():
			http.Redirect(w, r, "/login?next="+url.QueryEscape(keysPage), http.StatusSeeOther)
		default:
			next(w, r, p)
		}
	}
}

// about adds who is looking.
func (s *Server) about(p authn.Principal, v screen) screen {
	v.User = &user{ID: accountID(p.ID()), Username: p.Username(), Role: p.Role.String()}
	v.Tenant, v.Admin = p.Tenant, p.Role == authn.Admin
	return v
}

// show writes a page.
func (s *Server) show(w http.ResponseWriter, r *http.Request, status int, name string, v screen) {
	v.Path, v.Now = r.URL.Path, time.Now()
	var out bytes.Buffer
	if err := templates[name].Execute(&out, v); err != nil {
		s.Log.ErrorContext(r.Context(), "show page", "page", name, "error", err)
		http.Error(w, "Something went wrong", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = out.WriteTo(w)
}

// sorry shows what went wrong.
func (s *Server) sorry(w http.ResponseWriter, r *http.Request, p authn.Principal, err error) {
	var f *apiFailure
	if !errors.As(s.failed(r.Context(), err), &f) {
		f = newFailure(http.StatusInternalServerError, "Something went wrong")
	}
	text := f.Message
	for _, d := range f.Details {
		text += ". " + strings.TrimPrefix(d.Field+": "+d.Message, ": ")
	}
	s.show(w, r, f.status, "problem", s.about(p, screen{Title: f.Failure.Error, Data: strings.TrimSuffix(text, ".") + "."}))
}

func (s *Server) showSignIn(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusOK, "signin", screen{Title: "Sign in", Data: session.Local(r.URL.Query().Get("next"))})
}

func (s *Server) beginSignIn(w http.ResponseWriter, r *http.Request) {
	if err := s.Login.Begin(w, r, r.PostFormValue("next")); err != nil {
		s.Log.WarnContext(r.Context(), "sign-in does not begin", "error", err)
		s.show(w, r, http.StatusServiceUnavailable, "problem", screen{Title: "One moment", Data: "The identity provider does not answer. Try again in a moment."})
	}
}

func (s *Server) completeSignIn(w http.ResponseWriter, r *http.Request) {
	next, err := s.Login.Complete(w, r)
	if err != nil {
		s.Log.InfoContext(r.Context(), "sign-in failed", "error", err)
		s.show(w, r, http.StatusBadRequest, "problem", screen{Title: "Not signed in", Data: "The sign-in did not begin in this browser, took too long, or was refused. Sign in again."})
		return
	}
	if next == "/" {
		next = keysPage
	}
	http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // session.Local has seen it
}

// listed is what the list of keys shows.
type listed struct {
	Keys     []KeyView
	Next     string // query of the next page
	Query    manage.Query
	Projects []authn.Project
	All      bool
	CanWrite bool

	Attention bool // those first that want a look
}

func (s *Server) showKeys(w http.ResponseWriter, r *http.Request, p authn.Principal) {
	q := r.URL.Query()
	query := manage.Query{Project: q.Get("project"), Text: q.Get("q"), State: manage.State(q.Get("state")), Owner: q.Get("owner"), Limit: 50, Cursor: q.Get("cursor")}
	v := listed{Attention: q.Get("order") == "attention" && p.Role == authn.Admin && !authn.AdminKeys.Permit(p).Denied(), Query: query, Projects: s.Verifier.Keys.Projects(p.Tenant), All: p.Role == authn.Admin, CanWrite: !authn.WriteKeys.Permit(p).Denied()}
	if err := s.listKeys(r.Context(), p, &v, q); err != nil {
		s.sorry(w, r, p, err)
		return
	}
	s.show(w, r, http.StatusOK, "list", s.about(p, screen{Title: "API keys", Data: v}))
}

// listKeys fills in the keys of a page.
func (s *Server) listKeys(ctx context.Context, p authn.Principal, v *listed, q url.Values) (err error) {
	if v.Attention {
		v.Keys, err = s.attention(ctx, p, v.Query)
		return err
	}
	found, err := s.Manage.Find(ctx, p, v.Query)
	if err != nil {
		return err
	}
	for i := range found.Keys {
		v.Keys = append(v.Keys, s.view(&found.Keys[i]))
	}
	s.used(ctx, p.Tenant, v.Keys)
	if found.Next != "" {
		q.Set("cursor", found.Next)
		v.Next = q.Encode()
	}
	return nil
}

// shown is what the page of a key shows.
type shown struct {
	Key      KeyView
	Activity *keyActivityView // nil: not kept, or not for this reader
	Timeline *timeline        // nil: nothing to show
	Events   []manage.Event
	YAML     string
	CanWrite bool
}

func (s *Server) showKey(w http.ResponseWriter, r *http.Request, p authn.Principal) {
	v, err := s.shownKey(r.Context(), p, r)
	if err != nil {
		s.sorry(w, r, p, err)
		return
	}
	v.Timeline = newTimeline(v.Key, s.Manage.Now())
	if v.Events, err = s.Manage.Events(r.Context(), v.Key.Project, v.Key.ID); err != nil {
		s.Log.WarnContext(r.Context(), "events are not shown", "error", err)
	}
	s.show(w, r, http.StatusOK, "key", s.about(p, screen{Title: v.Key.Name, Data: v}))
}

func (s *Server) shownKey(ctx context.Context, p authn.Principal, r *http.Request) (shown, error) {
	at := KeyPath{Project: r.PathValue("project"), Name: r.PathValue("name")}
	o, err := s.Manage.Get(ctx, p, at.Project, at.Name)
	if err != nil {
		return shown{}, err
	}
	v := shown{CanWrite: !authn.WriteKeys.Permit(p).Denied() && o.Spec.State != v1alpha1.KeyRevoked}
	views := []KeyView{s.view(o)}
	s.used(ctx, p.Tenant, views)
	v.Key = views[0]
	if v.YAML, err = manage.Manifest(o); err != nil {
		return shown{}, err
	}
	if s.Activity != nil && !authn.ReadActivity.Permit(p).Denied() {
		a, err := s.activityOf(ctx, o, Span{Step: "hour"})
		if err != nil {
			return shown{}, err
		}
		v.Activity = &a
	}
	return v, nil
}
