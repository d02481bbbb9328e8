// SPDX-License-Identifier: Apache-2.0

package server

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/denial"
)

// KeyView is a key as people see it.
type KeyView struct {
	Project        string           `json:"project" example:"acme-prod"`
	Name           string           `json:"name" example:"billing-sync"`
	ID             string           `json:"id" doc:"Unlike its name, never another key's" example:"4f7c0a5e-6d0e-4d3a-9a55-6f1f6f1f2f10"`
	Description    string           `json:"description"`
	State          string           `json:"state" enum:"Active,Suspended,Revoked,Expired"`
	StateReason    string           `json:"stateReason,omitempty"`
	Owner          *ownerView       `json:"owner,omitempty" doc:"The account that the key acts for; absent: it is an account of its own"`
	Role           string           `json:"role" enum:"viewer,member,admin"`
	Scopes         []string         `json:"scopes" doc:"Empty: all that the role allows"`
	AllowedCIDRs   []string         `json:"allowedCIDRs" doc:"Empty: any"`
	CreatedAt      time.Time        `json:"createdAt"`
	ExpiresAt      *time.Time       `json:"expiresAt" doc:"null: never"`
	Delivery       string           `json:"delivery" enum:"once,secret"`
	SecretName     string           `json:"secretName,omitempty" doc:"The Secret that holds the token, with delivery secret"`
	Rotation       *rotation        `json:"rotation,omitempty"`
	LastUsedAt     *time.Time       `json:"lastUsedAt" doc:"When a token of it was last accepted; null: never, as far as is remembered"`
	Unusual        []string         `json:"unusual" enum:"NewNetwork,Burst,Failures,WokeUp,DeadToken,RetiringInUse" doc:"Patterns of its activity that people were told of in the last day; …/activity has the sentences"`
	LastRotatedAt  *time.Time       `json:"lastRotatedAt"`
	NextRotationAt *time.Time       `json:"nextRotationAt" doc:"null: not on schedule"`
	Ready          *conditionView   `json:"ready,omitempty" doc:"What the controller says of the key; absent: it has not seen it, or its last change, yet"`
	Credentials    []credentialView `json:"credentials"`
}

// madeView is a key with the token that is shown this once.
type madeView struct {
	KeyView
	Token              string     `json:"token,omitempty" doc:"Shown this once; absent when it is delivered to a Secret" example:"kaana_(49 letters and digits)"`
	PreviousValidUntil *time.Time `json:"previousValidUntil,omitempty" doc:"When the former token ends, after a rotation"`
}

type ownerView struct {
	ID       accountID `json:"id"`
	Username string    `json:"username"`
}

type conditionView struct {
	Status  string `json:"status" enum:"True,False,Unknown"`
	Reason  string `json:"reason" example:"Issued"`
	Message string `json:"message"`
}

// credentialView is one token, without the token.
type credentialView struct {
	ID         string     `json:"id" example:"3f9a1c20b7"`
	Hint       string     `json:"hint,omitempty" doc:"The token's last characters" example:"x7Qa"`
	Phase      string     `json:"phase" enum:"Pending,Current,Retiring,Retired"`
	IssuedAt   time.Time  `json:"issuedAt"`
	ValidUntil *time.Time `json:"validUntil" doc:"null: as long as the key"`
}

// view shows a key.
func (s *Server) view(o *v1alpha1.ApiKey) KeyView {
	v := KeyView{Project: o.Namespace, Name: o.Name, ID: string(o.UID), Description: o.Spec.Description, State: string(s.Manage.StateOf(o)), StateReason: o.Spec.StateReason,
		Role: string(o.Spec.Role), Scopes: listOfStrings(o.Spec.Scopes), AllowedCIDRs: listOfStrings(o.Spec.AllowedCIDRs), CreatedAt: o.CreationTimestamp.UTC(),
		ExpiresAt: pointed(o.Spec.ExpiresAt), Delivery: "secret", SecretName: o.Status.SecretName, LastUsedAt: pointed(o.Status.LastUsedTime), Unusual: []string{}, LastRotatedAt: pointed(o.Status.LastRotationTime),
		NextRotationAt: pointed(o.Status.NextRotationTime), Credentials: s.credentials(o)}
	if kube.Imported(o) {
		v.Delivery = "once"
	}
	if owner := o.Spec.Owner; owner != nil {
		v.Owner = &ownerView{accountID(owner.ID), owner.Username}
	}
	if r := o.Spec.Rotation; r != nil {
		v.Rotation = &rotation{Every: text(r.Every), Schedule: r.Schedule, TimeZone: r.TimeZone, Overlap: text(r.Overlap)}
	}
	for _, c := range o.Status.Conditions {
		if c.Type == "Ready" && o.Status.ObservedGeneration >= o.Generation { // else it speaks of what the key was before
			v.Ready = &conditionView{string(c.Status), c.Reason, c.Message}
		}
	}
	return v
}

// credentials shows a key's tokens. Of those that were shown once the newest is current, and those that
// have an end are retiring, or retired.
func (s *Server) credentials(o *v1alpha1.ApiKey) []credentialView {
	out := []credentialView{}
	issued := map[apikey.Digest]time.Time{}
	for _, c := range kube.Recorded(o) {
		issued[c.Digest] = c.IssuedAt
	}
	now, k := s.Manage.Now(), kube.Key(o)
	if !k.Over(now) {
		k.State = apikey.Active // a suspension that passes retires no token
	}
	for _, c := range kube.Credentials(o) {
		at := c.IssuedAt
		if known, ok := issued[c.Digest]; ok {
			at = known
		}
		switch {
		case apikey.UsableFromAnywhere(k, c, now) != denial.None:
			c.Phase = apikey.Retired
		case kube.Imported(o) && !c.ValidUntil.IsZero():
			c.Phase = apikey.Retiring
		}
		out = append(out, credentialView{ID: c.Digest.ID(), Hint: c.Hint, Phase: c.Phase.String(), IssuedAt: at.UTC(), ValidUntil: instant(c.ValidUntil)})
	}
	return out
}

func listOfStrings[T ~string](in []T) []string {
	out := make([]string, 0, len(in))
	for _, s := range in {
		out = append(out, string(s))
	}
	return out
}

func pointed(t *metav1.Time) *time.Time {
	if t == nil {
		return nil
	}
	return instant(t.Time)
}

func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func text(d *metav1.Duration) string {
	if d == nil {
		return ""
	}
	return d.Duration.String()
}
