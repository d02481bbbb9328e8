// SPDX-License-Identifier: Apache-2.0

package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/authn"
	"github.com/kaana/apikey-operator/internal/manage"
)

// KeyPath names a key.
type KeyPath struct {
	Project string `path:"project" maxLength:"63" doc:"The Namespace"`
	Name    string `path:"name" maxLength:"253"`
}

// Versioned names a key in the version that its reader knows.
type Versioned struct {
	KeyPath
	IfMatch string `header:"If-Match" maxLength:"64" doc:"The ETag that the key must still have: else 412"`
}

// version returns the version that the caller wants the key to have still.
func (v Versioned) version() string {
	tag := strings.Trim(strings.TrimSpace(v.IfMatch), `"`)
	if tag == "*" {
		return ""
	}
	return tag
}

// Named gives a request a name.
type Named struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" doc:"Names the request, so that a repeat within a day is not done twice. A repeat is answered with a new token in place of the one whose answer was lost"`
}

// keyAnswer is a key with its version.
type keyAnswer struct {
	ETag string `header:"ETag"`
	Body KeyView
}

// madeAnswer is a key with its token.
type madeAnswer struct {
	ETag string `header:"ETag"`
	Body madeView
}

type page struct {
	Items []KeyView `json:"items"`
	Next  string    `json:"next,omitempty" doc:"The cursor of the next page; absent on the last one. A page may be short, or empty, and not be the last"`
}

// ListInput says which keys are looked for.
type ListInput struct {
	Project string `query:"project" maxLength:"63" doc:"Only of this project"`
	Query   string `query:"q" maxLength:"100" doc:"In the name, the description, the owner's name or the token's last characters"`
	State   string `query:"state" enum:"Active,Suspended,Revoked,Expired"`
	Limit   int    `query:"limit" minimum:"1" maximum:"100" default:"50"`
	Cursor  string `query:"cursor" maxLength:"4096" doc:"The next of the page before"`
}

func (in ListInput) query() manage.Query {
	return manage.Query{Project: in.Project, Text: in.Query, State: manage.State(in.State), Limit: max(1, in.Limit), Cursor: in.Cursor}
}

type adminListInput struct {
	ListInput
	Owner string `query:"owner" maxLength:"253" doc:"Only of this account: its id or name"`
	Order string `query:"order" enum:"name,attention" default:"name" doc:"attention: what is unusual first, then what was not used for longest; 200 keys, of the first 5,000 by name, in one page"`
}

const (
	considered = 5000 // keys that are put into an order
	attended   = 200  // of them are shown
)

// attention returns the keys that somebody may see, those that want a look first.
func (s *Server) attention(ctx context.Context, p authn.Principal, q manage.Query) ([]KeyView, error) {
	q.Limit, q.Cursor = considered, ""
	found, err := s.Manage.Find(ctx, p, q)
	if err != nil {
		return nil, err
	}
	out := make([]KeyView, 0, len(found.Keys))
	for i := range found.Keys {
		out = append(out, s.view(&found.Keys[i]))
	}
	s.used(ctx, p.Tenant, out)
	slices.SortStableFunc(out, func(a, b KeyView) int {
		return cmp.Or(cmp.Compare(len(b.Unusual), len(a.Unusual)), moment(a.LastUsedAt).Compare(moment(b.LastUsedAt)))
	})
	return out[:min(attended, len(out))], nil
}

func moment(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

type createInput struct {
	Named
	Body createBody
}

type createBody struct {
	Name         string     `json:"name" minLength:"1" maxLength:"63" doc:"Lower-case letters, digits and dashes; unique in the project" example:"billing-sync"`
	Project      string     `json:"project" minLength:"1" maxLength:"63" example:"acme-prod"`
	Description  string     `json:"description,omitempty" maxLength:"256" example:"Nightly invoice export"`
	Role         string     `json:"role,omitempty" enum:"viewer,member,admin" doc:"At most your own. Default member, or viewer for a viewer"`
	Scopes       []string   `json:"scopes,omitempty" maxItems:"16" doc:"What the key is limited to. Default: what you are limited to, or nothing" example:"[\"projects:read\"]"`
	ExpiresAt    *time.Time `json:"expiresAt,omitempty" doc:"Default: never"`
	AllowedCIDRs []string   `json:"allowedCIDRs,omitempty" maxItems:"32" doc:"Networks that it may be used from; none: any" example:"[\"10.0.0.0/8\"]"`
	Delivery     string     `json:"delivery,omitempty" enum:"once,secret" default:"once" doc:"once: the token is in the answer and nowhere else. secret: the controller delivers it to a Secret of the project, and rotates it there"`
	SecretName   string     `json:"secretName,omitempty" maxLength:"253" doc:"With delivery secret; default: the key's name"`
	Rotation     *rotation  `json:"rotation,omitempty"`
	ActsFor      string     `json:"actsFor,omitempty" enum:"me,itself" default:"me" doc:"me: the key is your account's. itself: it is an account of its own, for a service; takes role admin"`
}

// rotation is how a key is to be rotated.
type rotation struct {
	Every    string `json:"every,omitempty" maxLength:"32" example:"720h" doc:"The longest that a token stays current, at least 5m"`
	Schedule string `json:"schedule,omitempty" maxLength:"128" example:"0 3 * * 0" doc:"Five cron fields, in place of every"`
	TimeZone string `json:"timeZone,omitempty" maxLength:"64" example:"Europe/Berlin"`
	Overlap  string `json:"overlap,omitempty" maxLength:"32" example:"24h" doc:"How long the former token is accepted; default 24h"`
}

// spec reads the durations; the rest is for the API server to judge.
func (r *rotation) spec() (*v1alpha1.Rotation, error) {
	if r == nil {
		return nil, nil //nolint:nilnil // no rotation
	}
	out := &v1alpha1.Rotation{Schedule: r.Schedule, TimeZone: r.TimeZone}
	for name, f := range map[string]struct {
		text string
		into **metav1.Duration
	}{"rotation.every": {r.Every, &out.Every}, "rotation.overlap": {r.Overlap, &out.Overlap}} {
		if f.text == "" {
			continue
		}
		d, err := time.ParseDuration(f.text)
		if err != nil {
			return nil, &manage.Problem{Kind: manage.Invalid, Fields: []manage.Field{{Path: name, Message: "want a duration like 720h"}}}
		}
		*f.into = &metav1.Duration{Duration: d}
	}
	return out, nil
}

func (b createBody) ask(once string) (manage.CreateRequest, error) {
	in := manage.CreateRequest{Project: b.Project, Name: b.Name, Description: b.Description, Role: v1alpha1.Role(b.Role), Scopes: b.Scopes,
		AllowedCIDRs: b.AllowedCIDRs, ToSecret: b.Delivery == "secret", SecretName: b.SecretName, Itself: b.ActsFor == "itself", Idempotency: manage.Idempotency{Name: once}}
	if b.ExpiresAt != nil {
		in.ExpiresAt = *b.ExpiresAt
	}
	var err error
	in.Rotation, err = b.Rotation.spec()
	return in, err
}

type changeInput struct {
	Versioned
	Body changeBody `contentType:"application/merge-patch+json"`
}

// changeBody is a merge patch (RFC 7396): what is not sent stays, null removes.
type changeBody struct {
	Description  field[string]    `json:"description,omitempty" maxLength:"256"`
	State        string           `json:"state,omitempty" enum:"Active,Suspended" doc:"To revoke, use /revoke"`
	StateReason  field[string]    `json:"stateReason,omitempty" maxLength:"256"`
	Role         string           `json:"role,omitempty" enum:"viewer,member,admin"`
	Scopes       field[[]string]  `json:"scopes,omitempty"`
	ExpiresAt    field[time.Time] `json:"expiresAt,omitempty"`
	AllowedCIDRs field[[]string]  `json:"allowedCIDRs,omitempty"`
	Rotation     field[rotation]  `json:"rotation,omitempty"`
}

// suspends reports whether nothing is asked for but to suspend.
func (b changeBody) suspends() bool {
	return b.State == string(v1alpha1.KeySuspended) && !b.Description.Sent && b.Role == "" && !b.Scopes.Sent && !b.ExpiresAt.Sent && !b.AllowedCIDRs.Sent && !b.Rotation.Sent
}

// onto puts the patch onto a spec.
func (b changeBody) onto(spec *v1alpha1.ApiKeySpec, rotation *v1alpha1.Rotation) {
	if b.Description.Sent {
		spec.Description = b.Description.Value
	}
	if b.State != "" {
		spec.State, spec.StateReason = v1alpha1.KeyState(b.State), ""
	}
	if b.StateReason.Sent {
		spec.StateReason = b.StateReason.Value
	}
	if b.Role != "" {
		spec.Role = v1alpha1.Role(b.Role)
	}
	if b.Scopes.Sent {
		spec.Scopes = listOf[v1alpha1.Scope](b.Scopes.Value)
	}
	if b.ExpiresAt.Sent {
		spec.ExpiresAt = nil
		if !b.ExpiresAt.Null {
			at := metav1.NewTime(b.ExpiresAt.Value)
			spec.ExpiresAt = &at
		}
	}
	if b.AllowedCIDRs.Sent {
		spec.AllowedCIDRs = listOf[v1alpha1.CIDR](b.AllowedCIDRs.Value)
	}
	if b.Rotation.Sent {
		spec.Rotation = rotation
	}
}

func listOf[T ~string](in []string) []T {
	out := make([]T, 0, len(in))
	for _, s := range in {
		out = append(out, T(s))
	}
	return out
}

type rotateInput struct {
	KeyPath
	Named
	Body *struct {
		Overlap string `json:"overlap,omitempty" maxLength:"32" example:"1h" doc:"How long the former token is accepted, at most 720h; 0s: no more from now on. Default: the key's own overlap, 24h unless it says otherwise. Of no effect when the token is delivered to a Secret"`
	}
}

const maxOverlap = 720 * time.Hour

// overlap returns what is asked for; negative: nothing is.
func (in rotateInput) overlap() (time.Duration, error) {
	if in.Body == nil || in.Body.Overlap == "" {
		return -1, nil
	}
	d, err := time.ParseDuration(in.Body.Overlap)
	if err != nil || d < 0 || d > maxOverlap {
		return 0, &manage.Problem{Kind: manage.Invalid, Fields: []manage.Field{{Path: "overlap", Message: "want a duration like 24h, at most 720h"}}}
	}
	return d, nil
}

type revokeInput struct {
	KeyPath
	Body *struct {
		Reason string `json:"reason,omitempty" maxLength:"256" example:"leaked in a ticket" doc:"Shown to people"`
	}
}

// mountKeys mounts what is done with keys.
func (s *Server) mountKeys(api huma.API) {
	s.mountFind(api)
	s.mountChange(api)
	create := operation("POST", "/api/keys", "create-key", "Create a key", "The token is in this answer and nowhere else: keep it. It cannot do more than you may.", authn.WriteKeys, 400, 409, 413, 415, 422)
	create.DefaultStatus = http.StatusCreated
	huma.Register(api, create, func(ctx context.Context, in *createInput) (*madeAnswer, error) {
		asked, err := in.Body.ask(in.IdempotencyKey)
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		return s.made(ctx)(s.Manage.Create(ctx, caller(ctx), asked))
	})
	huma.Register(api, operation("POST", "/api/keys/{project}/{name}/rotate", "rotate-key", "Give a key a new token",
		"The former token is accepted for the overlap, so that nobody is refused meanwhile.", authn.WriteKeys, 400, 404, 409, 413, 415, 422), func(ctx context.Context, in *rotateInput) (*madeAnswer, error) {
		overlap, err := in.overlap()
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		return s.made(ctx)(s.Manage.Rotate(ctx, caller(ctx), in.Project, in.Name, overlap, manage.Idempotency{Name: in.IdempotencyKey}))
	})
	huma.Register(api, operation("POST", "/api/keys/{project}/{name}/revoke", "revoke-key", "Revoke a key for good",
		"It is refused within a second. There is no way back; to refuse it for a while, set its state to Suspended.", authn.WriteKeys, 400, 404, 413, 415, 422), func(ctx context.Context, in *revokeInput) (*keyAnswer, error) {
		reason := ""
		if in.Body != nil {
			reason = in.Body.Reason
		}
		return s.key(ctx)(s.Manage.Revoke(ctx, caller(ctx), in.Project, in.Name, reason))
	})
}

// mountFind mounts what looks at keys.
func (s *Server) mountFind(api huma.API) {
	list := func(ctx context.Context, q manage.Query) (*answer[page], error) {
		found, err := s.Manage.Find(ctx, caller(ctx), q)
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		out := page{Items: make([]KeyView, 0, len(found.Keys)), Next: found.Next}
		for i := range found.Keys {
			out.Items = append(out.Items, s.view(&found.Keys[i]))
		}
		s.used(ctx, caller(ctx).Tenant, out.Items)
		return &answer[page]{out}, nil
	}
	huma.Register(api, operation("GET", "/api/keys", "list-keys", "My keys", "An admin's are all of the tenant. By project and name.", authn.ReadKeys, 400, 422), func(ctx context.Context, in *ListInput) (*answer[page], error) {
		return list(ctx, in.query())
	})
	huma.Register(api, operation("GET", "/api/admin/keys", "list-tenant-keys", "All keys of the tenant", "By project and name.", authn.AdminKeys, 400, 422), func(ctx context.Context, in *adminListInput) (*answer[page], error) {
		q := in.query()
		q.Owner = in.Owner
		if in.Order != "attention" {
			return list(ctx, q)
		}
		found, err := s.attention(ctx, caller(ctx), q)
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		return &answer[page]{page{Items: found}}, nil
	})
	huma.Register(api, operation("GET", "/api/keys/self", "get-self", "The key that this request is made with", "", authn.ReadSelf, 404), func(ctx context.Context, _ *struct{}) (*keyAnswer, error) {
		return s.key(ctx)(s.Manage.Self(ctx, caller(ctx)))
	})
	huma.Register(api, operation("GET", "/api/keys/{project}/{name}", "get-key", "One key", "", authn.ReadKeys, 404), func(ctx context.Context, in *KeyPath) (*keyAnswer, error) {
		return s.key(ctx)(s.Manage.Get(ctx, caller(ctx), in.Project, in.Name))
	})
}

// mountChange mounts what changes and deletes keys.
func (s *Server) mountChange(api huma.API) {
	huma.Register(api, operation("PATCH", "/api/keys/{project}/{name}", "change-key", "Change a key", "A merge patch (RFC 7396): what is not sent stays, null removes. Afterwards the key cannot do more than you may.", authn.WriteKeys, 400, 404, 409, 412, 413, 415, 422), func(ctx context.Context, in *changeInput) (*keyAnswer, error) {
		b := in.Body
		if b.suspends() && in.version() == "" {
			return s.key(ctx)(s.Manage.Suspend(ctx, caller(ctx), in.Project, in.Name, b.StateReason.Value))
		}
		var wanted *v1alpha1.Rotation
		if b.Rotation.Sent && !b.Rotation.Null {
			var err error
			if wanted, err = b.Rotation.Value.spec(); err != nil {
				return nil, s.failed(ctx, err)
			}
		}
		return s.key(ctx)(s.Manage.Change(ctx, caller(ctx), in.Project, in.Name, in.version(), func(spec *v1alpha1.ApiKeySpec) { b.onto(spec, wanted) }))
	})
	remove := operation("DELETE", "/api/keys/{project}/{name}", "delete-key", "Delete a key", "It is refused at once, and its Secret is deleted. To keep the record of what it was, revoke it.", authn.WriteKeys, 404, 412)
	remove.DefaultStatus = http.StatusNoContent
	huma.Register(api, remove, func(ctx context.Context, in *Versioned) (*struct{}, error) {
		if err := s.Manage.Delete(ctx, caller(ctx), in.Project, in.Name, in.version()); err != nil {
			return nil, s.failed(ctx, err)
		}
		return nil, nil //nolint:nilnil // no content
	})
}

// key answers with a key, or with what went wrong.
func (s *Server) key(ctx context.Context) func(*v1alpha1.ApiKey, error) (*keyAnswer, error) {
	return func(o *v1alpha1.ApiKey, err error) (*keyAnswer, error) {
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		v := []KeyView{s.view(o)}
		s.used(ctx, caller(ctx).Tenant, v)
		return &keyAnswer{ETag: etag(o), Body: v[0]}, nil
	}
}

// made answers with a key and its token, or with what went wrong.
func (s *Server) made(ctx context.Context) func(manage.Issued, error) (*madeAnswer, error) {
	return func(m manage.Issued, err error) (*madeAnswer, error) {
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		v := madeView{KeyView: s.view(m.Key), PreviousValidUntil: instant(m.PreviousUntil)}
		if m.Shown {
			v.Token = m.Token.Reveal()
		}
		return &madeAnswer{ETag: etag(m.Key), Body: v}, nil
	}
}

// used says of keys of a tenant when they were last used, and what was unusual about it. Without the database, what the
// cluster knows is good enough.
func (s *Server) used(ctx context.Context, tenant string, views []KeyView) {
	if s.Activity == nil || len(views) == 0 {
		return
	}
	ids := make([]string, 0, len(views))
	for i := range views {
		ids = append(ids, views[i].ID)
	}
	last, err := s.Activity.Store.LastUsed(ctx, ids)
	told, err2 := s.Activity.Store.RecentFindings(ctx, tenant, s.Manage.Now().Add(-24*time.Hour))
	if err = errors.Join(err, err2); err != nil {
		s.Log.WarnContext(ctx, "last use is not known", "error", err)
	}
	for i := range views {
		if at, ok := last[views[i].ID]; ok && (views[i].LastUsedAt == nil || at.After(*views[i].LastUsedAt)) {
			views[i].LastUsedAt = &at
		}
		if patterns, ok := told[views[i].ID]; ok {
			views[i].Unusual = patterns
		}
	}
}

func etag(o *v1alpha1.ApiKey) string { return fmt.Sprintf("%q", manage.Version(o)) }
