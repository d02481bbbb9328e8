// SPDX-License-Identifier: Apache-2.0

package manage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/activity"
	"github.com/kaana/apikey-operator/internal/apikey"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
	"github.com/kaana/apikey-operator/internal/authn"
)

const maxDetail = 2048 // bytes of the detail of a change

// Origin is where a request came in, for the audit trail.
type Origin struct {
	Endpoint  string // rest or page
	RequestID string
}

type originKey struct{}

// From returns a context that says where a request came in. Changes that are made with it are recorded with that.
func From(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// record records a change that was made, or that may have been made because the API server did not answer. A refusal
// changes nothing. before is nil for a key that was created, and after for one that was deleted.
func (s *Service) record(ctx context.Context, p authn.Principal, a Action, before, after *v1alpha1.ApiKey, err error) {
	unchanged := before != nil && after != nil && equality.Semantic.DeepEqual(before.Spec, after.Spec) &&
		maps.Equal(before.Annotations, after.Annotations)
	if s.Trail == nil || unchanged || refusedByCluster(err) {
		return
	}
	o := after
	if o == nil {
		o = before
	}
	from, _ := ctx.Value(originKey{}).(Origin)
	id, _ := uuid.Parse(string(o.UID)) // zero for a key of which the API server has not said the UID
	c := activity.Change{
		Key:       activity.KeyRef{UID: id, Tenant: p.Tenant, Project: o.Namespace, Name: o.Name},
		Operation: operation(a, before, after), Outcome: activity.Done, Detail: detail(before, after),
		Before: liveCredentials(before), After: liveCredentials(after), Endpoint: from.Endpoint, RequestID: from.RequestID,
		Actor: activity.Actor{ID: p.ID(), Username: p.Username(), Role: p.Role.String(), Method: p.Method.String(),
			Key: p.Key.String()},
	}
	if p.Key.Name != "" {
		c.Actor.Credential = p.Credential.ID()
	}
	if err != nil {
		c.Outcome = activity.Unknown
	}
	s.Trail.Record(ctx, c)
}

// refusedByCluster reports whether an error is a definite answer, so that nothing has changed. After any other error
// the change may have been made.
func refusedByCluster(err error) bool {
	var problem *Problem
	var answer apierrors.APIStatus
	switch {
	case errors.As(err, &problem):
		return true
	case errors.As(err, &answer):
		code := answer.Status().Code
		return code >= http.StatusBadRequest && code < http.StatusInternalServerError && code != http.StatusRequestTimeout
	}
	return false
}

// operation names what was done: a change of the state alone is a suspension or resumption, however it was requested.
func operation(a Action, before, after *v1alpha1.ApiKey) string {
	if a != Change || before.Spec.State == after.Spec.State {
		return a.String()
	}
	others := after.Spec.DeepCopy()
	others.State, others.StateReason = before.Spec.State, before.Spec.StateReason
	if !equality.Semantic.DeepEqual(before.Spec, *others) {
		return a.String()
	}
	switch after.Spec.State {
	case v1alpha1.KeySuspended:
		return Suspend.String()
	case v1alpha1.KeyRevoked:
		return Revoke.String()
	case v1alpha1.KeyActive:
	}
	return Resume.String()
}

// detail says which fields have changed, and to what. Texts that people write may contain anything: of these it says
// only that they have changed.
func detail(before, after *v1alpha1.ApiKey) string {
	if after == nil {
		return ""
	}
	was := v1alpha1.ApiKeySpec{}
	if before != nil {
		was = before.Spec
	}
	var out []string
	say := func(name, from, to string) {
		switch {
		case from == to:
		case before == nil:
			out = append(out, name+" "+to)
		default:
			out = append(out, fmt.Sprintf("%s %s → %s", name, none(from), none(to)))
		}
	}
	is := after.Spec
	say("state", string(was.State), string(is.State))
	say("role", string(was.Role), string(is.Role))
	say("scopes", listed(was.Scopes), listed(is.Scopes))
	say("owner", owner(was.Owner), owner(is.Owner))
	say("expires", moment(was.ExpiresAt), moment(is.ExpiresAt))
	say("networks", listed(was.AllowedCIDRs), listed(is.AllowedCIDRs))
	if before != nil {
		for name, same := range map[string]bool{
			"description": was.Description == is.Description,
			"stateReason": was.StateReason == is.StateReason,
			"rotation":    equality.Semantic.DeepEqual(was.Rotation, is.Rotation),
			"secret":      equality.Semantic.DeepEqual(was.Secret, is.Secret),
		} {
			if !same {
				out = append(out, name)
			}
		}
		slices.Sort(out)
	}
	return clean(strings.Join(out, "; "))
}

// clean bounds a text and removes what not every database can store. A request that the API server has not answered may
// contain anything.
func clean(s string) string {
	s = strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return '\uFFFD'
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) > maxDetail {
		s = strings.ToValidUTF8(s[:maxDetail], "") + "…"
	}
	return s
}

func none(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func listed[T ~string](items []T) string {
	out := make([]string, 0, len(items))
	for _, i := range items {
		out = append(out, string(i))
	}
	return strings.Join(out, " ")
}

func owner(o *v1alpha1.Owner) string {
	if o == nil {
		return ""
	}
	return o.Username + " (" + o.ID + ")"
}

func moment(t *metav1.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// liveCredentials returns the ids of the credentials of a key that are not retired; none of a key that does not exist.
func liveCredentials(o *v1alpha1.ApiKey) []string {
	out := []string{}
	if o == nil {
		return out
	}
	for _, c := range kube.Credentials(o) {
		if c.Phase != apikey.Retired {
			out = append(out, c.Digest.ID())
		}
	}
	return out
}
