// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/manage"
)

// KeyPath is the path of a key.
type KeyPath struct {
	Project string `path:"project" maxLength:"63" doc:"The Namespace"`
	Name    string `path:"name" maxLength:"253"`
}

// Versioned is the path of a key, and the version that the caller has read.
type Versioned struct {
	KeyPath
	IfMatch string `header:"If-Match" maxLength:"64" doc:"The ETag that the key must still have: else 412"`
}

// version returns the version that the key must still have, empty for any.
func (v Versioned) version() string {
	tag := strings.Trim(strings.TrimSpace(v.IfMatch), `"`)
	if tag == "*" {
		return ""
	}
	return tag
}

// Named is the caller's name for a request, so that it can be repeated.
type Named struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" doc:"Names the request, to repeat it safely"`
}

// ListInput selects keys.
type ListInput struct {
	Project string `query:"project" maxLength:"63" doc:"Only of this project"`
	Query   string `query:"q" maxLength:"100" doc:"In the name, description, owner or last characters of the token"`
	State   string `query:"state" enum:"Active,Suspended,Revoked,Expired,Deleting"`
	Limit   int    `query:"limit" minimum:"1" maximum:"100" default:"50"`
	Cursor  string `query:"cursor" maxLength:"4096" doc:"The next of the page before"`
}

func (in ListInput) query() manage.Query {
	return manage.Query{
		Project: in.Project, Text: in.Query, State: kube.State(in.State),
		Limit: max(1, in.Limit), Cursor: in.Cursor,
	}
}

type adminListInput struct {
	ListInput
	Owner string `query:"owner" maxLength:"253" doc:"Only of this account: its id or name"`
	Order string `query:"order" enum:"name,attention" default:"name" doc:"attention: see above"`
}

type createInput struct {
	Named
	Body createBody
}

type createBody struct {
	Name string `json:"name" minLength:"1" maxLength:"63" example:"billing-sync" doc:"Lower-case letters, digits, dashes"`

	Project     string `json:"project" minLength:"1" maxLength:"63" example:"acme-prod"`
	Description string `json:"description,omitempty" maxLength:"256" example:"Nightly invoice export"`

	Role string `json:"role,omitempty" enum:"viewer,member,admin" doc:"At most your own. Default: member or viewer"`

	Scopes []string `json:"scopes,omitempty" maxItems:"16" example:"[\"projects:read\"]" doc:"Default: your own scopes"`

	ExpiresAt *time.Time `json:"expiresAt,omitempty" doc:"Default: never"`

	AllowedCIDRs []string `json:"allowedCIDRs,omitempty" maxItems:"32" example:"[\"10.0.0.0/8\"]" doc:"Default: any"`

	Delivery string `json:"delivery,omitempty" enum:"once,secret" default:"once" doc:"How you get the token"`

	SecretName string    `json:"secretName,omitempty" maxLength:"253" doc:"For a Secret; default: the key's name"`
	Rotation   *rotation `json:"rotation,omitempty"`

	ActsFor string `json:"actsFor,omitempty" enum:"me,itself" default:"me" doc:"Whose account the key is"`
}

// rotation says when a key is rotated.
type rotation struct {
	Every    string `json:"every,omitempty" maxLength:"32" example:"720h" doc:"Longest life of a token, at least 5m"`
	Schedule string `json:"schedule,omitempty" maxLength:"128" example:"0 3 * * 0" doc:"Cron; instead of every"`
	TimeZone string `json:"timeZone,omitempty" maxLength:"64" example:"Europe/Berlin"`
	Overlap  string `json:"overlap,omitempty" maxLength:"32" example:"24h" doc:"Previous token's life; default 24h"`
}

// spec parses the durations. The API server validates the rest.
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
			return nil, invalid(name, "want a duration like 720h")
		}
		*f.into = &metav1.Duration{Duration: d}
	}
	return out, nil
}

// request converts the body of a request to create a key.
func (b createBody) request(idempotencyKey string) (manage.CreateRequest, error) {
	in := manage.CreateRequest{
		Project: b.Project, Name: b.Name, Description: b.Description, Role: v1alpha1.Role(b.Role), Scopes: b.Scopes,
		AllowedCIDRs: b.AllowedCIDRs, ToSecret: b.Delivery == "secret", SecretName: b.SecretName,
		Itself: b.ActsFor == "itself", Idempotency: manage.Idempotency{Name: idempotencyKey},
	}
	if b.ExpiresAt != nil {
		in.ExpiresAt = *b.ExpiresAt
	}
	var err error
	in.Rotation, err = b.Rotation.spec()
	return in, err
}

type rotateInput struct {
	KeyPath
	Named
	Body *struct {
		Overlap string `json:"overlap,omitempty" maxLength:"32" example:"1h" doc:"At most 720h. Default: the key's own"`
	}
}

// MaxOverlap is the longest overlap that a caller can choose for one rotation.
const MaxOverlap = 720 * time.Hour

// overlap returns the requested overlap, and a negative one if none is requested.
func (in rotateInput) overlap() (time.Duration, error) {
	if in.Body == nil || in.Body.Overlap == "" {
		return -1, nil
	}
	d, err := time.ParseDuration(in.Body.Overlap)
	if err != nil || d < 0 || d > MaxOverlap {
		return 0, invalid("overlap", "want a duration like 24h, at most 720h")
	}
	return d, nil
}

type revokeInput struct {
	KeyPath
	Body *struct {
		Reason string `json:"reason,omitempty" maxLength:"256" example:"leaked in a ticket" doc:"Shown to people"`
	}
}
