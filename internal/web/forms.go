// SPDX-License-Identifier: Apache-2.0

package web

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/manage"
	"github.com/kaana/apikey-operator/internal/rest"
)

// knownScopes are the scopes of our own endpoints. A key may have others, which services require with /auth.
var knownScopes = []struct{ Name, Means string }{
	{"user:read", "see whose key it is"}, {"projects:read", "see the projects"},
	{"keys:read", "see keys"}, {"keys:write", "create, change and revoke keys"},
	{"activity:read", "see what keys are used for"}, {"tokens:introspect", "ask whether a token is good"},
}

// form is what the page to create a key shows.
type form struct {
	Projects []authn.Project
	Roles    []string
	Scopes   []scopeBox
	Values   map[string]string
	Faults   map[string]string // by field
	Once     string            // names the request, so that sending it again does not create a second key
}

type scopeBox struct {
	Name, Means string
	Checked     bool
}

// newForm returns the form with the values that the user has sent, or with the defaults.
func (s *Pages) newForm(p authn.Principal, r *http.Request) form {
	f := form{
		Projects: s.Projects(p.Tenant), Faults: map[string]string{}, Once: r.PostFormValue("once"),
		Values: map[string]string{"expires": "90d", "role": min(p.Role, authn.Member).String()},
	}
	for role := authn.Viewer; role <= p.Role; role++ {
		f.Roles = append(f.Roles, role.String())
	}
	for _, k := range knownScopes {
		if p.Scopes == "" || p.Scopes.Has(k.Name) {
			f.Scopes = append(f.Scopes, scopeBox{k.Name, k.Means, slices.Contains(r.PostForm["scope"], k.Name)})
		}
	}
	if r.Method == http.MethodPost {
		for _, name := range []string{"name", "project", "description", "role", "expires", "networks", "scopes"} {
			f.Values[name] = r.PostFormValue(name)
		}
	}
	if f.Once == "" {
		f.Once = once()
	}
	return f
}

func once() string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	return hex.EncodeToString(random[:])
}

func (s *Pages) showNew(w http.ResponseWriter, r *http.Request, p authn.Principal) {
	s.show(w, r, http.StatusOK, "new", screen{Title: "Create API key", Data: s.newForm(p, r)}.of(p))
}

const day = 24 * time.Hour

// lifetimes are the choices of the form; with 0 the key never expires.
var lifetimes = map[string]time.Duration{
	"7d":    7 * day,
	"30d":   30 * day,
	"90d":   90 * day,
	"365d":  365 * day,
	"never": 0,
}

func (s *Pages) createFromForm(w http.ResponseWriter, r *http.Request, p authn.Principal) {
	f := s.newForm(p, r)
	if _, ok := lifetimes[f.Values["expires"]]; !ok { // not of this form: nothing is known of what was meant
		f.Faults["expires"] = "choose when the key expires"
		s.show(w, r, http.StatusUnprocessableEntity, "new", screen{Title: "Create API key", Data: f}.of(p))
		return
	}
	in := s.createRequest(f, r)
	made, err := s.Manage.Create(r.Context(), p, in)
	var problem *manage.Problem
	switch {
	case errors.Is(err, manage.ErrDone): // the form was sent again: its token was shown and keeps working
		redirectToKey(w, r, in.Project, in.Name)
	case errors.As(err, &problem) && problem.Kind != manage.NotFound:
		f.addFaults(problem)
		s.show(w, r, http.StatusUnprocessableEntity, "new", screen{Title: "Create API key", Data: f}.of(p))
	case err != nil:
		s.showError(w, r, p, err)
	default:
		s.showToken(w, r, p, made)
	}
}

// createRequest converts the values of the form.
func (s *Pages) createRequest(f form, r *http.Request) manage.CreateRequest {
	separator := func(c rune) bool { return c == ',' || c == ' ' || c == '\n' || c == '\r' }
	in := manage.CreateRequest{
		Project: f.Values["project"], Name: strings.TrimSpace(f.Values["name"]),
		Description: strings.TrimSpace(f.Values["description"]), Role: v1alpha1.Role(f.Values["role"]),
		Scopes:       append(slices.Clone(r.PostForm["scope"]), strings.Fields(f.Values["scopes"])...),
		AllowedCIDRs: strings.FieldsFunc(f.Values["networks"], separator),
		Idempotency:  manage.Idempotency{Name: f.Once, Seen: true},
	}
	if d := lifetimes[f.Values["expires"]]; d > 0 {
		in.ExpiresAt = s.Now().Add(d).Truncate(time.Second)
	}
	return in
}

// redirectToKey redirects to the page of a key.
func redirectToKey(w http.ResponseWriter, r *http.Request, project, name string) {
	http.Redirect(w, r, keysPage+"/"+url.PathEscape(project)+"/"+url.PathEscape(name), http.StatusSeeOther)
}

// addFaults adds the invalid fields of a problem to the form.
func (f *form) addFaults(p *manage.Problem) {
	for _, fault := range p.Fields {
		f.Faults[fieldOf(fault.Path)] = fault.Message
	}
	if len(f.Faults) == 0 {
		f.Faults["name"] = p.Message
	}
}

// fieldOf returns the field of the form for a field of a manage.Problem.
func fieldOf(path string) string {
	name, _, _ := strings.Cut(path, "[")
	switch name {
	case "allowedCIDRs":
		return "networks"
	case "expiresAt":
		return "expires"
	}
	return name
}

// created is what the page with a new token shows.
type created struct {
	Key           rest.KeyView
	Token         string
	PreviousUntil *time.Time
	URL           string
}

func (s *Pages) showToken(w http.ResponseWriter, r *http.Request, p authn.Principal, made manage.Issued) {
	v := created{Key: s.API.View(made.Key), URL: s.Sessions.URL()}
	if !made.PreviousUntil.IsZero() {
		v.PreviousUntil = &made.PreviousUntil
	}
	title := "A new token is on its way to the Secret"
	if made.Shown {
		v.Token, title = made.Token.Reveal(), "Copy the token now"
	}
	s.show(w, r, http.StatusOK, "created", screen{Title: title, Data: v}.of(p))
}

// confirm is what the page shows that asks before a change of a key.
type confirm struct {
	Key     rest.KeyView
	Action  string
	Overlap string
	Rate    int64  // requests in the last hour
	Once    string // names the request, so that sending it again does not do it twice
}

var actions = map[string]string{
	"rotate": "Rotate", "suspend": "Suspend", "resume": "Resume", "revoke": "Revoke", "delete": "Delete",
}

func (s *Pages) showConfirm(w http.ResponseWriter, r *http.Request, p authn.Principal) {
	action := r.PathValue("action")
	if actions[action] == "" {
		v := screen{Title: "Not found", Data: "There is nothing at this address."}
		s.show(w, r, http.StatusNotFound, "problem", v.of(p))
		return
	}
	v, err := s.shownKey(r.Context(), p, r)
	if err != nil {
		s.showError(w, r, p, err)
		return
	}
	c := confirm{Key: v.Key, Action: action, Overlap: "24h", Once: once()}
	if v.Key.Rotation != nil && v.Key.Rotation.Overlap != "" {
		c.Overlap = v.Key.Rotation.Overlap
	}
	if a := v.Activity; a != nil && len(a.Series) > 0 {
		last := a.Series[len(a.Series)-1]
		c.Rate = last.Accepted + last.Denied
	}
	s.show(w, r, http.StatusOK, "confirm", screen{Title: actions[action] + " " + v.Key.Name, Data: c}.of(p))
}

func (s *Pages) actOnKey(w http.ResponseWriter, r *http.Request, p authn.Principal) {
	ctx, project, name := r.Context(), r.PathValue("project"), r.PathValue("name")
	reason := r.PostFormValue("reason")
	var err error
	switch r.PathValue("action") {
	case "rotate":
		s.rotateFromForm(w, r, p)
		return
	case "suspend":
		_, err = s.Manage.Suspend(ctx, p, project, name, reason)
	case "resume":
		resume := func(spec *v1alpha1.ApiKeySpec) { spec.State, spec.StateReason = v1alpha1.KeyActive, "" }
		_, err = s.Manage.Change(ctx, p, project, name, "", resume)
	case "revoke":
		_, err = s.Manage.Revoke(ctx, p, project, name, reason)
	case "delete":
		if err = s.Manage.Delete(ctx, p, project, name, ""); err == nil {
			http.Redirect(w, r, keysPage, http.StatusSeeOther)
			return
		}
	default:
		err = &manage.Problem{Kind: manage.NotFound, Message: "There is nothing at this address"}
	}
	if err != nil {
		s.showError(w, r, p, err)
		return
	}
	redirectToKey(w, r, project, name)
}

func (s *Pages) rotateFromForm(w http.ResponseWriter, r *http.Request, p authn.Principal) {
	project, name := r.PathValue("project"), r.PathValue("name")
	overlap, err := time.ParseDuration(r.PostFormValue("overlap"))
	if err != nil || overlap < 0 || overlap > rest.MaxOverlap {
		overlap = -1
	}
	once := manage.Idempotency{Name: r.PostFormValue("once"), Seen: true}
	made, err := s.Manage.Rotate(r.Context(), p, project, name, overlap, once)
	if errors.Is(err, manage.ErrDone) {
		redirectToKey(w, r, project, name)
		return
	}
	if err != nil {
		s.showError(w, r, p, err)
		return
	}
	s.showToken(w, r, p, made)
}
