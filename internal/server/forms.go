// SPDX-License-Identifier: Apache-2.0

package server

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
)

// Scopes that the product itself knows; a key may have others, of whoever asks /auth for them.
var knownScopes = []struct{ Name, Means string }{
	{"user:read", "see whose key it is"}, {"projects:read", "see the projects"}, {"keys:read", "see keys"}, {"keys:write", "create, change and revoke keys"},
	{"activity:read", "see what keys are used for"}, {"tokens:introspect", "ask whether a token is good"},
}

// form is what the page to create a key shows.
type form struct {
	Projects []authn.Project
	Roles    []string
	Scopes   []scopeBox
	Others   string // scopes that are typed
	Values   map[string]string
	Faults   map[string]string // by field
	Once     string            // names the request, so that sending it again makes no second key
}

type scopeBox struct {
	Name, Means string
	Checked     bool
}

// newForm returns a form as it was filled in, or a fresh one.
func (s *Server) newForm(p authn.Principal, r *http.Request) form {
	f := form{Projects: s.Verifier.Keys.Projects(p.Tenant), Values: map[string]string{"expires": "90d", "role": min(p.Role, authn.Member).String()}, Faults: map[string]string{}, Once: r.PostFormValue("once")}
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

func (s *Server) showNew(w http.ResponseWriter, r *http.Request, p authn.Principal) {
	s.show(w, r, http.StatusOK, "new", s.about(p, screen{Title: "Create API key", Data: s.newForm(p, r)}))
}

// lifetimes are what the form offers; 0 is for ever.
var lifetimes = map[string]time.Duration{"7d": 7 * 24 * time.Hour, "30d": 30 * 24 * time.Hour, "90d": 90 * 24 * time.Hour, "365d": 365 * 24 * time.Hour, "never": 0}

func (s *Server) createFromForm(w http.ResponseWriter, r *http.Request, p authn.Principal) {
	f := s.newForm(p, r)
	in := manage.CreateRequest{Project: f.Values["project"], Name: strings.TrimSpace(f.Values["name"]), Description: strings.TrimSpace(f.Values["description"]), Role: v1alpha1.Role(f.Values["role"]),
		Scopes: append(slices.Clone(r.PostForm["scope"]), strings.Fields(f.Values["scopes"])...), AllowedCIDRs: strings.FieldsFunc(f.Values["networks"], func(c rune) bool { return c == ',' || c == ' ' || c == '\n' || c == '\r' }), Idempotency: manage.Idempotency{Name: f.Once, Seen: true}}
	if d := lifetimes[f.Values["expires"]]; d > 0 {
		in.ExpiresAt = s.Manage.Now().Add(d).Truncate(time.Second)
	}
	made, err := s.Manage.Create(r.Context(), p, in)
	var problem *manage.Problem
	switch {
	case errors.Is(err, manage.ErrDone): // the form was sent again: its token was shown, and stays
		http.Redirect(w, r, keysPage+"/"+url.PathEscape(in.Project)+"/"+url.PathEscape(in.Name), http.StatusSeeOther)
	case errors.As(err, &problem) && problem.Kind != manage.NotFound:
		f.blame(problem)
		s.show(w, r, http.StatusUnprocessableEntity, "new", s.about(p, screen{Title: "Create API key", Data: f}))
	case err != nil:
		s.sorry(w, r, p, err)
	default:
		s.showToken(w, r, p, made)
	}
}

// blame puts what is wrong beside the fields that it is about.
func (f *form) blame(p *manage.Problem) {
	for _, fault := range p.Fields {
		f.Faults[fieldOf(fault.Path)] = fault.Message
	}
	if len(f.Faults) == 0 {
		f.Faults["name"] = p.Message
	}
}

// fieldOf names a field of the form.
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

// minted is what is shown once.
type minted struct {
	Key           KeyView
	Token         string
	PreviousUntil *time.Time
	URL           string
}

func (s *Server) showToken(w http.ResponseWriter, r *http.Request, p authn.Principal, made manage.Issued) {
	v := minted{Key: s.view(made.Key), PreviousUntil: instant(made.PreviousUntil), URL: s.Login.URL()}
	title := "A new token is on its way to the Secret"
	if made.Shown {
		v.Token, title = made.Token.Reveal(), "Copy the token now"
	}
	s.show(w, r, http.StatusOK, "created", s.about(p, screen{Title: title, Data: v}))
}

// confirm is what is asked before something is done to a key.
type confirm struct {
	Key     KeyView
	Action  string
	Overlap string
	Rate    int64  // requests in the last hour
	Once    string // names the request, so that sending it again does not do it twice
}

var actions = map[string]string{"rotate": "Rotate", "suspend": "Suspend", "resume": "Resume", "revoke": "Revoke", "delete": "Delete"}

func (s *Server) showConfirm(w http.ResponseWriter, r *http.Request, p authn.Principal) {
	action := r.PathValue("action")
	if actions[action] == "" {
		s.show(w, r, http.StatusNotFound, "problem", s.about(p, screen{Title: "Not found", Data: "There is nothing at this address."}))
		return
	}
	v, err := s.shownKey(r.Context(), p, r)
	if err != nil {
		s.sorry(w, r, p, err)
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
	s.show(w, r, http.StatusOK, "confirm", s.about(p, screen{Title: actions[action] + " " + v.Key.Name, Data: c}))
}

func (s *Server) actOnKey(w http.ResponseWriter, r *http.Request, p authn.Principal) {
	ctx, project, name := r.Context(), r.PathValue("project"), r.PathValue("name")
	reason := r.PostFormValue("reason")
	to := keysPage + "/" + url.PathEscape(project) + "/" + url.PathEscape(name)
	var err error
	switch r.PathValue("action") {
	case "rotate":
		s.rotateFromForm(w, r, p)
		return
	case "suspend":
		_, err = s.Manage.Suspend(ctx, p, project, name, reason)
	case "resume":
		_, err = s.Manage.Change(ctx, p, project, name, "", func(spec *v1alpha1.ApiKeySpec) { spec.State, spec.StateReason = v1alpha1.KeyActive, "" })
	case "revoke":
		_, err = s.Manage.Revoke(ctx, p, project, name, reason)
	case "delete":
		to, err = keysPage, s.Manage.Delete(ctx, p, project, name, "")
	default:
		err = &manage.Problem{Kind: manage.NotFound, Message: "There is nothing at this address"}
	}
	if err != nil {
		s.sorry(w, r, p, err)
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (s *Server) rotateFromForm(w http.ResponseWriter, r *http.Request, p authn.Principal) {
	overlap, err := time.ParseDuration(r.PostFormValue("overlap"))
	if err != nil || overlap < 0 || overlap > maxOverlap {
		overlap = -1
	}
	made, err := s.Manage.Rotate(r.Context(), p, r.PathValue("project"), r.PathValue("name"), overlap, manage.Idempotency{Name: r.PostFormValue("once"), Seen: true})
	if errors.Is(err, manage.ErrDone) {
		http.Redirect(w, r, keysPage+"/"+url.PathEscape(r.PathValue("project"))+"/"+url.PathEscape(r.PathValue("name")), http.StatusSeeOther)
		return
	}
	if err != nil {
		s.sorry(w, r, p, err)
		return
	}
	s.showToken(w, r, p, made)
}
