// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"errors"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/denial"
)

// KeyView is a key as the API and the pages show it.
type KeyView struct {
	Project string `json:"project" example:"acme-prod"`
	Name    string `json:"name" example:"billing-sync"`

	ID string `json:"id" doc:"Unlike its name, never another key's" example:"4f7c0a5e-6d0e-4d3a-9a55-6f1f6f1f2f10"`

	Description string `json:"description"`
	State       string `json:"state" enum:"Active,Suspended,Revoked,Expired,Deleting"`
	StateReason string `json:"stateReason,omitempty"`

	Owner *ownerView `json:"owner,omitempty" doc:"The account that the key acts for; absent: an account of its own"`

	Role         string     `json:"role" enum:"viewer,member,admin"`
	Scopes       []string   `json:"scopes" doc:"Empty: everything that the role allows"`
	AllowedCIDRs []string   `json:"allowedCIDRs" doc:"Empty: any"`
	CreatedAt    time.Time  `json:"createdAt"`
	ExpiresAt    *time.Time `json:"expiresAt" doc:"null: never"`
	Delivery     string     `json:"delivery" enum:"once,secret"`
	SecretName   string     `json:"secretName,omitempty" doc:"The Secret with the token, for delivery secret"`
	Rotation     *rotation  `json:"rotation,omitempty"`

	// LastUsedAt is when a token was last accepted. It is nil when that is not known, and points to nil when no use is
	// recorded since UseRecordedSince.
	LastUsedAt **time.Time `json:"lastUsedAt,omitempty" nullable:"true" doc:"null: no use recorded; absent: not known"`

	UseRecordedSince *time.Time `json:"useRecordedSince,omitempty" doc:"Absent: uses are not recorded, or not known"`

	Unusual []string `json:"unusual" enum:"NewNetwork,Burst,Failures,WokeUp,DeadToken,RetiringInUse" doc:"In the last day"`

	LastRotatedAt  *time.Time `json:"lastRotatedAt"`
	NextRotationAt *time.Time `json:"nextRotationAt" doc:"null: not on schedule"`

	Ready    *conditionView `json:"ready,omitempty" doc:"Absent until the controller has seen the key's last change"`
	Accepted *conditionView `json:"accepted,omitempty" doc:"Whether at least one token works now; absent: not known yet"`

	Credentials []credentialView `json:"credentials"`
}

// madeView is a key with a new token, which is shown only once.
type madeView struct {
	KeyView
	Token string `json:"token,omitempty" doc:"Shown only this once" example:"kaana_(49 letters and digits)"`

	PreviousValidUntil *time.Time `json:"previousValidUntil,omitempty" doc:"When the previous token stops working"`
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

// credentialView is a credential, without the token.
type credentialView struct {
	ID         string     `json:"id" example:"3f9a1c20b7"`
	Hint       string     `json:"hint,omitempty" doc:"The token's last characters" example:"x7Qa"`
	Phase      string     `json:"phase" enum:"Pending,Current,Retiring,Retired"`
	IssuedAt   time.Time  `json:"issuedAt"`
	ValidUntil *time.Time `json:"validUntil" doc:"null: as long as the key"`
}

// Views returns keys of a tenant as they are shown, with what the activity database knows of their use.
func (a *API) Views(ctx context.Context, tenant string, keys []v1alpha1.ApiKey) []KeyView {
	out := make([]KeyView, 0, len(keys))
	for i := range keys {
		out = append(out, a.View(&keys[i]))
	}
	a.addUse(ctx, tenant, out)
	return out
}

// addUse adds when keys were last used, and their anomalies. If the activity database does not answer, the last use is
// the one in the status of the ApiKey.
func (a *API) addUse(ctx context.Context, tenant string, views []KeyView) {
	if a.Activity == nil || len(views) == 0 {
		return
	}
	ids := make([]string, 0, len(views))
	for i := range views {
		ids = append(ids, views[i].ID)
	}
	last, err := a.Activity.LastUsed(ctx, ids)
	anomalies, err2 := a.Activity.RecentFindings(ctx, tenant, a.Now().Add(-24*time.Hour))
	since, err3 := a.Activity.RecordedSince(ctx, a.Now())
	if err = errors.Join(err, err2, err3); err != nil {
		a.Log.WarnContext(ctx, "cannot read the last use of keys", "error", err)
	}
	for i := range views {
		views[i].addUse(last[views[i].ID], since, err == nil)
		if patterns, ok := anomalies[views[i].ID]; ok {
			views[i].Unusual = patterns
		}
	}
}

// addUse adds what the activity database knows of the last use: when it was, zero for none, and since when it would
// know.
func (v *KeyView) addUse(last, since time.Time, answered bool) {
	if answered {
		v.UseRecordedSince = instant(since)
	}
	switch used := v.Used(); {
	case last.After(timeOf(used)):
		at := instant(last)
		v.LastUsedAt = &at
	case used == nil && v.UseRecordedSince != nil:
		v.LastUsedAt = new(*time.Time)
	}
}

// Used returns when a token was last accepted; nil when no use is recorded, or that is not known.
func (v KeyView) Used() *time.Time {
	if v.LastUsedAt == nil {
		return nil
	}
	return *v.LastUsedAt
}

// View returns a key as it is shown, without its entries in the activity database.
func (a *API) View(o *v1alpha1.ApiKey) KeyView {
	v := KeyView{
		Project: o.Namespace, Name: o.Name, ID: string(o.UID), Description: o.Spec.Description,
		State: string(a.Manage.StateOf(o)), StateReason: o.Spec.StateReason,
		Role: string(o.Spec.Role), Scopes: listOfStrings(o.Spec.Scopes),
		AllowedCIDRs: listOfStrings(o.Spec.AllowedCIDRs), CreatedAt: o.CreationTimestamp.UTC(),
		ExpiresAt: instantOf(o.Spec.ExpiresAt), Delivery: "secret", SecretName: o.Status.SecretName,
		Unusual:       []string{},
		LastRotatedAt: instantOf(o.Status.LastRotationTime), NextRotationAt: instantOf(o.Status.NextRotationTime),
		Credentials: a.credentials(o),
	}
	if last := instantOf(o.Status.LastUsedTime); last != nil {
		v.LastUsedAt = &last
	}
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
		if o.Status.ObservedGeneration < o.Generation {
			break // they answer an earlier spec
		}
		switch c.Type {
		case v1alpha1.ConditionReady:
			v.Ready = &conditionView{string(c.Status), c.Reason, c.Message}
		case v1alpha1.ConditionAccepted:
			v.Accepted = &conditionView{string(c.Status), c.Reason, c.Message}
		}
	}
	return v
}

// credentials returns the credentials of a key. Of an imported key, the ones with an end are retiring or retired.
func (a *API) credentials(o *v1alpha1.ApiKey) []credentialView {
	out := []credentialView{}
	issued := map[apikey.Digest]time.Time{}
	for _, c := range kube.Recorded(o) {
		issued[c.Digest] = c.IssuedAt
	}
	now, k := a.Now(), kube.Key(o)
	if !k.Over(now) {
		k.State = apikey.Active // a suspension retires no token
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
		out = append(out, credentialView{
			ID: c.Digest.ID(), Hint: c.Hint, Phase: c.Phase.String(), IssuedAt: at.UTC(),
			ValidUntil: instant(c.ValidUntil),
		})
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

func instantOf(t *metav1.Time) *time.Time {
	if t == nil {
		return nil
	}
	return instant(t.Time)
}

// instant returns t in UTC, and nil for the zero time.
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
