// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"net/http"
	"net/url"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/manage"
	"github.com/kaana/apikey-operator/internal/rest"
)

const pageSize = 50

// listed is what the list of keys shows.
type listed struct {
	Keys     []rest.KeyView
	Next     string // URL of the next page; as a query alone it would be escaped
	Query    manage.Query
	Projects []authn.Project
	All      bool
	CanWrite bool

	Attention bool // keys that a person should look at come first
}

func (s *Pages) showKeys(w http.ResponseWriter, r *http.Request, p authn.Principal) {
	q := r.URL.Query()
	admin := p.Role == authn.Admin
	v := listed{
		Attention: q.Get("order") == "attention" && admin && !authn.AdminKeys.Permit(p).Denied(),
		Query: manage.Query{
			Project: q.Get("project"), Text: q.Get("q"), State: kube.State(q.Get("state")), Owner: q.Get("owner"),
			Limit: pageSize, Cursor: q.Get("cursor"),
		},
		Projects: s.Projects(p.Tenant), All: admin, CanWrite: !authn.WriteKeys.Permit(p).Denied(),
	}
	if err := s.listKeys(r.Context(), p, &v, q); err != nil {
		s.showError(w, r, p, err)
		return
	}
	s.show(w, r, http.StatusOK, "list", screen{Title: "API keys", Data: v}.of(p))
}

// listKeys adds the keys of a page.
func (s *Pages) listKeys(ctx context.Context, p authn.Principal, v *listed, q url.Values) (err error) {
	if v.Attention {
		v.Keys, err = s.API.Attention(ctx, p, v.Query)
		return err
	}
	found, err := s.Manage.Find(ctx, p, v.Query)
	if err != nil {
		return err
	}
	v.Keys = s.API.Views(ctx, p.Tenant, found.Keys)
	if found.Next != "" {
		q.Set("cursor", found.Next)
		v.Next = keysPage + "?" + q.Encode()
	}
	return nil
}

// shown is what the page of a key shows.
type shown struct {
	Key      rest.KeyView
	Activity *rest.KeyActivityView // nil: not recorded, or the user may not see it
	Timeline *timeline             // nil: nothing to show
	Events   []manage.Event
	History  *rest.HistoryView // nil: it cannot be read now, or the user may not see it
	YAML     string
	CanWrite bool

	object *v1alpha1.ApiKey
}

func (s *Pages) showKey(w http.ResponseWriter, r *http.Request, p authn.Principal) {
	v, err := s.shownKey(r.Context(), p, r)
	if err != nil {
		s.showError(w, r, p, err)
		return
	}
	v.Timeline = newTimeline(v.Key, s.Now())
	if v.Events, err = s.Manage.Events(r.Context(), v.Key.Project, v.Key.ID); err != nil {
		s.Log.WarnContext(r.Context(), "cannot read Events", "error", err)
	}
	v.History = s.history(r.Context(), p, v.object)
	s.show(w, r, http.StatusOK, "key", screen{Title: v.Key.Name, Data: v}.of(p))
}

// history returns who changed a key; nil if the user may not see it, or if the database does not answer.
func (s *Pages) history(ctx context.Context, p authn.Principal, o *v1alpha1.ApiKey) *rest.HistoryView {
	if authn.ReadActivity.Permit(p).Denied() {
		return nil
	}
	v, err := s.API.History(ctx, p, o.Namespace, o.Name, o)
	if err != nil {
		s.Log.WarnContext(ctx, "cannot read the history of a key", "error", err)
		return nil
	}
	return &v
}

// shownKey returns the key that the path of a request names.
func (s *Pages) shownKey(ctx context.Context, p authn.Principal, r *http.Request) (shown, error) {
	o, err := s.Manage.Get(ctx, p, r.PathValue("project"), r.PathValue("name"))
	if err != nil {
		return shown{}, err
	}
	v := shown{object: o, CanWrite: !authn.WriteKeys.Permit(p).Denied() && o.Spec.State != v1alpha1.KeyRevoked}
	v.Key = s.API.Views(ctx, p.Tenant, []v1alpha1.ApiKey{*o})[0]
	if v.YAML, err = manage.Manifest(o); err != nil {
		return shown{}, err
	}
	if s.API.Activity != nil && !authn.ReadActivity.Permit(p).Denied() {
		a, err := s.API.ActivityOf(ctx, o, rest.Span{Step: "hour"})
		if err != nil {
			return shown{}, err
		}
		v.Activity = &a
	}
	return v, nil
}
