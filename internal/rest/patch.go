// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"encoding/json"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kaana/apikey-operator/api/v1alpha1"
)

// field is a field of a merge patch (RFC 7396): not sent, null, or a value.
type field[T any] struct {
	Sent, Null bool
	Value      T
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *field[T]) UnmarshalJSON(b []byte) error {
	f.Sent = true
	if string(b) == "null" {
		f.Null = true
		return nil
	}
	return json.Unmarshal(b, &f.Value)
}

// Schema describes the value, or null.
func (field[T]) Schema(r huma.Registry) *huma.Schema {
	schema := *huma.SchemaFromType(r, reflect.TypeFor[T]())
	schema.Nullable = true
	return &schema
}

type changeInput struct {
	Versioned
	Body changeBody `contentType:"application/merge-patch+json"`
}

// changeBody is a merge patch (RFC 7396): a field that is not sent does not change, and null removes it.
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

// suspends reports whether the patch suspends the key and does nothing else.
func (b changeBody) suspends() bool {
	return b.State == string(v1alpha1.KeySuspended) && !b.Description.Sent && b.Role == "" && !b.Scopes.Sent &&
		!b.ExpiresAt.Sent && !b.AllowedCIDRs.Sent && !b.Rotation.Sent
}

// rotation returns the new rotation, nil if it is removed or not sent.
func (b changeBody) rotation() (*v1alpha1.Rotation, error) {
	if !b.Rotation.Sent || b.Rotation.Null {
		return nil, nil //nolint:nilnil // no rotation
	}
	return b.Rotation.Value.spec()
}

// apply applies the patch to a spec.
func (b changeBody) apply(spec *v1alpha1.ApiKeySpec, rotation *v1alpha1.Rotation) {
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
